"""How runs begin, are resumed, end, and are found dead."""

from __future__ import annotations

import atexit
import builtins
import contextvars
import os
import sqlite3
import sys
import threading
import traceback
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from modelmgmt.errors import StoreReadError, StoreWriteError
from modelmgmt.store.times import now_iso, to_iso
from modelmgmt.tracking import record as records

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.run import Run

_open_runs: weakref.WeakSet[Run] = weakref.WeakSet()
_entered: contextvars.ContextVar[tuple[Run, ...]] = contextvars.ContextVar("modelmgmt_entered", default=())
_lock = threading.RLock()
# The run that was begun last without `with`. A strong reference: mm.start_run() without keeping the result is fine.
_bare: list[Run] = []
# The one before it, when nobody else refers to it: should the new run be entered, this one is the last again.
_before: list[Run] = []


def opened(run: Run) -> None:
    """A run can be written from now on; at the end of the process it is finished if nobody else does."""
    with _lock:
        if not _registered:
            atexit.register(_finish_all)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_after_fork_in_child)
            _registered.append(True)
        _open_runs.add(run)
        _before.clear()
        if _bare and sys.getrefcount(_bare[0]) <= _ONLY_OURS:
            _before[:] = _bare
        _bare[:] = [run]


def closed(run: Run) -> None:
    """A run can no longer be written."""
    with _lock:
        _open_runs.discard(run)
        if run in _bare:
            _bare.clear()
            _before.clear()


def entered(run: Run) -> None:
    """A `with` block of this run begins."""
    with _lock:
        if run in _bare:
            _bare[:] = _before
            _before.clear()
    _entered.set((*_entered.get(), run))


def left(run: Run) -> bool:
    """A `with` block has ended; whether another block of the same run is around it."""
    blocks = list(_entered.get())
    for place in reversed(range(len(blocks))):
        if blocks[place] is run:
            del blocks[place]
            break
    _entered.set(tuple(blocks))
    return any(block is run for block in blocks)


def innermost() -> Run | None:
    """The run of the innermost `with` block around the caller, in this thread or task."""
    for run in reversed(_entered.get()):
        if run.is_open:
            return run
    return None


def active() -> Run | None:
    """The innermost run, else the bare run that began last, else the only run that is open in the process."""
    run = innermost()
    if run is not None:
        return run
    with _lock:
        if _bare:
            return _bare[0]
        others = [other for other in _open_runs if other.is_open]
    # A worker thread of a `with` block has no context of its own.
    return others[0] if len(others) == 1 else None


def find_open(run_id: str) -> Run | None:
    """The open run of this process with that id."""
    with _lock:
        return next((run for run in _open_runs if run.id == run_id and run.is_open), None)


def bury(kernel: Kernel) -> None:
    """Give runs whose process is gone the status crashed, and the time of their last sign of life as their end."""
    if kernel.read_only:
        return
    with kernel.database.reading() as connection:
        dead = records.running_without_process(connection)
    if not dead:
        return
    # On a full disk they wait for somebody who has room, and for what can not be read to be read some other time: until
    # then a reader sees by itself that they have crashed.
    with suppress(StoreReadError, StoreWriteError):
        kernel.series.recover()
        with kernel.database.writing() as connection:
            end_crashed(connection, records.running_without_process(connection))


def end_crashed(connection: sqlite3.Connection, dead: Mapping[str, records.RunRecord]) -> None:
    """Their last sign of life is their end. Within the caller's transaction."""
    for run, record in dead.items():
        records.end(connection, run, "crashed", ended_at=_last_sign(connection, run, record))


def _last_sign(connection: sqlite3.Connection, run: str, record: records.RunRecord) -> str:
    (last,) = connection.execute("SELECT max(last_time) FROM metrics WHERE run = ?", (run,)).fetchone()
    (logged,) = connection.execute("SELECT max(logged_at) FROM artifacts WHERE run = ?", (run,)).fetchone()
    signs = [to_iso(last) if last is not None else None, logged, record.started_at]
    return max((sign for sign in signs if sign), default=now_iso())


_registered: list[bool] = []
_ONLY_OURS = 2  # references: the list's, and the argument of getrefcount


def _finish_all() -> None:
    """The interpreter ends: runs that are still open end with it, as failed when an exception ended the script."""
    error = _uncaught()
    for run in list(_open_runs):
        if run.is_open:
            run.finish("failed" if error else "finished", error=error)


def _uncaught() -> str | None:
    if hasattr(builtins, "__IPYTHON__") or hasattr(sys, "ps1"):
        return None  # there, sys.last_value is only the last cell or line that failed
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else None


def _after_fork_in_child() -> None:
    """The child may log to its parent's runs, but does not own them: their end is the parent's to say."""
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.RLock()
    for run in list(_open_runs):
        run.disown()
