"""New: models, model_versions, model_aliases, model_tags, model_results, approvals, signatures: the registry."""

STATEMENTS = (
    """
    CREATE TABLE models (
        name TEXT PRIMARY KEY,
        description TEXT NOT NULL,
        stages TEXT NOT NULL,             -- JSON: the stages, which of them hold one version, allowed transitions
        policy TEXT NOT NULL,             -- JSON: what must hold before a version may enter a stage
        last_number INTEGER NOT NULL,     -- of the newest version ever registered
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE model_versions (
        model TEXT NOT NULL REFERENCES models(name),
        number INTEGER NOT NULL,          -- 1, 2, 3, ... within the model; never given twice
        stage TEXT NOT NULL,
        entered INTEGER NOT NULL,         -- the event that brought it there
        run TEXT REFERENCES runs(id),     -- NULL for a version that was imported without its run
        artifact TEXT,                    -- its name in that run
        origin TEXT,                      -- JSON: the bundle or the version that it was imported or copied from
        digest TEXT NOT NULL,             -- the tree of the package
        format TEXT NOT NULL,             -- skops, safetensors, cloudpickle, ...
        description TEXT NOT NULL,
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX model_versions_by_stage ON model_versions(model, stage, entered)",
    "CREATE INDEX model_versions_by_run ON model_versions(run)",
    "CREATE INDEX model_versions_by_digest ON model_versions(digest)",
    "CREATE INDEX model_versions_with_origin ON model_versions(model, number) WHERE origin IS NOT NULL",
    """
    CREATE TABLE model_aliases (
        model TEXT NOT NULL REFERENCES models(name),
        alias TEXT NOT NULL,
        number INTEGER NOT NULL,
        set_at TEXT NOT NULL,
        set_by TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, alias),
        FOREIGN KEY (model, number) REFERENCES model_versions(model, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE model_tags (
        model TEXT NOT NULL REFERENCES models(name),
        number INTEGER NOT NULL,          -- of the version; 0 for the model itself
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number, key)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE model_results (
        model TEXT NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,               -- of a scan, a test, or losses
        passed INTEGER,                   -- NULL for losses, which pass or fail nothing by themselves
        mean REAL,                        -- of losses
        dataset TEXT,                     -- what the losses were measured on
        evidence_digest TEXT,             -- the losses, one a row: an object, doubles, little-endian
        detail TEXT NOT NULL,             -- JSON
        actor TEXT NOT NULL,
        logged_at TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number, name),
        FOREIGN KEY (model, number) REFERENCES model_versions(model, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE approvals (
        model TEXT NOT NULL,
        number INTEGER NOT NULL,
        stage TEXT NOT NULL,              -- what it was approved for
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        approved_at TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (model, number, stage, actor),
        FOREIGN KEY (model, number) REFERENCES model_versions(model, number)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE signatures (
        package TEXT NOT NULL,            -- the digest of the tree that was signed
        key TEXT NOT NULL,                -- the fingerprint of the key
        algorithm TEXT NOT NULL,          -- ed25519, hmac-sha256
        public_key TEXT,                  -- hex; its fingerprint is the key above; NULL for hmac-sha256
        signature TEXT NOT NULL,          -- hex
        signed_at TEXT NOT NULL,          -- signed, too
        crc INTEGER NOT NULL,
        PRIMARY KEY (package, key)
    ) STRICT, WITHOUT ROWID
    """,
)
