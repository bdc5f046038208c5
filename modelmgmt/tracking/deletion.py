"""Deleting a run, for real: rows, points, objects, free pages, write-ahead log. A tombstone event remains."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import RunInUseError, StoreWriteError
from modelmgmt.store import events, journal
from modelmgmt.store.collect import collect, expanded, named, remove_abandoned
from modelmgmt.store.disk import is_there, reads
from modelmgmt.store.names import counted
from modelmgmt.store.process import Process
from modelmgmt.store.sqlite_errors import BUSY_TIMEOUT_S
from modelmgmt.tracking import lifecycle, pins
from modelmgmt.tracking import record as records
from modelmgmt.versions import capture
from modelmgmt.versions.data import record as data

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

TOMBSTONE = "run.deleted"
_CHECKPOINT_TIMEOUT_S = 10.0
BESIDE_WRITERS_S = 600.0
"""How fresh an object of a deleted run is spared while other runs go on: they may have found it, and not named it yet."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What was deleted, and where copies may still be that this store made earlier."""

    runs: tuple[str, ...]
    objects: tuple[str, ...]
    bytes: int
    leftovers: tuple[Path, ...]
    """Where something of the run may still be: copies from before an upgrade, files that were set aside, objects that
    nothing names any more and that are too young to be collected, as a run that is going on may be about to name the same
    bytes. Look at them, and remove them yourself; of objects,
    'modelmgmt store gc --grace 0' removes all, when nobody is writing."""


Refuse = Callable[[sqlite3.Connection, str], None]
"""Asked for each run: raises when something of a room above hangs on it."""


def delete(
    kernel: Kernel, run: str, *, children: bool = False, reason: str = "", refusals: Sequence[Refuse] = ()
) -> Deletion:
    """Delete a run; with `children`, the runs below it as well. On return nothing of it is in the store's files, but for
    the `leftovers`.

    Objects that other runs share stay, and so do versions of data that other runs used. Raises PinnedError,
    RunInUseError for a run that is still written or has children, NotFoundError, StoreWriteError when the disk
    refuses or another process keeps reading: the rows are gone then, and calling it again for any run cleans what
    is left.
    """
    capture.of(kernel).settle()  # what is on its way in this process has no name yet
    kernel.retire()
    kernel.series.recover()
    with kernel.database.writing(durable=True) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA defer_foreign_keys = ON")  # until all of a family are gone, one may be below another
        runs = _family(connection, records.read(connection, run), children=children)
        for record in runs:
            _refuse(kernel, connection, record)
            for refuse in refusals:
                refuse(connection, record.id)
        digests = {digest for record in runs for digest in named(connection, record.id)}
        used = {version for record in runs for _, version in data.read(connection, record.id)}
        for record in reversed(runs):
            connection.execute("DELETE FROM runs WHERE id = ?", (record.id,))
            events.append(connection, TOMBSTONE, record.id, {"reason": reason})
        digests |= data.forget_unused(connection, used)
        grace_s = BESIDE_WRITERS_S if records.running(connection) else 0.0
    freed = collect(kernel, grace_s=grace_s, among=expanded(kernel, digests))
    collect(kernel)  # what it had named before
    young = collect(kernel, grace_s=0.0, dry_run=True).digests
    kernel.objects.sync({kernel.objects.path(digest).parent for digest in freed.digests})  # that they are gone
    remove_abandoned(kernel)
    scrub(kernel)
    return Deletion(tuple(record.id for record in runs), freed.digests, freed.bytes, leftovers(kernel, young))


def deleted_runs(connection: sqlite3.Connection) -> set[str]:
    """The ids of runs that were deleted here."""
    return {run for (run,) in connection.execute("SELECT subject FROM events WHERE kind = ?", (TOMBSTONE,))}


def _family(connection: sqlite3.Connection, record: records.RunRecord, *, children: bool) -> list[records.RunRecord]:
    """The run and all below it, parents first."""
    found = {record.id: record}  # by id: in a store of somebody else, a run may be below itself
    todo = [record]
    while todo:
        rows = connection.execute(f"{records.SELECT} WHERE parent = ?", (todo.pop(0).id,)).fetchall()
        below = [each for each in map(records.from_row, rows) if each.id not in found]
        found |= {each.id: each for each in below}
        todo += below
    family = list(found.values())
    if len(family) > 1 and not children:
        message = (
            f"The run {record.name} has {counted(len(family) - 1, 'run')} below it: delete them too with children=True."
        )
        raise RunInUseError(message)
    return family


def _refuse(kernel: Kernel, connection: sqlite3.Connection, record: records.RunRecord) -> None:
    pins.refuse_pinned(connection, record.id)
    if lifecycle.find_open(record.id) is not None or record.true_status == "running":
        message = f"The run {record.name} is still running (process {record.pid} on {record.host}): finish it first."
        raise RunInUseError(message)
    refuse_in_journals(kernel, record)


def refuse_in_journals(kernel: Kernel, record: records.RunRecord) -> None:
    """Raises RunInUseError while another process has points of the run that are in no table yet."""
    with reads(kernel.path):
        names = os.listdir(kernel.path / "journal")
    for name in names:
        owner = _owner_of(kernel.path / "journal" / name, record.id) if name.endswith(journal.SUFFIX) else None
        if owner is not None:
            message = (
                f"The process {owner.pid} on {owner.host} has points of the run {record.name} in its journal {name}"
            )
            raise RunInUseError(f"{message}: end its runs or the process first.")


def _owner_of(path: Path, run: str) -> Process | None:
    """Whose journal it is, when it has series of the run."""
    with journal.opened(path) as descriptor:
        if descriptor is None:
            return None
        header = journal.read_header(descriptor, path.name)
        names = journal.read_names(descriptor, header.salt).values()
    return header.owner if any(run == other for other, _ in names) else None


def scrub(kernel: Kernel) -> None:
    """Write the database anew without its free pages, and empty the write-ahead log."""
    deadline = time.monotonic() + _CHECKPOINT_TIMEOUT_S
    with kernel.database.alone() as connection:
        connection.execute("VACUUM")
        while _checkpoint(connection):
            if time.monotonic() > deadline:
                message = (
                    f"The rows are deleted, but another process keeps reading {kernel.database.path}, so that its old pages "
                    "are still in the write-ahead log: end that process, then delete again or run 'modelmgmt store gc'."
                )
                raise StoreWriteError(message)
            time.sleep(0.05)


def _checkpoint(connection: sqlite3.Connection) -> bool:
    """Whether a reader is in the way of emptying the write-ahead log."""
    connection.execute("PRAGMA busy_timeout = 100")
    try:
        return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")


def leftovers(kernel: Kernel, objects: Sequence[str]) -> tuple[Path, ...]:
    """Copies that the store made earlier, and these objects."""
    folders = (kernel.path / "backups", kernel.path / "set-aside")
    with reads(kernel.path):
        copies = sorted(path for folder in folders if is_there(folder) for path in folder.iterdir())
    return (*copies, *map(kernel.objects.path, objects))
