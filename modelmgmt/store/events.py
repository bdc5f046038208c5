"""The log of decisions: append-only, each event carries the hash of the one before. Alone writes the table `events`.

A changed, dropped or re-ordered event breaks the chain from there on; `verify` names the first one. Dropping the newest
events leaves a shorter chain that is sound in itself: keep `head` somewhere else to notice that, too.
"""

from __future__ import annotations

import getpass
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import printable
from modelmgmt.store.process import current
from modelmgmt.store.times import now_iso

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

FIRST = "0" * 64
_COLUMNS = "id, time, actor, host, kind, subject, detail, previous, hash"


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One row of the table. `detail` is JSON with sorted keys."""

    id: int
    time: str
    actor: str
    host: str
    kind: str
    subject: str
    detail: str
    previous: str
    hash: str

    def __repr__(self) -> str:
        return printable(
            f"<Event {self.id}: {self.kind} {self.subject}, {self.time[:16]} by {self.actor}, {self.hash[:12]}>"
        )

    @property
    def expected_hash(self) -> str:
        """The SHA-256 of all the other values, as a JSON list in the order of the columns."""
        values = [self.id, self.time, self.actor, self.host, self.kind, self.subject, self.detail, self.previous]
        return sha256(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def append(connection: sqlite3.Connection, kind: str, subject: str, detail: Mapping[str, Any] | None = None) -> Event:
    """Add an event to the transaction that it is about: both are there, or neither."""
    last = connection.execute("SELECT id, hash FROM events ORDER BY id DESC LIMIT 1").fetchone() or (0, FIRST)
    text = json.dumps(dict(detail or {}), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    event = Event(last[0] + 1, now_iso(), user() or "unknown", current().host, kind, subject, text, last[1], "")
    values = (*(getattr(event, name.strip()) for name in _COLUMNS.split(",")[:-1]), event.expected_hash)
    connection.execute(f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
    return Event(*values)


def read(connection: sqlite3.Connection, subject: str | None = None, *, after: int = 0) -> Iterator[Event]:
    """Events, oldest first; of one subject, or all; those after a number."""
    condition, values = ("subject = ? AND", (subject,)) if subject is not None else ("", ())
    sql = f"SELECT {_COLUMNS} FROM events WHERE {condition} id > ? ORDER BY id"
    for row in connection.execute(sql, (*values, after)):
        yield Event(*row)


def head(connection: sqlite3.Connection) -> tuple[int, str]:
    """The number and hash of the newest event: what to keep elsewhere, so that truncation shows."""
    row = connection.execute("SELECT id, hash FROM events ORDER BY id DESC LIMIT 1").fetchone()
    return (row[0], row[1]) if row else (0, FIRST)


def log_of(connection: sqlite3.Connection) -> str | None:
    """The hash of the first event, which tells the logs of stores apart; None before there is one."""
    row = connection.execute("SELECT hash FROM events ORDER BY id LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def head_of(kernel: Kernel) -> list[Any]:
    """The head of another store's log, for an event that says what was taken from it."""
    with kernel.database.reading() as connection:
        return list(head(connection))


def verify(connection: sqlite3.Connection) -> str | None:
    """None for a sound chain, else a sentence about the first event that is changed, missing or out of order."""
    return first_fault(read(connection))


def first_fault(log: Iterable[Event]) -> str | None:
    """As `verify`, for events that were read from anywhere. Pure."""
    previous = FIRST
    for number, event in enumerate(log, start=1):
        if event.id != number:
            return f"Event {number} is missing; the next one is {event.id}."
        if event.previous != previous:
            return f"Event {event.id} does not follow event {number - 1}: one of the two was replaced or moved."
        if event.hash != event.expected_hash:
            return f"Event {event.id} ({event.kind} {event.subject}, {event.time}) was changed."
        previous = event.hash
    return None


def user() -> str | None:
    """Who is asking, by the name of the account."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None  # a container may run under a number that has no name
