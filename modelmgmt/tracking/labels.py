"""Tags and notes: what people say about a run. Alone writes the tables `tags` and `notes`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from modelmgmt.errors import InvalidTypeError, InvalidValueError, warn
from modelmgmt.store.names import check_name
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.secrets import HIDDEN, hidden_in_text, hidden_value
from modelmgmt.store.times import from_iso, now_iso
from modelmgmt.versions.data.values import REPAIR, as_mapping, entries, text

MAX_TAG_CHARS = 5_000
MAX_NOTE_CHARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Note:
    """A note on a run; `written_at` is aware, in UTC."""

    written_at: datetime
    text: str


def checked_tags(tags: object) -> dict[str, str]:
    """Names and values as they are kept: whatever prints as text becomes it; secrets become `***`, with a warning."""
    given = as_mapping(tags)
    if given is None:
        message = f"Tags are a mapping of names to text, and {type(tags).__name__} was given: pass a dict."
        raise InvalidTypeError(message)
    return {check_name(key, "tag"): _tag_text(key, value) for key, value in entries(given, "tag")}


def write_tags(connection: sqlite3.Connection, run: str, tags: Mapping[str, str]) -> None:
    """Set tags; a tag that was there gets the new value."""
    rows = [(run, key, value) for key, value in tags.items()]
    connection.executemany(
        "INSERT OR REPLACE INTO tags (run, key, value, crc) VALUES (?, ?, ?, ?)",
        [(*row, row_crc("tags", row)) for row in rows],
    )


def read_tags(connection: sqlite3.Connection, run: str) -> dict[str, str]:
    """The tags of a run, by key."""
    rows = connection.execute("SELECT run, key, value, crc FROM tags WHERE run = ? ORDER BY key", (run,))
    return {key: value for _, key, value in (verified("tags", row) for row in rows)}


def remove_tag(connection: sqlite3.Connection, run: str, key: str) -> None:
    """Remove a tag, if it is there."""
    connection.execute("DELETE FROM tags WHERE run = ? AND key = ?", (run, key))


def checked_note(text: object) -> str:
    """The text of a note. Raises InvalidTypeError, InvalidValueError."""
    if not isinstance(text, str):
        raise InvalidTypeError(f"A note is text, and {type(text).__name__} was given: pass a str.")
    return hidden_in_text(_checked_text(text, "A note", MAX_NOTE_CHARS))


def write_note(connection: sqlite3.Connection, run: str, text: str) -> None:
    """Add a note; earlier ones stay."""
    row = (run, now_iso(), text)
    connection.execute(
        "INSERT INTO notes (run, written_at, text, crc) VALUES (?, ?, ?, ?)", (*row, row_crc("notes", row))
    )


def read_notes(connection: sqlite3.Connection, run: str) -> list[Note]:
    """The notes of a run, oldest first."""
    rows = connection.execute("SELECT run, written_at, text, crc FROM notes WHERE run = ? ORDER BY id", (run,))
    return [Note(from_iso(written_at), text) for _, written_at, text in (verified("notes", row) for row in rows)]


def rewrite_notes(connection: sqlite3.Connection, run: str, rewrite: Callable[[str], str]) -> int:
    """Give each note that `rewrite` changes its new text; returns how many."""
    rows = connection.execute("SELECT id, run, written_at, text, crc FROM notes WHERE run = ?", (run,)).fetchall()
    changed = [(row[0], *verified("notes", row[1:])[:2], rewrite(row[3])) for row in rows if rewrite(row[3]) != row[3]]
    for number, *row in changed:
        crc = row_crc("notes", tuple(row))
        connection.execute("UPDATE notes SET text = ?, crc = ? WHERE id = ?", (row[2], crc, number))
    return len(changed)


def _tag_text(key: object, value: object) -> str:
    found = text(value)
    if found is None:
        message = f"The tag {key!r} is of type {type(value).__name__}: a tag's value is text, or what prints as text."
        raise InvalidTypeError(message)
    checked = _checked_text(found, f"The tag {key!r}", MAX_TAG_CHARS)
    kept = hidden_value(str(key), checked)
    if kept != checked:
        warn(f"What reads like a secret is kept as {HIDDEN} in the tag {str(key)!r}: leave secrets out of the tags.")
    return kept


def _checked_text(text: str, what: str, max_chars: int) -> str:
    if len(text) > max_chars:
        message = f"{what} has {len(text):,} characters, {max_chars:,} are allowed: use log_text for long text."
        raise InvalidValueError(message)
    if "\0" in text:
        raise InvalidValueError(f"{what} has a NUL character: remove it.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"{what} is not valid Unicode text ({error.reason}): {REPAIR}.") from error
    return text
