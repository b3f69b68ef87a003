-- Messages to other systems and people (notify/): one row for each announcement and notifier that it concerns.

CREATE TABLE IF NOT EXISTS deliveries (
    id TEXT PRIMARY KEY,
    notifier TEXT NOT NULL,
    seq INTEGER NOT NULL, -- of the announcement; 0 for a message that a person asked for
    event TEXT NOT NULL,
    ref TEXT NOT NULL,
    body TEXT NOT NULL, -- JSON
    status TEXT NOT NULL, -- waiting, sent, failed
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL, -- the database's time
    answer TEXT NOT NULL, -- what the other side said last
    created_at INTEGER NOT NULL,
    ended_at INTEGER
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (status, next_at);
CREATE INDEX IF NOT EXISTS deliveries_by_notifier ON deliveries (notifier, id);
