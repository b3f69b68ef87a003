-- what people wrote into the card of a model version after it was registered; the newest holds (evaluate/words.py)
CREATE TABLE IF NOT EXISTS card_words (
    id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    body TEXT NOT NULL,          -- JSON: all of the words
    author TEXT NOT NULL,
    claimed INTEGER NOT NULL,
    written_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS card_words_version ON card_words (version, id);
