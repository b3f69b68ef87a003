-- Questions that runs of flows wait for (flow/approving.py); who said what is in approvals, with the question's id.
CREATE TABLE IF NOT EXISTS questions (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    position INTEGER NOT NULL,   -- order of the questions in the run, from 0
    title TEXT NOT NULL,         -- the question
    details TEXT NOT NULL,       -- JSON: what is shown beside it
    digest TEXT NOT NULL,        -- of question, details and conditions: an answer holds for what was shown
    role TEXT NOT NULL,
    not_author INTEGER NOT NULL,
    authenticated INTEGER NOT NULL,
    job TEXT NOT NULL,           -- the job that goes on with the run
    flow TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    expires_at INTEGER,          -- the database's time; null: it waits for ever
    status TEXT NOT NULL,        -- waiting, then once and for all approve, reject or expired
    decided_by TEXT NOT NULL,
    decided_at INTEGER,
    reason TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS questions_by_run ON questions (run, position);
CREATE INDEX IF NOT EXISTS questions_by_status ON questions (status, id);
