-- Jobs: registered operations that wait for a worker (jobs/), and how far followers have read the announcements.

CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    subject TEXT NOT NULL, -- what limits and pauses speak of: the ref of the flow that it runs, else the operation
    arguments BLOB NOT NULL, -- canonical MessagePack
    actor TEXT NOT NULL, -- who the operation runs as
    claimed INTEGER NOT NULL,
    roles TEXT NOT NULL, -- joined by commas
    trigger_name TEXT NOT NULL, -- empty for a job that a person submitted
    cause TEXT NOT NULL, -- ref of the fact that caused it, schedule:<time>, or person:<name>
    once TEXT UNIQUE, -- trigger and announcement or time: the same cause makes no second job
    label TEXT NOT NULL, -- which workers may take it; empty: any
    priority INTEGER NOT NULL, -- higher goes first
    status TEXT NOT NULL, -- queued, running, waiting (for somebody's answer), done, failed, cancelled
    attempts INTEGER NOT NULL,
    most_attempts INTEGER NOT NULL,
    run_after INTEGER NOT NULL, -- the database's time, as heartbeat_at
    woken INTEGER NOT NULL, -- 1: what it waits for came while a worker still had it
    worker TEXT NOT NULL,
    heartbeat_at INTEGER,
    result BLOB, -- canonical MessagePack
    error TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
);
CREATE INDEX IF NOT EXISTS jobs_by_turn ON jobs (status, priority, id);
CREATE INDEX IF NOT EXISTS jobs_by_subject ON jobs (status, subject);
CREATE INDEX IF NOT EXISTS jobs_by_trigger ON jobs (trigger_name, status);

-- What is not to be begun for now: everything ('all', ''), or the jobs of a flow or an operation.
CREATE TABLE IF NOT EXISTS job_pauses (
    kind TEXT NOT NULL, -- all, flow, operation
    name TEXT NOT NULL,
    paused_by TEXT NOT NULL,
    paused_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Webhooks that became jobs: neither the sender's id nor a signature counts twice.
CREATE TABLE IF NOT EXISTS hook_deliveries (
    trigger_name TEXT NOT NULL,
    delivery TEXT NOT NULL,
    signature TEXT NOT NULL,
    job TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (trigger_name, delivery),
    UNIQUE (trigger_name, signature)
);

CREATE TABLE IF NOT EXISTS trigger_states (
    name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL,
    paused_by TEXT NOT NULL,
    scheduled_at INTEGER -- up to when a schedule's times were looked at; null before the first time
);

-- A follower's place in the announcements; moves in the transaction that records what it made of them.
CREATE TABLE IF NOT EXISTS cursors (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
);
