"""Which version made a prediction: by the digest of its package, whatever number another store gave it. Reads only."""

from __future__ import annotations

import sqlite3

from modelmgmt.models.registry.rows import Tables, VersionRow
from modelmgmt.observe.batches import BATCHES, NOTHING, Target, Where, both, either, equal


def version_of(connection: sqlite3.Connection, target: Target) -> VersionRow | None:
    """The version of that package: the one that it was logged as, else the first one here, of the same model if there is.

    None where no version here has the package, and for what was logged as a run's.
    """
    if target.model is None:
        return None
    found = Tables(connection).select(VersionRow, digest=target.package)
    asked = (target.model, target.number)
    return min(
        found,
        key=lambda row: ((row.model, row.number) != asked, row.model != target.model, row.model, row.number),
        default=None,
    )


def made_by(connection: sqlite3.Connection, version: VersionRow) -> Where:
    """The rows of what a version has predicted, as `version_of` has it."""
    package = equal({"package": version.digest})
    sql = f"SELECT DISTINCT model, number FROM {BATCHES} WHERE package = ? AND model IS NOT NULL"
    names = connection.execute(sql, (version.digest,)).fetchall()
    own = [
        equal({"model": model, "number": number}) for model, number in names if _is(connection, version, model, number)
    ]
    return both(package, either(*own)) if own else NOTHING


def _is(connection: sqlite3.Connection, version: VersionRow, model: str, number: int) -> bool:
    found = version_of(connection, Target(model, number, None, None, None, version.digest))
    return found is not None and found.identity == version.identity
