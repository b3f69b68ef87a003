-- Files of the project's folder that a run's steps read, as they were.
CREATE TABLE IF NOT EXISTS run_files (
    run TEXT NOT NULL,
    path TEXT NOT NULL, -- below the project's folder, parts joined by /
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (run, path)
) WITHOUT ROWID;
