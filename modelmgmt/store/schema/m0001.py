"""New: runs, run_endings, params, tags, notes, artifacts, metrics (summaries), chunks (values), folds (journal positions)."""

STATEMENTS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,              -- sortable by time
        experiment TEXT NOT NULL,
        name TEXT NOT NULL,               -- readable, as calm-otter-17
        number INTEGER NOT NULL,          -- counts up within the experiment
        status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'failed', 'interrupted', 'crashed')),
        started_at TEXT NOT NULL,         -- UTC, 2026-01-31T23:59:59.123456Z
        ended_at TEXT,
        parent TEXT REFERENCES runs(id),
        group_name TEXT,
        error TEXT,                       -- the traceback, exit code or text that ended the run
        user TEXT,
        host TEXT NOT NULL,               -- the machine and pid namespace that the owner lives in
        boot_id TEXT NOT NULL,
        pid INTEGER NOT NULL,
        process_start TEXT NOT NULL,      -- with host, boot_id and pid: tells whether the owner is still alive
        command TEXT NOT NULL,
        lost_points INTEGER NOT NULL,
        crc INTEGER NOT NULL              -- of the values before it: a flipped bit is named, never read as a value
    ) STRICT
    """,
    """
    CREATE TABLE run_endings (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        resumed_at TEXT NOT NULL,         -- when the run went on; what is below is how it had ended before
        ended_at TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status <> 'running'),
        error TEXT,
        from_step INTEGER,                -- points from this step on were dropped when it went on
        dropped_points INTEGER NOT NULL,
        dropped_chunks TEXT NOT NULL,     -- JSON list: the first 12 bytes of each chunk that lost points, in hexadecimal
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, resumed_at)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX runs_by_experiment ON runs(experiment, number)",
    "CREATE INDEX runs_by_status ON runs(status) WHERE status = 'running'",
    "CREATE INDEX runs_by_parent ON runs(parent) WHERE parent IS NOT NULL",
    "CREATE INDEX runs_by_name ON runs(name)",
    """
    CREATE TABLE params (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,                -- nested mappings are flattened: optimizer.lr
        value ANY,                        -- the value as SQLite sees it; lists and empty mappings as JSON text
        type TEXT NOT NULL CHECK (type IN ('null', 'bool', 'int', 'float', 'str', 'json')),
        path TEXT,                        -- JSON list of the parts of the key, only where a part itself has a dot
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX params_by_key ON params(key, value)",
    """
    CREATE TABLE tags (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX tags_by_key ON tags(key, value)",
    """
    CREATE TABLE notes (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        written_at TEXT NOT NULL,
        text TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX notes_by_run ON notes(run)",
    """
    CREATE TABLE artifacts (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        name TEXT NOT NULL,               -- figures/roc.png
        kind TEXT NOT NULL,               -- file, folder, model, text, dict, table, image, figure, page
        digest TEXT NOT NULL,             -- SHA-256 of the object; of the tree for a folder
        size INTEGER NOT NULL,            -- bytes
        logged_at TEXT NOT NULL,
        step INTEGER,                     -- of an image that was logged with one
        caption TEXT,                     -- of an image
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, name)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX artifacts_by_digest ON artifacts(digest)",
    """
    CREATE TABLE metrics (
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        count INTEGER NOT NULL,           -- points, NaN included
        nan_count INTEGER NOT NULL,       -- points that are NaN; min, max and mean leave them out
        first REAL, first_is_nan INTEGER NOT NULL, first_step INTEGER NOT NULL,
        first_time INTEGER NOT NULL,      -- microseconds since 1970, UTC
        last REAL, last_is_nan INTEGER NOT NULL, last_step INTEGER NOT NULL,
        last_time INTEGER NOT NULL,
        min REAL, min_step INTEGER,       -- NULL only when every point is NaN
        max REAL, max_step INTEGER,
        mean REAL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX metrics_by_key ON metrics(key, last)",
    """
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY,           -- the order of arrival
        run TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        count INTEGER NOT NULL,
        data BLOB NOT NULL                -- docs/explain/store-format.md; carries its own checksum
    ) STRICT
    """,
    "CREATE INDEX chunks_by_series ON chunks(run, key)",
    """
    CREATE TABLE folds (
        segment TEXT PRIMARY KEY,         -- id of a journal segment
        records INTEGER NOT NULL,         -- how many of its records, from the first, are in chunks
        folded_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE VIEW run_overview AS
        SELECT id, experiment, name, status, started_at, ended_at,
            round((julianday(ended_at) - julianday(started_at)) * 86400, 3) AS duration_s,
            (SELECT json_group_object(key, value) FROM params WHERE run = runs.id) AS params,
            (SELECT json_group_object(key, last) FROM metrics WHERE run = runs.id) AS last_metrics,
            (SELECT json_group_object(key, value) FROM tags WHERE run = runs.id) AS tags,
            parent, group_name, user, host, command
        FROM runs ORDER BY id DESC
    """,
    """
    CREATE VIEW run_params AS
        SELECT runs.experiment, runs.name, params.* FROM params JOIN runs ON runs.id = params.run
    """,
    """
    CREATE VIEW run_metrics AS
        SELECT runs.experiment, runs.name, metrics.* FROM metrics JOIN runs ON runs.id = metrics.run
    """,
    """
    CREATE VIEW run_artifacts AS
        SELECT runs.experiment, runs.name AS run_name, artifacts.* FROM artifacts JOIN runs ON runs.id = artifacts.run
    """,
)
