"""Bringing the runs of another store into this one: by content, in any order, any number of times."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import ConflictError, CorruptDataError, NotFoundError
from modelmgmt.store import events
from modelmgmt.store.collect import expanded, named
from modelmgmt.store.rows import CHECKSUM, checked_columns, column_names, row_crc, verified
from modelmgmt.store.trees import Trees
from modelmgmt.tracking import record as records
from modelmgmt.tracking.deletion import deleted_runs
from modelmgmt.tracking.record import RECOVERED
from modelmgmt.tracking.steps import results
from modelmgmt.versions.data import record as data

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


# The tables with rows of a run, and the column that says which of two rows for one thing is the later one.
_TABLES = {
    "run_endings": None, "params": None, "tags": None, "notes": None, "artifacts": "logged_at", "code_versions": None,
    "run_environments": None, "run_datasets": None, "steps": "updated_at",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Merged:
    """What came in: nothing at all when the same store is merged again."""

    runs: tuple[str, ...]
    """New here."""
    updated: tuple[str, ...]
    """Were here, and got something more."""
    chunks: int
    objects: int
    predictions: int = 0
    """What deployed models said: brought by the room above."""
    erased: int = 0
    """Predictions that were here, and that somebody has erased in the other store by their ids."""


def merge(into: Kernel, other: Kernel) -> Merged:
    """Take every run of `other` that is not here, and what is new of those that are. Survives a power cut on return.

    Runs are the same when their ids are. Of two values for one thing (a param, a tag, the end of a run) the same one is
    taken whichever store is merged into which: the later one where a time says so, else the one with the higher
    checksum. Of a step whose result was kept as a pickle the result stays behind. A run that was deleted in either store
    does not come back. Points that a live process of `other` still has in its journal come with the next merge.
    """
    other.fold()
    with other.database.reading() as source:
        gone = deleted_runs(source)
        with into.database.reading() as target:
            gone |= deleted_runs(target)
        found = [records.from_row(row) for row in source.execute(f"{records.SELECT} ORDER BY runs.id")]
        wanted = [record for record in found if record.id not in gone]
        _refuse_others_of_the_same_id(into, wanted)
        objects = _bring_objects(into, other, source, [record.id for record in wanted])
        new, updated, chunks = [], [], 0
        for record in wanted:
            with into.database.writing() as target:
                is_new, changes, count = _bring_run(into, other, source, target, record)
            chunks += count
            if is_new:
                new.append(record.id)
            elif changes or count:
                updated.append(record.id)
    with into.database.writing(durable=True) as target:
        if new or updated or objects:
            detail = {"runs": len(new), "updated": len(updated), "head": events.head_of(other)}
            events.append(target, "store.merged", str(other.path), detail)
        elif wanted:
            # Somebody who merged the same was killed, maybe, before this: a change, so that the commit reaches the disk.
            records.add_lost_points(target, wanted[0].id, 0)
    return Merged(tuple(new), tuple(updated), chunks, objects)


def _refuse_others_of_the_same_id(into: Kernel, wanted: Sequence[records.RunRecord]) -> None:
    """People choose ids of their own: two runs that began at different times are not one."""
    with into.database.reading() as target:
        here = {record.id: record for record in map(records.from_row, target.execute(records.SELECT))}
    for record in wanted:
        there = here.get(record.id, record)
        if there.started_at != record.started_at and RECOVERED not in (there.experiment, record.experiment):
            raise ConflictError(
                f"The run {record.id!r} of the other store began at {record.started_at}, and the one here that has the same "
                f"id at {there.started_at}: they are different runs. Nothing was merged; delete one of them first."
            )


def _bring_objects(into: Kernel, other: Kernel, source: sqlite3.Connection, runs: Sequence[str]) -> int:
    # Of the tables that are brought here: what rooms above keep of a run may have been deleted here, and is theirs to bring.
    digests = {digest for run in runs for digest in named(source, run, _TABLES) | data.digests_of(source, run)}
    count, pending = 0, set[Path]()
    for digest in sorted(expanded(other, digests)):
        if into.objects.freshen(digest) is None:
            with other.objects.open(digest) as reader:
                into.objects.put_stream(reader, size=other.objects.size(digest), pending=pending)
            count += 1
    into.objects.sync(pending)
    return count


def _bring_run(
    into: Kernel, other: Kernel, source: sqlite3.Connection, target: sqlite3.Connection, record: records.RunRecord
) -> tuple[bool, int, int]:
    """(whether it is new, how many rows came, how many chunks came)"""
    here = target.execute(f"{records.SELECT} WHERE id = ?", (record.id,)).fetchone()
    changes = 0
    if here is None:
        records.write(target, record)
    elif _is_later(source, record, target, records.from_row(here)):
        records.overwrite(target, record)
        changes += record != records.from_row(here)
    changes += data.bring(source, target, record.id)
    for table, later in _TABLES.items():
        changes += _bring_rows(other, source, target, table, record.id, later)
    dropped = records.dropped_chunks(target, record.id)  # those of both by now
    return here is None, changes, into.series.bring(source, target, record.id, dropped)


def _is_later(
    source: sqlite3.Connection, record: records.RunRecord, target: sqlite3.Connection, here: records.RunRecord
) -> bool:
    """Whether the run of `source` went on longer; the same answer whichever way they are asked."""

    def length(connection: sqlite3.Connection, run: records.RunRecord) -> tuple[Any, ...]:
        return records.resumed_at(connection, run.id) or "", run.ended_at or "", run.lost_points, repr(run)

    return length(source, record) >= length(target, here)


def _bring_rows(
    other: Kernel, source: sqlite3.Connection, target: sqlite3.Connection, table: str, run: str, later: str | None
) -> int:
    """Rows that are not here, or that win over the one here: by the column `later`, else by checksum."""
    columns = checked_columns(table, column_names(target, table))
    own = [columns.index(name) for name in _own_key(target, table)]
    order = [columns.index(name) for name in (later, CHECKSUM) if name]

    def key(row: Sequence[Any], places: Sequence[int]) -> tuple[Any, ...]:
        return tuple(row[place] for place in places)

    select = f"SELECT {', '.join(columns)} FROM {table} WHERE run = ?"
    insert = f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    here = {key(row, own): row for row in target.execute(select, (run,))}
    count = 0

    def safe(row: Sequence[Any]) -> Sequence[Any]:
        return _without_pickle(other, columns, row) if table == "steps" else row

    for row in source.execute(select, (run,)).fetchall():
        verified(table, row)
        brought, known = safe(row), here.get(key(row, own))
        if known is None or key(brought, order) > key(safe(known), order):
            target.execute(insert, brought)
            count += 1
    return count


def _without_pickle(other: Kernel, columns: Sequence[str], row: Sequence[Any]) -> Sequence[Any]:
    """The row of a step without its result when that was kept as a pickle, or when nobody can say what it is.

    A call of the same step here would unpickle it, and so run whatever the writers of the other store wanted.
    """
    values = dict(zip(columns, row, strict=True))
    digest = values["output_digest"]
    try:
        is_pickle = digest is not None and results.PICKLE in Trees(other.objects).get(digest)
    except (CorruptDataError, NotFoundError):
        is_pickle = True
    if not is_pickle:
        return row
    kept = tuple(None if name == "output_digest" else values[name] for name in columns if name != CHECKSUM)
    return (*kept, row_crc("steps", kept))


def _own_key(connection: sqlite3.Connection, table: str) -> list[str]:
    """What tells a run's rows of this table from one another. Two equal notes at one time are one note."""
    if table == "notes":
        return ["written_at", "text"]
    return [
        name for _, name, _, _, _, key in connection.execute(f"PRAGMA table_info({table})") if key and name != "run"
    ]
