-- Runs: what was executed, with what, by whom, and how it ended.
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL, -- flow, track, or the room that made it (evaluate, ...)
    name TEXT NOT NULL,
    flow TEXT NOT NULL, -- the flow's name, empty for other kinds
    status TEXT NOT NULL, -- running, done, failed, killed, cancelled
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    author TEXT NOT NULL,
    parent TEXT, -- the id of the run that started this one
    code TEXT NOT NULL, -- digest of the code snapshot, empty when none was kept
    environment TEXT NOT NULL, -- JSON: commit, diff, python, packages
    host TEXT NOT NULL,
    process TEXT NOT NULL, -- boot:pid:start of the process that runs it
    heartbeat_at INTEGER NOT NULL,
    error TEXT NOT NULL,
    traceback TEXT NOT NULL,
    shelf INTEGER NOT NULL DEFAULT 0, -- 0 listed, 1 archived, 2 deleted: what it held is gone, the row says when
    shelved_at INTEGER,
    shelved_by TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS runs_by_start ON runs (shelf, started_at, id);
CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status, started_at, id);
CREATE INDEX IF NOT EXISTS runs_by_flow ON runs (flow, started_at, id);
CREATE INDEX IF NOT EXISTS runs_by_name ON runs (name, started_at, id);

CREATE TABLE IF NOT EXISTS run_params (
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL, -- int, float, bool, str, json
    text TEXT NOT NULL,
    number REAL, -- to order by; null for NaN and what is no number
    bits INTEGER, -- the 64 bits of a float
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_params_by_number ON run_params (key, number, run);
CREATE INDEX IF NOT EXISTS run_params_by_text ON run_params (key, text, run);

CREATE TABLE IF NOT EXISTS run_tags (
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_tags_by_value ON run_tags (key, value, run);

-- Derived from the stream "metrics" and rebuildable: what lists and filters need of a series.
CREATE TABLE IF NOT EXISTS metric_summary (
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    points INTEGER NOT NULL,
    last REAL,
    last_bits INTEGER NOT NULL,
    last_step INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    least REAL, -- null when every point is NaN
    greatest REAL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS metric_summary_by_last ON metric_summary (key, last, run);

-- How far the summaries have taken in each writer's points; moves in the transaction that adds them.
CREATE TABLE IF NOT EXISTS metric_marks (
    run TEXT NOT NULL,
    writer TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (run, writer)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS artefacts (
    run TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    media TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- Deleted runs whose points and lines still lie in the streams; a row goes when the last of them is out.
CREATE TABLE IF NOT EXISTS run_removals (
    run TEXT PRIMARY KEY
);
