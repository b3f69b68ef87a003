-- Verdicts of checks over versions, and decisions to release a version that failed.

CREATE TABLE IF NOT EXISTS verdicts (
    id TEXT PRIMARY KEY,
    version TEXT NOT NULL REFERENCES versions (id),
    turn INTEGER NOT NULL,             -- counts the verdicts of one version; the newest is the one that holds
    dataset TEXT NOT NULL,
    outcome TEXT NOT NULL,             -- passed, warned, failed
    declared TEXT NOT NULL,            -- digest of the declarations that the verdict covers
    baseline TEXT,                     -- the version that comparisons were made with
    results TEXT NOT NULL,             -- JSON
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (version, turn)
);

CREATE INDEX IF NOT EXISTS verdicts_by_dataset ON verdicts (dataset, id);

CREATE TABLE IF NOT EXISTS quarantine_releases (
    id TEXT PRIMARY KEY,
    version TEXT NOT NULL REFERENCES versions (id),
    dataset TEXT NOT NULL,
    branch TEXT NOT NULL,
    verdict TEXT NOT NULL,             -- the failed verdict that the decision overrules
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE INDEX IF NOT EXISTS quarantine_releases_by_version ON quarantine_releases (version, branch);
