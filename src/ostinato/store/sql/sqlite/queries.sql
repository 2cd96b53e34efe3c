-- What only SQLite says, or says otherwise than ../*.sql.

-- name: check_pages
-- What SQLite finds unsound in the file; "ok" when all is well.
PRAGMA integrity_check
