-- Sources of data: each pull of a source, and what was sent to the project to be pulled.

CREATE TABLE IF NOT EXISTS pulls (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    parameters TEXT NOT NULL,          -- JSON, names sorted
    dataset TEXT NOT NULL,
    branch TEXT NOT NULL,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,              -- where from, as the lineage names it: <kind>:<text>
    version TEXT,                      -- what the dataset was after it; null where it changed nothing and nothing was there
    state BLOB,                        -- JSON: where the next pull goes on; recorded with the version, or not at all
    state_object TEXT,                 -- digest of the object that holds the state, where it is large
    proof TEXT,                        -- digest of the object that tells where each file came from
    actor TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT NOT NULL,             -- running, committed, published, quarantined, unchanged, overtaken, failed
    message TEXT NOT NULL,
    files INTEGER NOT NULL,            -- put, not those that stayed as they were
    bytes INTEGER NOT NULL,
    removed INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS pulls_of_source ON pulls (source, parameters, id);

-- What was sent to a webhook: durable before the sender hears so, gone into a version by a pull.
CREATE TABLE IF NOT EXISTS webhook_deliveries (
    seq INTEGER PRIMARY KEY,           -- without gaps, in the order of commits: how far a pull has come
    source TEXT NOT NULL,
    parameters TEXT NOT NULL,
    delivery TEXT NOT NULL,            -- the sender's own id of it: the same one counts once
    object TEXT NOT NULL,              -- digest of the body
    size INTEGER NOT NULL,
    media TEXT NOT NULL,
    sender TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (source, parameters, delivery)
);
