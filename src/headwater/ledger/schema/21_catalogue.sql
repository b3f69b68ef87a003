-- The catalogue: which columns the tables of a version have, and what people say of them.

-- Equal sets of columns are kept once; id is the digest of names and types in order.
CREATE TABLE IF NOT EXISTS schema_columns (
    schema TEXT NOT NULL,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,                -- DuckDB's name of the type
    PRIMARY KEY (schema, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS schema_columns_by_name ON schema_columns (name);

-- Without a row a version's columns were not looked up yet; schema is empty where it holds no table.
CREATE TABLE IF NOT EXISTS version_schemas (
    version TEXT PRIMARY KEY,
    schema TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS version_schemas_by_schema ON version_schemas (schema, version);

CREATE TABLE IF NOT EXISTS column_descriptions (
    dataset TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL,
    PRIMARY KEY (dataset, name)
) WITHOUT ROWID;
