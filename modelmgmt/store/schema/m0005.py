"""New: prediction_schemas, prediction_batches, predictions_by_version: what deployed models were asked, and said."""

STATEMENTS = (
    """
    CREATE TABLE prediction_schemas (
        fingerprint TEXT PRIMARY KEY,     -- SHA-256 of the columns
        columns TEXT NOT NULL,            -- JSON: role, name, type, ... of each column
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # Not WITHOUT ROWID: rows of up to a megabyte would fill the inner pages of such a table.
    """
    CREATE TABLE prediction_batches (
        id TEXT PRIMARY KEY,              -- as of a run; of a fold the first of the batches in it
        model TEXT,                       -- NULL for a model that is not registered
        number INTEGER,
        label TEXT,                       -- the stage or alias that was asked
        run TEXT REFERENCES runs(id),     -- that made the model; NULL for one that was imported without it
        artifact TEXT,                    -- its name in that run
        package TEXT NOT NULL,            -- the digest of the model's tree, which is kept by its run or version, not by this
        schema TEXT NOT NULL REFERENCES prediction_schemas(fingerprint),
        rows INTEGER NOT NULL,            -- predictions
        first_at TEXT NOT NULL,
        last_at TEXT NOT NULL,
        data BLOB,                        -- of few rows: all of them; NULL where they are objects
        content_digest TEXT,              -- a tree: the columns
        lookup_digest TEXT,               -- which ids are in it
        crc INTEGER NOT NULL
    ) STRICT
    """,
    # One, as each costs every call a page of the log. Rows are few: what is folded is one.
    "CREATE INDEX prediction_batches_by_model ON prediction_batches(model, first_at)",
    """
    CREATE VIEW predictions_by_version AS
        SELECT model, number, label, run, package, sum(rows) AS predictions,
            min(first_at) AS first_at, max(last_at) AS last_at
        FROM prediction_batches GROUP BY model, number, label, run, package ORDER BY last_at DESC
    """,
)
