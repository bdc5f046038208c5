"""Whether the registry's rows say what its events say. Who edits a row has to edit the events too, and those are chained."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, StoreError
from modelmgmt.models.registry.projection import PREFIX, replay
from modelmgmt.models.registry.rows import KINDS, Row, Tables, VersionRow
from modelmgmt.store import events
from modelmgmt.store.integrity import Problem
from modelmgmt.tracking import record as records

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def check_registry(kernel: Kernel) -> list[Problem]:
    """Every row of the registry that its events contradict; an empty list when they agree."""
    try:
        with kernel.database.reading() as connection:
            return list(contradictions(connection))
    except CorruptDataError as error:
        return [Problem("table events", str(error))]
    except (StoreError, sqlite3.DatabaseError) as error:
        return [Problem.of("store.db", error)]


def restore_registry(kernel: Kernel) -> int:
    """Write the rows anew as the events say; returns how many rows were another. Survives a power cut.

    Nothing is done when the chain of events is broken: then they cannot be taken for what happened. Raises StoreWriteError.
    """
    with kernel.database.writing(durable=True) as connection:
        if events.verify(connection) is not None:
            return 0
        wrong = {(problem.where, problem.what.partition(", and ")[0]) for problem in contradictions(connection)}
        if wrong:
            _write_anew(connection)
        return len(wrong)


def _write_anew(connection: sqlite3.Connection) -> None:
    decided = replay(event for event in events.read(connection) if event.kind.startswith(PREFIX))
    runs = {run for (run,) in connection.execute("SELECT id FROM runs")}
    for run in {row.run for row in decided.all(VersionRow) if row.run is not None} - runs:
        records.adopt(connection, run)  # it has lost its own row
    for kind in reversed(KINDS):  # what belongs to others first
        connection.execute(f"DELETE FROM {kind.TABLE}")
    for kind in KINDS:
        for row in decided.all(kind):
            Tables(connection).put(row)


def contradictions(connection: sqlite3.Connection) -> Iterator[Problem]:
    """As `check_registry`, for a connection."""
    decided = replay(event for event in events.read(connection) if event.kind.startswith(PREFIX))
    for kind in KINDS:
        names = [field.name for field in fields(kind)]
        # Not verified: a row that was edited without its checksum is to be named, too.
        found = (kind(*row) for row in connection.execute(f"SELECT {', '.join(names)} FROM {kind.TABLE}"))
        rows = {row.identity: row for row in found}
        wanted = decided.rows[kind]
        for identity in [*wanted, *(key for key in rows if key not in wanted)]:
            yield from _compare(kind, identity, rows.get(identity), wanted.get(identity))


def _compare(kind: type[Row], identity: tuple[object, ...], row: Row | None, wanted: Row | None) -> Iterator[Problem]:
    where, what = f"table {kind.TABLE}", " ".join(map(str, identity))
    if row is None:
        yield Problem(where, f"The row of {what} is missing, and the log says that it exists.")
    elif wanted is None:
        yield Problem(where, f"There is a row of {what}, and no event in the log made it.")
    else:
        for field in fields(kind):
            is_now, was = getattr(row, field.name), getattr(wanted, field.name)
            if is_now != was:
                yield Problem(where, f"{field.name} of {what} is {is_now!r}, and the log says {was!r}.")
