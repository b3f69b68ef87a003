-- The ground of the ledger: who the project is, what moves, what came from what, what others may react to.

-- One row: which project this is and which schema its tables have.
CREATE TABLE IF NOT EXISTS ledger_meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    schema INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

-- Sequences that leave no gap: a counter is a row, so its number commits or vanishes with the fact that took it.
CREATE TABLE IF NOT EXISTS counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- Lineage: child came from parent, in the role given. A walk either way reads an index only.
CREATE TABLE IF NOT EXISTS edges (
    child TEXT NOT NULL,
    role TEXT NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (child, role, parent)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS edges_by_parent ON edges (parent, role, child);

-- Facts that others may react to, followed by cursor on seq.
CREATE TABLE IF NOT EXISTS announcements (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS announcements_by_kind ON announcements (kind, seq);
CREATE INDEX IF NOT EXISTS announcements_by_ref ON announcements (ref, seq);

-- Governance: one hash chain per project. A salt is dropped with its body when the body is erased.
CREATE TABLE IF NOT EXISTS chain (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    at INTEGER NOT NULL,
    salt BLOB,
    commitment TEXT NOT NULL,
    prev TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS chain_by_ref ON chain (ref, seq);
CREATE INDEX IF NOT EXISTS chain_by_kind ON chain (kind, seq);

-- What a link of the chain says, as canonical bytes; apart, so that it can be erased while the chain stays.
CREATE TABLE IF NOT EXISTS chain_bodies (
    seq INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- Names that move, and every move they made. moves counts them, also across removal and creation.
CREATE TABLE IF NOT EXISTS pointers (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    head TEXT NOT NULL,
    moves INTEGER NOT NULL,
    moved_at INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pointers_by_head ON pointers (head);

-- old is null where the name was created, new where it was removed.
CREATE TABLE IF NOT EXISTS pointer_moves (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,
    old TEXT,
    new TEXT,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (kind, name, seq)
) WITHOUT ROWID;

-- Packs of objects, in the order in which they became needed; local index files follow seq.
CREATE TABLE IF NOT EXISTS packs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    footer_digest TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

-- Who may act alone until when, by the database's clock. token rises with every taker and is never used again.
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    token INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
