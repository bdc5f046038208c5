"""Whether the registry's rows say what its events say. Who edits a row has to edit the events too, and those are chained."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from modelmgmt.errors import StoreError
from modelmgmt.models.projection import PREFIX, replay
from modelmgmt.models.rows import KINDS, Row
from modelmgmt.store import events
from modelmgmt.store.integrity import Problem

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def check_registry(kernel: Kernel) -> list[Problem]:
    """Every row of the registry that its events contradict; an empty list when they agree."""
    try:
        with kernel.database.reading() as connection:
            return list(contradictions(connection))
    except (StoreError, sqlite3.DatabaseError) as error:
        return [Problem("store.db", str(error))]
    except (KeyError, TypeError, ValueError) as error:  # an event whose detail is not what was written
        return [Problem("table events", f"The events of the registry can not be followed: {error!r}.")]


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
        yield Problem(where, f"The row of {what} is missing: the events say that it is there.")
    elif wanted is None:
        yield Problem(where, f"There is a row of {what}, and no event that it follows from.")
    else:
        for field in fields(kind):
            is_now, was = getattr(row, field.name), getattr(wanted, field.name)
            if is_now != was:
                yield Problem(where, f"{field.name} of {what} is {is_now!r}, and the events say {was!r}.")
