"""A run that is done again, seen from the process that does it: `$MODELMGMT_REPRODUCES` names the run that it repeats.

A command may start many runs. Each that starts here takes the place of the run of that earlier process which had the
same experiment and params, in their order, and gets the tag `reproduces` with its id. What the script does before the run
that is asked for is done as it was, since that may draw random numbers; when the run has ended, the next `start_run` ends
the script, unless `$MODELMGMT_REPRODUCES_SIBLINGS` is set.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from modelmgmt.tracking import lifecycle, params
from modelmgmt.tracking import record as records
from modelmgmt.versions import code, seeds

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

TAG = "reproduces"
VARIABLE = "MODELMGMT_REPRODUCES"
SIBLINGS_VARIABLE = "MODELMGMT_REPRODUCES_SIBLINGS"

_claimed: dict[tuple[int, str], str] = {}  # the process and the run that is repeated -> the run that stands for it
_restored: list[int] = []
_begun: list[tuple[int, str]] = []  # the process, and the run in it that stands for the one that is asked for


def is_reproduction() -> bool:
    """Whether this process repeats a run."""
    return bool(os.environ.get(VARIABLE))


def stop_after_it() -> None:
    """Another run is about to start: raises SystemExit(0) when the one that is asked for has ended in this process."""
    if os.environ.get(SIBLINGS_VARIABLE):
        return
    for pid, run in _begun:
        if pid == os.getpid() and lifecycle.find_open(run) is None:
            raise SystemExit(0)


def begun(run: str, tags: Mapping[str, str]) -> None:
    """A run has started, with these tags."""
    if TAG in tags:
        _claimed[os.getpid(), tags[TAG]] = run
    if tags.get(TAG) == os.environ[VARIABLE]:
        _begun[:] = [(os.getpid(), run)]


def cancelled(run: str, *, was_first: bool) -> None:
    """A run that had started was none, as that of a decorator: another one stands for what it stood for."""
    for key in [key for key, mine in _claimed.items() if mine == run]:
        del _claimed[key]
    _begun[:] = [each for each in _begun if each[1] != run]
    if was_first:
        _restored.clear()
        seeds.forget_first_run()


def restore_seeds(kernel: Kernel) -> None:
    """Before the first run of this process: the random generators get the states that they had at that point then."""
    if os.getpid() in _restored:
        return
    _restored[:] = [os.getpid()]
    with kernel.database.reading() as connection:
        states = states_of(kernel, connection, os.environ[VARIABLE])
    if states is not None:
        seeds.restore(states)


def states_of(kernel: Kernel, connection: sqlite3.Connection, run: str) -> dict[str, object] | None:
    """What the process of that run noted at its first run. Raises NotFoundError, CorruptDataError."""
    for other in siblings(connection, records.read(connection, run)):
        for version in code.read(connection, other.id):
            if version.seeds_digest is not None:
                return seeds.decode(kernel.objects.get(version.seeds_digest))
    return None


def siblings(connection: sqlite3.Connection, record: records.RunRecord) -> list[records.RunRecord]:
    """The runs that the same process started, in their order, this one included."""
    rows = connection.execute(
        f"{records.SELECT} WHERE host = ? AND boot_id = ? AND pid = ? AND process_start = ? ORDER BY id",
        (record.host, record.boot_id, record.pid, record.process_start),
    ).fetchall()
    return [records.from_row(row) for row in rows]


def claim(connection: sqlite3.Connection, experiment: str, rows: Sequence[params.Param]) -> dict[str, str]:
    """The tag of a run that starts now: which run it stands for. Empty when it stands for none."""
    mine = {row.key: row.decode() for row in rows}
    for other in siblings(connection, records.read(connection, os.environ[VARIABLE])):
        if other.experiment == experiment and (os.getpid(), other.id) not in _claimed:
            theirs = {row.key: row.decode() for row in params.read(connection, other.id)}
            if all(repr(theirs.get(key)) == repr(value) and key in theirs for key, value in mine.items()):
                return {TAG: other.id}
    return {}
