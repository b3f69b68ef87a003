-- Datasets and their versions. Branches and tags are pointers (kinds 'branch' and 'tag', named dataset/name).

CREATE TABLE IF NOT EXISTS datasets (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    versions INTEGER NOT NULL          -- the number of the newest version
);

CREATE TABLE IF NOT EXISTS versions (
    id TEXT PRIMARY KEY,
    dataset TEXT NOT NULL REFERENCES datasets (name),
    number INTEGER NOT NULL,
    parent TEXT,                       -- the first parent: what history follows
    parents TEXT NOT NULL,             -- all of them in order, ids joined by a space
    root TEXT NOT NULL,                -- digest of the manifest's root range
    record TEXT NOT NULL,              -- digest of the version's own record
    message TEXT NOT NULL,
    author TEXT NOT NULL,
    source TEXT NOT NULL,
    produced_by TEXT,
    inputs TEXT NOT NULL,              -- version ids joined by a space
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    rows INTEGER,                      -- null where no file's rows are known
    created_at INTEGER NOT NULL,
    UNIQUE (dataset, number)
);

-- What was said of a branch explicitly. Without a row, 'main' is protected where checks are declared.
CREATE TABLE IF NOT EXISTS branch_settings (
    dataset TEXT NOT NULL,
    name TEXT NOT NULL,
    protected INTEGER NOT NULL,
    PRIMARY KEY (dataset, name)
);
