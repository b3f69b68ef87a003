-- versions on their way into a channel by stages, or computing beside it (release/controller.py); serving routes by it
CREATE TABLE IF NOT EXISTS rollouts (
    id TEXT PRIMARY KEY,
    place TEXT NOT NULL,         -- model/channel, as the pointer's name
    model TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,          -- canary or shadow
    version TEXT NOT NULL,
    number INTEGER NOT NULL,
    stable TEXT NOT NULL,        -- the version that the channel points to meanwhile
    request TEXT,                -- what was approved; a shadow has none
    stages TEXT NOT NULL,        -- JSON: shares of 10,000 requests; empty for a shadow
    rules TEXT NOT NULL,         -- JSON (release/controller_rules.py) as they were when it began
    stage INTEGER NOT NULL,
    share INTEGER NOT NULL,      -- of 10,000 requests
    step INTEGER NOT NULL,       -- grows with each change: part of the route's revision
    status TEXT NOT NULL,        -- open, then once and for all released or withdrawn
    why TEXT NOT NULL,
    person TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    reason TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    stage_at INTEGER NOT NULL,
    ended_at INTEGER
);
CREATE INDEX IF NOT EXISTS rollouts_place ON rollouts (place, started_at);
-- Two truths about a channel cannot be written, whoever tries.
CREATE UNIQUE INDEX IF NOT EXISTS rollouts_open ON rollouts (place) WHERE status = 'open';
