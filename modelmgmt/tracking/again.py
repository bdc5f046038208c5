"""A run that is done again, seen from the process that does it: `$MODELMGMT_REPRODUCES` names the run that it repeats.

A command may start many runs. Each that starts here takes the place of the run of that earlier process which had the
same experiment and params, in their order, and gets the tag `reproduces` with its id.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelmgmt.tracking import params
from modelmgmt.tracking import record as records
from modelmgmt.versions import code, seeds

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

TAG = "reproduces"
VARIABLE = "MODELMGMT_REPRODUCES"

_claimed: set[tuple[int, str]] = set()
_restored: list[int] = []


def is_reproduction() -> bool:
    """Whether this process repeats a run."""
    return bool(os.environ.get(VARIABLE))


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
                _claimed.add((os.getpid(), other.id))
                return {TAG: other.id}
    return {}
