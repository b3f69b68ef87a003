-- Results that were collected and made again later: whether they came back the same.
CREATE TABLE IF NOT EXISTS remade (
    result TEXT PRIMARY KEY, -- the one made again
    earlier TEXT NOT NULL, -- the one that was collected
    step TEXT NOT NULL, -- module:qualname
    same INTEGER NOT NULL, -- 1 when both have the same digest
    at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS remade_by_step ON remade (same, step);
