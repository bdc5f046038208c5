"""Deleting predictions that are older than somebody wants to keep them, and what deleting models has to ask first."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import PinnedError, RunInUseError
from modelmgmt.observe import batches, blocks
from modelmgmt.observe.batches import BATCHES, BatchRow, Where, both
from modelmgmt.observe.makers import made_by
from modelmgmt.store import events
from modelmgmt.store.names import counted
from modelmgmt.store.rows import from_json
from modelmgmt.store.times import to_iso, to_us
from modelmgmt.tracking.labels import checked_note

if TYPE_CHECKING:
    from modelmgmt.models.registry.rows import VersionRow
    from modelmgmt.store.kernel import Kernel

DELETED = "predictions.deleted"


@dataclass(frozen=True, slots=True)
class DeletedPredictions:
    """What was deleted."""

    predictions: int
    before: datetime | None = None
    """All that was older than this, where it was deleted by time."""
    missing: tuple[str, ...] = ()
    """Ids that were asked for, and of which the monitor has no prediction."""
    leftovers: tuple[Path, ...] = ()
    """Where something of what was deleted by its id may still be; see `Deletion.leftovers`."""


def delete(kernel: Kernel, name: str, where: Where, before: datetime, reason: str) -> DeletedPredictions:
    """Delete what came before a time; a fold of which some is left is written anew. Survives a power cut on return."""
    before_us = to_us(before.isoformat())
    text, reason = to_iso(before_us), checked_note(reason)
    count = 0
    with kernel.database.writing(durable=True) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        for row in list(batches.select(connection, both(where, ("first_at < ?", (text,))))):
            count += row.rows - _shorten(kernel, connection, row, before_us)
        batches.prune_schemas(connection)
        events.append(connection, DELETED, name, {"before": text, "predictions": count, "reason": reason})
    return DeletedPredictions(count, before)


def _shorten(kernel: Kernel, connection: sqlite3.Connection, row: BatchRow, before_us: int) -> int:
    """How many are left."""
    schema, left = batches.schema(connection, row.schema), None
    if to_us(row.last_at) >= before_us:
        block = blocks.read(kernel.objects, row, schema)
        left = blocks.write(kernel.objects, block.kept(block.times >= before_us))
    batches.replace(connection, [row], left, schema)
    return 0 if left is None else left.rows


def deletions(connection: sqlite3.Connection) -> dict[str, str]:
    """The name of a monitor -> before when its predictions were deleted."""
    found: dict[str, str] = {}
    for subject, detail in connection.execute("SELECT subject, detail FROM events WHERE kind = ?", (DELETED,)):
        found[subject] = max(found.get(subject, ""), from_json("events.detail", detail, {"before": str})["before"])
    return found


def names_of(row: BatchRow) -> set[str]:
    """The names of all monitors that a row is under."""
    about = row.target
    found = {about.reference}
    if about.model is not None:
        found |= {about.model, f"{about.model}@{about.label}"}
    if about.run is not None:
        found.add(f"run:{about.run}/{about.artifact}")
    return found


def refuse_predicted_run(connection: sqlite3.Connection, run: str) -> None:
    """Raises RunInUseError when predictions were made with a model of the run: for whoever deletes runs."""
    count, reference = _count(connection, "run = ?", run)
    if count:
        raise RunInUseError(
            f"{counted(count, 'prediction was', 'predictions were')} made with a model of the run {run}, {reference}: "
            f"delete them first, with store.monitor({reference!r}).delete(before=...)."
        )


def refuse_predicted_version(connection: sqlite3.Connection, version: VersionRow) -> None:
    """Raises PinnedError when a version has predicted: for whoever deletes versions."""
    condition, values = made_by(connection, version)
    count, reference = _count(connection, condition, *values)
    if count:
        raise PinnedError(
            f"{counted(count, 'prediction was', 'predictions were')} made with {version.model}:{version.number}: "
            f"delete them first, with store.monitor({reference!r}).delete(before=...), or delete the version with force."
        )


def _count(connection: sqlite3.Connection, condition: str, *values: Any) -> tuple[int, str]:
    sql = f"SELECT coalesce(sum(rows), 0), model, number, run, artifact FROM {BATCHES} WHERE {condition}"
    count, model, number, run, artifact = connection.execute(sql, values).fetchone()
    return count, f"{model}:{number}" if model is not None else f"run:{run}/{artifact}"
