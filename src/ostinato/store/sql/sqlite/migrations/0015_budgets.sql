-- What each coordinator may take of the limits that several share; usage is never stored.
CREATE TABLE budget_shares (
    budget TEXT NOT NULL,
    owner INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    least INTEGER NOT NULL,
    served_us INTEGER NOT NULL,
    lost_us INTEGER NOT NULL,
    PRIMARY KEY (budget, owner)
) STRICT, WITHOUT ROWID;
