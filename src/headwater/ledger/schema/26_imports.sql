-- Versions that came from another project, and the head of that project's chain when they did.

CREATE TABLE IF NOT EXISTS imports (
    version TEXT PRIMARY KEY REFERENCES versions (id),
    kind TEXT NOT NULL,                -- copy: the version itself, with its own id; sample: made of a version there
    dataset TEXT NOT NULL,
    project TEXT NOT NULL,             -- the sender's id
    name TEXT NOT NULL,                -- the sender's name
    head_seq INTEGER NOT NULL,
    head_hash TEXT NOT NULL,
    standing TEXT NOT NULL,            -- what the sender said of its checks: '' (nothing failed), failed, released
    reason TEXT NOT NULL,              -- why it was released from quarantine there
    origin TEXT NOT NULL,              -- of a sample: the version there that it was drawn from
    author TEXT NOT NULL,              -- who brought it here
    claimed INTEGER NOT NULL,
    imported_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS imports_by_project ON imports (project, imported_at);
