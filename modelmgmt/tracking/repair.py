"""Repairing a damaged store: all that is intact is saved, the rest is set aside, nothing is deleted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelmgmt.errors import CorruptDataError, NotFoundError, RunInUseError, StoreReadError
from modelmgmt.store import foreign, journal
from modelmgmt.store.collect import remove_abandoned
from modelmgmt.store.disk import our_disk, reads
from modelmgmt.store.integrity import Problem, check_kernel
from modelmgmt.store.kernel import Kernel
from modelmgmt.store.rebuild import Rebuilt, rebuild
from modelmgmt.tracking import record as records
from modelmgmt.tracking.artifacts import TREES
from modelmgmt.versions import integrity as made_of
from modelmgmt.versions.data import integrity as data


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did. What was set aside is in the store's folder `set-aside`."""

    problems: tuple[Problem, ...]
    """What was wrong before."""
    adopted: tuple[str, ...]
    """Runs that had lost their own row, and got a new one for what else is left of them."""
    artifacts: tuple[str, ...]
    """Artifacts whose content is damaged or missing: they are no longer named."""
    data: tuple[str, ...] = ()
    """Versions of data whose content or profile is damaged or missing: what is left of them stays."""
    predictions: tuple[str, ...] = ()
    """Batches of predictions that are damaged or missing: gone, and an event each says how many they were."""


def repair(kernel: Kernel) -> Repaired:
    """Save all that is intact. Raises RunInUseError while another process writes, StoreWriteError.

    What the disk refuses to give back may be whole: that raises StoreReadError, and the store stays as it is.
    """
    kernel.require_writable()
    _refuse_others(kernel.path, kernel.journal.path)
    kernel.retire()
    remove_abandoned(kernel)
    problems = list(check_kernel(kernel, deep=True))
    _refuse_unread(kernel.path, problems)
    rebuilt = Rebuilt()
    if any(not problem.where.startswith(("object ", "journal/")) for problem in problems):
        kernel.database.release()
        rebuilt = rebuild(kernel.path, records.adopt)
    kernel.series.recover()
    _set_damaged_objects_aside(kernel)
    lost = _forget_lost_artifacts(kernel)
    lost_data = data.forget_lost(kernel)
    made_of.forget_lost(kernel)
    return Repaired(tuple(problems), tuple(rebuilt.adopted), tuple(lost), tuple(lost_data))


def rescue(path: Path) -> Repaired:
    """As `repair`, of the store at `path`, which is damaged so that it cannot be opened.

    On return it can be opened, and all of it survives a power cut. Raises RunInUseError while another process writes,
    CorruptDataError when SQLite does not find the tables in it, StoreWriteError.
    """
    _refuse_others(path)
    try:
        kernel = Kernel(path)
    except CorruptDataError as error:
        found = Problem("store.db", str(error))
        rebuilt = rebuild(path, records.adopt)
        kernel = Kernel(path)
        rest = repair(kernel)
        repaired = Repaired((found, *rest.problems), (*rebuilt.adopted, *rest.adopted), rest.artifacts, rest.data)
    else:
        repaired = repair(kernel)  # a row that is read at once was damaged, the rest is sound enough
    kernel.close()
    return repaired


def _refuse_others(root: Path, own: Path | None = None) -> None:
    with reads(root):
        names = os.listdir(root / "journal")
    for name in names:
        path = root / "journal" / name
        if not name.endswith(journal.SUFFIX) or path == own:
            continue
        with journal.opened(path) as descriptor, suppress(CorruptDataError):
            owner = journal.read_header(descriptor, name).owner if descriptor is not None else None
            if owner is not None and owner.pid != os.getpid() and not owner.is_gone():
                raise RunInUseError(
                    f"The process {owner.pid} on {owner.host} is writing to the store: end it, then repair."
                )


def _refuse_unread(root: Path, problems: Sequence[Problem]) -> None:
    unread = [problem for problem in problems if problem.is_unread]
    if unread:
        raise StoreReadError(
            f"Nothing was repaired: of the store {root}, {unread[0].where} could not be read ({unread[0].what}) It may be "
            "whole. Try again; if it stays so, copy the store to another disk by a tool that goes on where it cannot read, "
            "such as ddrescue, and repair the copy."
        )


def _set_damaged_objects_aside(kernel: Kernel) -> None:
    aside = kernel.path / "set-aside" / "objects"
    for digest in list(kernel.objects.digests()):
        try:
            kernel.objects.verify(digest)
        except CorruptDataError:
            with our_disk("set aside", kernel.objects.path(digest)):
                aside.mkdir(parents=True, exist_ok=True)
                name = kernel.objects.path(digest).relative_to(kernel.path).as_posix()
                foreign.move(kernel.path, name, f"set-aside/objects/{digest}")


def _forget_lost_artifacts(kernel: Kernel) -> list[str]:
    with kernel.database.reading() as connection:
        rows = connection.execute("SELECT run, name, kind, digest FROM artifacts").fetchall()
    lost = [(run, name) for run, name, kind, digest in rows if not _is_whole(kernel, kind, digest)]
    with kernel.database.writing(durable=True) as connection:
        for run, name in lost:
            _write_note(connection, run, name)
            connection.execute("DELETE FROM artifacts WHERE run = ? AND name = ?", (run, name))
    return [f"{run}/{name}" for run, name in lost]


def _is_whole(kernel: Kernel, kind: str, digest: str) -> bool:
    from modelmgmt.store.trees import Trees

    try:
        if kind not in TREES:
            return kernel.objects.has(digest)
        tree = Trees(kernel.objects).get(digest)
    except (NotFoundError, CorruptDataError):
        return False
    return all(kernel.objects.has(entry.digest) for entry in tree.values())


def _write_note(connection: sqlite3.Connection, run: str, name: str) -> None:
    from modelmgmt.tracking.labels import write_note

    write_note(connection, run, f"Repair: the content of the artifact {name} was damaged or missing.")
