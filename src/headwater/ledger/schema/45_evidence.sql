-- measurements that gates read (evaluate/evidence.py)
CREATE TABLE IF NOT EXISTS evidence (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,       -- ref of what was measured
    kind TEXT NOT NULL,
    body TEXT NOT NULL,          -- JSON (model/documents.py)
    created_at INTEGER NOT NULL,
    maker TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    data TEXT NOT NULL,          -- JSON list of refs of what it was measured on
    run TEXT,
    operation TEXT NOT NULL,     -- that measured it; evidence.record where the caller brought the figures
    job TEXT                     -- ref of the job in which it was made
);
CREATE INDEX IF NOT EXISTS evidence_subject ON evidence (subject, kind, created_at, id);
