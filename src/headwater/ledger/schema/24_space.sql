-- Space: what may go, what must stay, what went and why (objects/collecting.py, lake/collecting.py, trace/).

-- When a writer last relied on what an old pack holds, by the database's clock: such a pack is not dropped.
CREATE TABLE IF NOT EXISTS pack_uses (
    pack TEXT PRIMARY KEY,
    used_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Packs that lie in the store and that no fact names yet: first seen then, by the database's clock.
CREATE TABLE IF NOT EXISTS stray_packs (
    pack TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Packs that were given up. An id is never used again, so whoever wrote the same bytes meanwhile finds out here.
CREATE TABLE IF NOT EXISTS dropped_packs (
    pack TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    dropped_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL           -- 1 when the file is gone too
) WITHOUT ROWID;

-- Packs that are lost for good, which somebody accepted.
CREATE TABLE IF NOT EXISTS lost_packs (
    pack TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    by TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    why TEXT NOT NULL,
    at INTEGER NOT NULL,
    objects INTEGER                    -- needed ones that went with it; null until they are all named in gone
) WITHOUT ROWID;

-- Decisions that a version's bytes may go; they go when nothing else needs them.
CREATE TABLE IF NOT EXISTS deletions (
    version TEXT PRIMARY KEY,
    dataset TEXT NOT NULL,
    why TEXT NOT NULL,
    by TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;

-- What somebody wants kept, whatever else says; until released.
CREATE TABLE IF NOT EXISTS holds (
    id TEXT PRIMARY KEY,
    ref TEXT NOT NULL,                 -- version:<id> or run:<id>
    why TEXT NOT NULL,
    by TEXT NOT NULL,
    at INTEGER NOT NULL,
    released_at INTEGER,
    released_by TEXT
);

-- Collections that freed something.
CREATE TABLE IF NOT EXISTS collections (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    report TEXT NOT NULL               -- JSON
);

-- What is not there any more: versions, and objects that facts name. Readers answer with it.
CREATE TABLE IF NOT EXISTS gone (
    ref TEXT PRIMARY KEY,              -- version:<id>, result:<id>, prediction:<id>, object:<digest>
    at INTEGER NOT NULL,
    how TEXT NOT NULL,                 -- collected, erased or lost
    why TEXT NOT NULL
) WITHOUT ROWID;

-- Erasures: that one was asked for, by whom and why; whom it was about is a commitment whose salt is gone when done.
CREATE TABLE IF NOT EXISTS erasures (
    id TEXT PRIMARY KEY,
    dataset TEXT NOT NULL,
    why TEXT NOT NULL,
    by TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    at INTEGER NOT NULL,
    commitment TEXT NOT NULL,
    salt BLOB,                         -- with the subject, until done
    subject TEXT,                      -- JSON; null when done
    done_at INTEGER,
    report TEXT NOT NULL               -- JSON: counts
);

-- Versions whose files an erasure changed: the identity stays, the root is another.
CREATE TABLE IF NOT EXISTS erased_versions (
    version TEXT NOT NULL,
    erasure TEXT NOT NULL,
    at INTEGER NOT NULL,
    files INTEGER NOT NULL,            -- changed or removed
    PRIMARY KEY (version, erasure)
) WITHOUT ROWID;

-- Heads of the chain and of the branches as they were written beside the data.
CREATE TABLE IF NOT EXISTS checkpoints (
    digest TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,              -- of the chain
    at INTEGER NOT NULL
) WITHOUT ROWID;
