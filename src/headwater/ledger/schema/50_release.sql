-- requests, decisions and releases (release/)
CREATE TABLE IF NOT EXISTS release_requests (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    number INTEGER NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,          -- direct or canary
    reason TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    needs INTEGER NOT NULL,      -- approvals the channel demanded when asked
    lacks TEXT NOT NULL,         -- JSON list, an entry per approval missing while it waits (release/seats.py)
    replaces TEXT,               -- version the channel pointed to when asked
    status TEXT NOT NULL,        -- waiting, then once and for all released, rejected or closed
    why TEXT NOT NULL,
    decided_at INTEGER,
    gates TEXT NOT NULL          -- JSON: what each gate said when last asked
);
CREATE INDEX IF NOT EXISTS release_requests_status ON release_requests (status, requested_at);
CREATE INDEX IF NOT EXISTS release_requests_model ON release_requests (model, channel, requested_at);
CREATE TABLE IF NOT EXISTS approvals (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    person TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    roles TEXT NOT NULL,         -- JSON list of the roles held when it was said
    decision TEXT NOT NULL,      -- approve or reject
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (request, person, claimed, roles, decision)
);
CREATE TABLE IF NOT EXISTS releases (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,        -- order within the channel, from 1
    model TEXT NOT NULL,
    channel TEXT NOT NULL,
    version TEXT NOT NULL,
    number INTEGER NOT NULL,
    previous TEXT,
    previous_number INTEGER,
    kind TEXT NOT NULL,          -- release or rollback
    request TEXT,
    person TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    reason TEXT NOT NULL,
    released_at INTEGER NOT NULL,
    gates TEXT NOT NULL,         -- JSON: what each gate said in the transaction that released
    UNIQUE (model, channel, seq)
);
CREATE INDEX IF NOT EXISTS releases_at ON releases (model, channel, released_at);
