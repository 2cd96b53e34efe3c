-- What each coordinator may take of the limits that several share; usage is never stored.
CREATE TABLE budget_shares (
    budget TEXT NOT NULL,
    owner BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    wanted BIGINT NOT NULL,
    least BIGINT NOT NULL,
    served_us BIGINT NOT NULL,
    lost_us BIGINT NOT NULL,
    PRIMARY KEY (budget, owner)
) WITH (fillfactor = 50);
