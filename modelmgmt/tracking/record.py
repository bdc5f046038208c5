"""The row of a run, and how it ended before it went on. Alone writes the tables `runs` and `run_endings`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import AmbiguousError, CorruptDataError, InvalidTypeError, NotFoundError
from modelmgmt.store.events import user
from modelmgmt.store.ids import new_id, new_name
from modelmgmt.store.names import did_you_mean
from modelmgmt.store.process import Process, current
from modelmgmt.store.rows import from_json, row_crc, verified
from modelmgmt.store.secrets import hidden_in_text
from modelmgmt.store.times import from_iso, now_iso, now_us, to_iso
from modelmgmt.tracking.command_line import command_line
from modelmgmt.tracking.query.tree import STATUSES

if TYPE_CHECKING:
    from modelmgmt.store.series import Dropped

RECOVERED = "recovered"
"""The experiment of runs that a repair had to make a new row for."""
MAX_ERROR_CHARS = 100_000
_MOST = 1 << 53
"""No count of ours is larger: the number of a run, of a process, of lost points."""


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


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run had ended before it went on; times are aware, in UTC."""

    status: str
    ended_at: datetime
    error: str | None
    resumed_at: datetime
    from_step: int | None
    """The step that it went on from, when the points from there on were dropped."""
    dropped_points: int


COLUMNS = tuple(field.name for field in fields(RunRecord))
SELECT = f"SELECT {', '.join(f'runs.{name}' for name in (*COLUMNS, 'crc'))} FROM runs"
_INSERT = f"INSERT INTO runs ({', '.join(COLUMNS)}, crc) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
_ENDING = (
    "run", "resumed_at", "ended_at", "status", "error", "from_step", "dropped_points", "dropped_chunks",
)  # fmt: skip
_INSERT_ENDING = f"INSERT INTO run_endings ({', '.join(_ENDING)}, crc) VALUES ({', '.join('?' * (len(_ENDING) + 1))})"
_UPDATE = f"UPDATE runs SET {', '.join(f'{name} = ?' for name in COLUMNS)}, crc = ? WHERE id = ?"


def from_row(row: Sequence[Any]) -> RunRecord:
    """The record of a row that `SELECT` gave. Raises CorruptDataError."""
    record = RunRecord(*verified("runs", row))
    for text in (record.started_at, record.ended_at or record.started_at):
        from_iso(text)
    counts = (record.number, record.pid, record.lost_points)
    if record.status not in STATUSES or not all(0 <= count < _MOST for count in counts):
        raise CorruptDataError(f"The row of the run {record.id} has values that no run has: restore a backup.")
    return record


def insert(
    connection: sqlite3.Connection,
    *,
    experiment: str,
    name: str | None,
    parent: str | None,
    group: str | None,
    run: str | None = None,
) -> RunRecord:
    """Begin a run: a new row, owned by this process. `run` is an id of the caller's own, which no run has."""
    number = _next_number(connection, experiment)
    time_us = now_us()
    owner = current()
    record = RunRecord(
        id=run or new_id(time_us),
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


def take_over(
    connection: sqlite3.Connection, run: str, *, from_step: int | None = None, dropped: Dropped | None = None
) -> RunRecord:
    """The run, which has ended, goes on, owned by this process. How it had ended is kept."""
    owner = current()
    before = read(connection, run)
    ended_at = before.ended_at or before.started_at
    row = (
        run, max(now_iso(), ended_at), ended_at, before.status, before.error, from_step,
        dropped.points if dropped else 0, json.dumps(dropped.chunks if dropped else []),
    )  # fmt: skip
    connection.execute(_INSERT_ENDING, (*row, row_crc("run_endings", row)))
    return _change(
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


def rename(connection: sqlite3.Connection, run: str, name: str) -> RunRecord:
    """Give a run another name."""
    return _change(connection, run, name=name)


def move(connection: sqlite3.Connection, run: str, experiment: str) -> RunRecord:
    """Move a run, and those below it that are in the same experiment, to another one."""
    here = read(connection, run)
    if here.experiment == experiment:
        return here
    todo = [run]
    while todo:
        one = todo.pop()
        _change(connection, one, experiment=experiment, number=_next_number(connection, experiment))
        below = "SELECT id FROM runs WHERE parent = ? AND experiment = ? ORDER BY id DESC"
        todo += [found for (found,) in connection.execute(below, (one, here.experiment))]
    return read(connection, run)


def end(connection: sqlite3.Connection, run: str, status: str, *, ended_at: str, error: str | None = None) -> None:
    """The run has ended: never before it began or went on, whatever the clock says."""
    began = max(read(connection, run).started_at, resumed_at(connection, run) or "")
    _change(connection, run, status=status, ended_at=max(ended_at, began), error=_kept_error(error))


def resumed_at(connection: sqlite3.Connection, run: str) -> str | None:
    """When the run went on last; None when it never did."""
    (last,) = connection.execute("SELECT max(resumed_at) FROM run_endings WHERE run = ?", (run,)).fetchone()
    return str(last) if last is not None else None


def endings(connection: sqlite3.Connection, run: str) -> list[Ending]:
    """How the run had ended before it went on, oldest first. Raises CorruptDataError."""
    rows = connection.execute(f"SELECT {', '.join(_ENDING)}, crc FROM run_endings WHERE run = ? ORDER BY 2", (run,))
    found = []
    for row in rows.fetchall():
        _, resumed, ended, status, error, from_step, points, _ = verified("run_endings", row)
        found.append(Ending(status, from_iso(ended), error, from_iso(resumed), from_step, points))
    return found


def dropped_chunks(connection: sqlite3.Connection, run: str) -> set[bytes]:
    """The heads of the chunks that lost points when the run went on from a step."""
    rows = connection.execute("SELECT dropped_chunks FROM run_endings WHERE run = ?", (run,)).fetchall()
    return {bytes.fromhex(head) for (text,) in rows for head in from_json("run_endings.dropped_chunks", text, [str])}


def hide_secrets(connection: sqlite3.Connection, run: str, command: str) -> list[str]:
    """Write command and errors of a run without secrets; `command` is without them. Returns what had some."""
    found = []
    before = read(connection, run)
    if before.command != command:
        found.append("command")
        _change(connection, run, command=command)
    if _kept_error(before.error) != before.error:
        found.append("error")
        _change(connection, run, error=_kept_error(before.error))
    sql = f"SELECT {', '.join(_ENDING)}, crc FROM run_endings WHERE run = ?"
    for row in connection.execute(sql, (run,)).fetchall():
        values = dict(zip(_ENDING, verified("run_endings", row), strict=False))
        error = _kept_error(values["error"])
        if error != values["error"]:
            found.append("error")
            crc = row_crc("run_endings", tuple({**values, "error": error}.values()))
            change = "UPDATE run_endings SET error = ?, crc = ? WHERE run = ? AND resumed_at = ?"
            connection.execute(change, (error, crc, run, values["resumed_at"]))
    return found


def _kept_error(error: str | None) -> str | None:
    """The end of a traceback, as Unicode text: what it quotes may be none."""
    kept = hidden_in_text(error[-MAX_ERROR_CHARS:]) if error else ""
    return kept.encode("utf-8", "backslashreplace").decode() or None


def add_lost_points(connection: sqlite3.Connection, run: str, count: int) -> None:
    """Points that could not be kept, to be seen by whoever looks at the run."""
    _change(connection, run, lost_points=read(connection, run).lost_points + count)


def _change(connection: sqlite3.Connection, run: str, **changes: Any) -> RunRecord:
    changed = replace(read(connection, run), **changes)
    connection.execute(_UPDATE, (*_row(changed), run))
    return changed


def _next_number(connection: sqlite3.Connection, experiment: str) -> int:
    sql = "SELECT coalesce(max(number), 0) + 1 FROM runs WHERE experiment = ? AND number < ?"
    return int(connection.execute(sql, (experiment, _MOST)).fetchone()[0])


def _row(record: RunRecord) -> tuple[Any, ...]:
    values = tuple(getattr(record, column) for column in COLUMNS)
    return (*values, row_crc("runs", values))


def exists(connection: sqlite3.Connection, run: str) -> bool:
    """Whether there is a row with that id."""
    return connection.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is not None


def read(connection: sqlite3.Connection, run: str) -> RunRecord:
    """The row with that id. Raises NotFoundError."""
    row = connection.execute(f"{SELECT} WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise NotFoundError(f"The store has no run with the id {run!r}.")
    return from_row(row)


def find(connection: sqlite3.Connection, reference: object, *, exact: bool = False) -> RunRecord:
    """The run that a person means: by id, by name, or by a part of the id. Raises NotFoundError, AmbiguousError.

    A name that several runs have means the newest of them; `exact` refuses it, for what changes or deletes a run.
    """
    if not isinstance(reference, str):
        raise InvalidTypeError(f"A run is named by its id or name, and {type(reference).__name__} was given.")
    for condition, value in (
        ("id = ?", reference),
        ("name = ?", reference),
        ("id LIKE ? ESCAPE '\\'", _starts(reference)),
        ("id LIKE ? ESCAPE '\\'", "%" + _starts(reference)[:-1]),
    ):
        newest = f"{SELECT} WHERE {condition} ORDER BY started_at DESC, id DESC LIMIT 6"
        rows = connection.execute(newest, (value,)).fetchall()
        if len(rows) == 1 or (rows and condition == "name = ?" and not exact):
            return from_row(rows[0])
        if rows:
            found = ", ".join(f"{row[0]} ({row[1]}/{row[2]})" for row in rows[:5])
            more = ", ..." if len(rows) > 5 else ""
            raise AmbiguousError(f"Several runs answer to {reference!r}: {found}{more}. Use the whole id.")
    names = (name for (name,) in connection.execute("SELECT DISTINCT name FROM runs ORDER BY id DESC LIMIT 2000"))
    hint = did_you_mean(reference, names)
    if connection.execute("SELECT 1 FROM runs WHERE experiment = ? LIMIT 1", (reference,)).fetchone() is not None:
        name = reference.replace("'", "''")
        hint = f" It is an experiment: its runs answer to the filter \"run.experiment = '{name}'\"."
    raise NotFoundError(f"The store has no run {reference!r}: 'modelmgmt runs' lists ids and names.{hint}")


def namesakes(connection: sqlite3.Connection, record: RunRecord) -> str:
    """What to know of a run whose name others have, too; empty when it alone has it."""
    sql = "SELECT count(*), max(id) FROM runs WHERE name = ?"
    count, newest = connection.execute(sql, (record.name,)).fetchone()
    if count < 2:
        return ""
    return (
        f"the newest of {count} runs with this name" if newest == record.id else f"one of {count} runs with this name"
    )


def running_without_process(
    connection: sqlite3.Connection, is_gone: Callable[[Process], bool] = Process.is_gone
) -> Mapping[str, RunRecord]:
    """Runs that still say running, whose process is gone."""
    rows = connection.execute(f"{SELECT} WHERE status = 'running'").fetchall()
    return {record.id: record for record in map(from_row, rows) if is_gone(record.owner)}


def innermost_of(connection: sqlite3.Connection, owner: Process) -> RunRecord | None:
    """The run that this process is certainly busy with: the innermost one, or what several at a time are all below."""
    rows = connection.execute(
        f"{SELECT} WHERE status = 'running' AND host = ? AND boot_id = ? AND pid = ? AND process_start = ?",
        (owner.host, owner.boot_id, owner.pid, owner.start),
    ).fetchall()
    own = {record.id: record for record in map(from_row, rows)}

    def above(record: RunRecord) -> list[RunRecord]:
        found = [record]
        while (parent := own.get(found[0].parent or "")) is not None and parent not in found:
            found.insert(0, parent)
        return found

    paths = [above(record) for record in own.values()]
    longest = max(paths, key=len, default=[])
    for length in range(len(longest), 0, -1):
        if all(longest[:length] == other[:length] or longest[: len(other)] == other for other in paths):
            return longest[length - 1]
    return None


def running(connection: sqlite3.Connection) -> bool:
    """Whether a run goes on, here or in another process."""
    rows = connection.execute(f"{SELECT} WHERE status = 'running'").fetchall()
    return any(not record.owner.is_gone() for record in map(from_row, rows))


def _starts(reference: str) -> str:
    escaped = reference.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return (escaped or "\\") + "%"
