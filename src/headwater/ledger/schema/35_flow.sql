-- One execution of a step in a run. How it went is in outcome: ran, remembered, failed, killed, cancelled, skipped.
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    position INTEGER NOT NULL, -- order of the calls in the flow
    step TEXT NOT NULL,
    outcome TEXT NOT NULL,
    why TEXT NOT NULL, -- one sentence: why it ran, or why it did not have to
    result TEXT, -- the memory entry used or made
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    seconds REAL NOT NULL,
    warnings TEXT NOT NULL, -- JSON list of texts
    error TEXT NOT NULL,
    traceback TEXT NOT NULL,
    within TEXT NOT NULL, -- names of the nested flows that called it, joined by /
    attempts TEXT NOT NULL, -- JSON: those that failed before the last: when, how long, why, the pause after
    peak_bytes INTEGER NOT NULL -- largest resident size seen of its processes, 0 where none was seen
);
CREATE INDEX IF NOT EXISTS tasks_by_run ON tasks (run, position);
CREATE INDEX IF NOT EXISTS tasks_by_result ON tasks (result);

-- The memory: entries found by static key. A new execution adds an entry, the newest is tried first.
CREATE TABLE IF NOT EXISTS results (
    id TEXT PRIMARY KEY,
    static_key TEXT NOT NULL,
    step TEXT NOT NULL, -- module:qualname
    slot TEXT NOT NULL, -- flow, step and how many-th call of it: what a call is compared with to say why it ran
    ingredients TEXT NOT NULL, -- digest of the code part of the key (table ingredients)
    call TEXT NOT NULL, -- JSON: the call's part of the key: arguments, environment, files, seed
    reads TEXT NOT NULL, -- JSON: what the step read while it ran, each with its digest
    output TEXT NOT NULL, -- digest of the saved output (of its parts' digests)
    parts TEXT NOT NULL, -- JSON: kind, digest, size and project classes of each object
    seconds REAL NOT NULL,
    warnings TEXT NOT NULL, -- JSON list of texts
    created_at INTEGER NOT NULL,
    broken INTEGER NOT NULL -- never used again: 1 its bytes were found missing or damaged, 2 they were collected
);
CREATE INDEX IF NOT EXISTS results_by_key ON results (static_key, broken, created_at);
CREATE INDEX IF NOT EXISTS results_by_slot ON results (slot, created_at);

-- The code part of keys, as JSON, by digest: shared by all results of the same code.
CREATE TABLE IF NOT EXISTS ingredients (
    digest TEXT PRIMARY KEY,
    body TEXT NOT NULL
);

-- Code snapshots: the project's .py files as objects.
CREATE TABLE IF NOT EXISTS snapshots (
    digest TEXT PRIMARY KEY,
    manifest TEXT NOT NULL, -- digest of the object that lists path and digest of each file
    files INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
