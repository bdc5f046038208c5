"""Deciding: the event and the rows that follow from it, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from modelmgmt.models.registry.origin import origin
from modelmgmt.models.registry.projection import PREFIX, apply
from modelmgmt.models.registry.rows import Tables
from modelmgmt.store import events
from modelmgmt.store.events import Event


def decide(connection: sqlite3.Connection, kind: str, model: str, detail: Mapping[str, Any]) -> Event:
    """Append the event, with the code it comes from, and change the rows as it says."""
    event = events.append(connection, kind, model, {**detail, "code": origin()})
    apply(Tables(connection), event)
    return event


def of_model(connection: sqlite3.Connection, model: str, *, after: int = 0) -> Iterator[Event]:
    """The registry's events about a model, oldest first."""
    return (event for event in events.read(connection, model, after=after) if event.kind.startswith(PREFIX))


def last_of(connection: sqlite3.Connection, model: str) -> int:
    """The number of the newest event about a model, 0 for none: what somebody has seen who looks now."""
    (number,) = connection.execute("SELECT coalesce(max(id), 0) FROM events WHERE subject = ?", (model,)).fetchone()
    return int(number)
