-- who relies on a model's channel (serve/rehearsal/consumers.py)
CREATE TABLE IF NOT EXISTS model_consumers (
    model TEXT NOT NULL,
    channel TEXT NOT NULL,
    name TEXT NOT NULL,
    callers TEXT NOT NULL,       -- JSON list of the names under which it asks
    reads TEXT NOT NULL,         -- JSON list of the outputs it relies on; empty: all
    contact TEXT NOT NULL,
    person TEXT NOT NULL,        -- who registered it
    claimed INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (model, channel, name)
) WITHOUT ROWID;
