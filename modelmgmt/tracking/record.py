"""The row of a run. Alone writes the table `runs`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from modelmgmt.errors import AmbiguousError, InvalidTypeError, NotFoundError
from modelmgmt.store.events import user
from modelmgmt.store.ids import new_id, new_name
from modelmgmt.store.names import did_you_mean
from modelmgmt.store.process import Process, current
from modelmgmt.store.rows import row_crc, verified
from modelmgmt.store.times import from_iso, now_us, to_iso
from modelmgmt.tracking.command_line import command_line

RECOVERED = "recovered"
"""The experiment of runs that a repair had to make a new row for."""
MAX_ERROR_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One row of `runs`, in its order of columns. Times are ISO text, UTC."""

    id: str
    experiment: str
    name: str
    number: int
    status: str
    started_at: str
    ended_at: str | None
    parent: str | None
    group_name: str | None
    error: str | None
    user: str | None
    host: str
    boot_id: str
    pid: int
    process_start: str
    command: str
    lost_points: int

    @property
    def owner(self) -> Process:
        """The process that started or resumed the run."""
        return Process(self.host, self.boot_id, self.pid, self.process_start)

    @property
    def true_status(self) -> str:
        """The status, where a running run whose process is gone has crashed."""
        return "crashed" if self.status == "running" and self.owner.is_gone() else self.status

    @property
    def started(self) -> datetime:
        return from_iso(self.started_at)

    @property
    def ended(self) -> datetime | None:
        return from_iso(self.ended_at) if self.ended_at else None

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return (from_iso(self.ended_at) - self.started).total_seconds() if self.ended_at else None


COLUMNS = tuple(field.name for field in fields(RunRecord))
SELECT = f"SELECT {', '.join(f'runs.{name}' for name in (*COLUMNS, 'crc'))} FROM runs"
_INSERT = f"INSERT INTO runs ({', '.join(COLUMNS)}, crc) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
_UPDATE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in COLUMNS)}, crc = ? WHERE id = ?"


def from_row(row: Sequence[Any]) -> RunRecord:
    """The record of a row that `SELECT` gave. Raises CorruptDataError."""
    return RunRecord(*verified("runs", row))


def insert(
    connection: sqlite3.Connection,
    *,
    experiment: str,
    name: str | None,
    parent: str | None,
    group: str | None,
) -> RunRecord:
    """Begin a run: a new row, owned by this process."""
    (number,) = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM runs WHERE experiment = ?", (experiment,)
    ).fetchone()
    time_us = now_us()
    owner = current()
    record = RunRecord(
        id=new_id(time_us),
        experiment=experiment,
        name=name or new_name(number),
        number=number,
        status="running",
        started_at=to_iso(time_us),
        ended_at=None,
        parent=parent,
        group_name=group,
        error=None,
        user=user(),
        host=owner.host,
        boot_id=owner.boot_id,
        pid=owner.pid,
        process_start=owner.start,
        command=command_line(),
        lost_points=0,
    )
    write(connection, record)
    return record


def adopt(connection: sqlite3.Connection, run: str) -> None:
    """A new row for a run that has lost its own: what it was is not known any more."""
    record = insert(connection, experiment=RECOVERED, name=f"recovered-{run}", parent=None, group=None)
    _change(connection, record.id, id=run, status="crashed", ended_at=record.started_at, user=None, command="unknown")


def write(connection: sqlite3.Connection, record: RunRecord) -> None:
    """A row that is not there yet."""
    connection.execute(_INSERT, _row(record))


def overwrite(connection: sqlite3.Connection, record: RunRecord) -> None:
    """The row, as another store has it."""
    connection.execute(_UPDATE, (*_row(record), record.id))


def take_over(connection: sqlite3.Connection, run: str) -> None:
    """The run goes on, owned by this process."""
    owner = current()
    _change(
        connection,
        run,
        status="running",
        ended_at=None,
        error=None,
        host=owner.host,
        boot_id=owner.boot_id,
        pid=owner.pid,
        process_start=owner.start,
    )


def end(connection: sqlite3.Connection, run: str, status: str, *, ended_at: str, error: str | None = None) -> None:
    """The run has ended."""
    _change(connection, run, status=status, ended_at=ended_at, error=_kept_error(error))


def _kept_error(error: str | None) -> str | None:
    """The end of a traceback, as Unicode text: what it quotes may be none."""
    return error[-MAX_ERROR_CHARS:].encode("utf-8", "backslashreplace").decode() if error else None


def add_lost_points(connection: sqlite3.Connection, run: str, count: int) -> None:
    """Points that could not be kept, to be seen by whoever looks at the run."""
    _change(connection, run, lost_points=read(connection, run).lost_points + count)


def _change(connection: sqlite3.Connection, run: str, **changes: Any) -> None:
    connection.execute(_UPDATE, (*_row(replace(read(connection, run), **changes)), run))


def _row(record: RunRecord) -> tuple[Any, ...]:
    values = tuple(getattr(record, column) for column in COLUMNS)
    return (*values, row_crc("runs", values))


def read(connection: sqlite3.Connection, run: str) -> RunRecord:
    """The row with that id. Raises NotFoundError."""
    row = connection.execute(f"{SELECT} WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise NotFoundError(f"The store has no run with the id {run!r}.")
    return from_row(row)


def find(connection: sqlite3.Connection, reference: object) -> RunRecord:
    """The run that a person means: by id, by name, or by a part of the id. Raises NotFoundError, AmbiguousError."""
    if not isinstance(reference, str):
        raise InvalidTypeError(f"A run is named by its id or name, and {type(reference).__name__} was given.")
    for condition, value in (
        ("id = ?", reference),
        ("name = ?", reference),
        ("id LIKE ? ESCAPE '\\'", _starts(reference)),
        ("id LIKE ? ESCAPE '\\'", "%" + _starts(reference)[:-1]),
    ):
        rows = connection.execute(f"{SELECT} WHERE {condition} ORDER BY id DESC LIMIT 6", (value,)).fetchall()
        if len(rows) == 1:
            return from_row(rows[0])
        if rows:
            found = ", ".join(f"{row[0]} ({row[1]}/{row[2]})" for row in rows[:5])
            raise AmbiguousError(f"Several runs answer to {reference!r}: {found}. Use the whole id.")
    names = (name for (name,) in connection.execute("SELECT DISTINCT name FROM runs ORDER BY id DESC LIMIT 2000"))
    hint = did_you_mean(reference, names)
    if connection.execute("SELECT 1 FROM runs WHERE experiment = ? LIMIT 1", (reference,)).fetchone() is not None:
        name = reference.replace("'", "''")
        hint = f" It is an experiment: its runs answer to the filter \"run.experiment = '{name}'\"."
    raise NotFoundError(f"The store has no run {reference!r}: 'modelmgmt runs' lists ids and names.{hint}")


def running_without_process(
    connection: sqlite3.Connection, is_gone: Callable[[Process], bool] = Process.is_gone
) -> Mapping[str, RunRecord]:
    """Runs that still say running, whose process is gone."""
    rows = connection.execute(f"{SELECT} WHERE status = 'running'").fetchall()
    return {record.id: record for record in map(from_row, rows) if is_gone(record.owner)}


def running(connection: sqlite3.Connection) -> bool:
    """Whether a run goes on, here or in another process."""
    rows = connection.execute(f"{SELECT} WHERE status = 'running'").fetchall()
    return any(not record.owner.is_gone() for record in map(from_row, rows))


def _starts(reference: str) -> str:
    escaped = reference.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return (escaped or "\\") + "%"
