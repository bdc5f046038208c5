"""Pins: runs that must not be deleted. Alone writes the table `pins`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from modelmgmt.errors import PinnedError
from modelmgmt.store import events
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.times import from_iso, now_iso


@dataclass(frozen=True, slots=True)
class Pin:
    """Why a run is kept, who said so, and when (aware, UTC)."""

    reason: str
    actor: str
    pinned_at: datetime


def pin(connection: sqlite3.Connection, run: str, reason: str) -> None:
    """Pin a run; the reason is kept with it, and as an event."""
    row = (run, reason, events.user() or "unknown", now_iso())
    connection.execute(
        "INSERT OR REPLACE INTO pins (run, reason, actor, pinned_at, crc) VALUES (?, ?, ?, ?, ?)",
        (*row, row_crc("pins", row)),
    )
    events.append(connection, "run.pinned", run, {"reason": reason})


def unpin(connection: sqlite3.Connection, run: str, reason: str) -> None:
    """Unpin a run, if it is pinned; that is an event, too."""
    if connection.execute("DELETE FROM pins WHERE run = ?", (run,)).rowcount:
        events.append(connection, "run.unpinned", run, {"reason": reason})


def read(connection: sqlite3.Connection, run: str) -> Pin | None:
    """The pin of a run, or None."""
    row = connection.execute("SELECT run, reason, actor, pinned_at, crc FROM pins WHERE run = ?", (run,)).fetchone()
    if row is None:
        return None
    _, reason, actor, pinned_at = verified("pins", row)
    return Pin(reason, actor, from_iso(pinned_at))


def refuse_pinned(connection: sqlite3.Connection, run: str) -> None:
    """Raises PinnedError when the run is pinned."""
    found = read(connection, run)
    if found is not None:
        message = f"The run {run} is pinned by {found.actor} ({found.reason!r}): unpin it first, with store.unpin(...)."
        raise PinnedError(message)
