-- What a run is doing now: its tasks that run, written at most twice a second. A row goes when its task has ended;
-- rows of a run that was killed say what it was doing.
CREATE TABLE IF NOT EXISTS live_tasks (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    position INTEGER NOT NULL,
    step TEXT NOT NULL,
    within TEXT NOT NULL, -- names of the nested flows that called it, joined by /
    attempt INTEGER NOT NULL, -- which one this is, from 1
    started_at INTEGER NOT NULL,
    done REAL NOT NULL, -- what the step said of its progress: parts done, parts in all (0: not known), a text
    total REAL NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS live_tasks_by_run ON live_tasks (run, position);

-- How many steps a run has called so far; those not among its tasks run or wait.
CREATE TABLE IF NOT EXISTS flow_counts (
    run TEXT PRIMARY KEY,
    called INTEGER NOT NULL
);

-- Who asked that a run be cancelled; its own process looks here.
CREATE TABLE IF NOT EXISTS run_cancels (
    run TEXT PRIMARY KEY,
    asked_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    asked_at INTEGER NOT NULL
);

-- What steps left to be shown: of a result, so that it is there again when the result is remembered, or of a task
-- that gave none.
CREATE TABLE IF NOT EXISTS cards (
    owner TEXT NOT NULL, -- result:<id> or task:<id>
    position INTEGER NOT NULL,
    kind TEXT NOT NULL, -- html, markdown, table, chart, image
    title TEXT NOT NULL,
    media TEXT NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (owner, position)
) WITHOUT ROWID;
