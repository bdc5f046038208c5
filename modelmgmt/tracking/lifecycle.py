"""How runs begin, are resumed, end, and are found dead."""

from __future__ import annotations

import atexit
import contextvars
import functools
import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import StoreReadError, StoreWriteError
from modelmgmt.store import signals
from modelmgmt.store.times import now_iso, to_iso
from modelmgmt.tracking import ending
from modelmgmt.tracking import record as records

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.run import Run


@dataclass(slots=True)
class _Beginning:
    """Where a run was begun in this process."""

    thread: weakref.ref[threading.Thread]
    cell: str | None
    """The cell of a notebook whose execution began it, where there is one."""
    execution: object
    task: weakref.ref[Any] | None
    is_bare: bool = True
    """Whether no `with` block was entered yet."""
    is_active: bool = True
    """Whether `mm.log` may find it."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A `with` block that has not ended: all the runs around it, itself the last, and the thread that entered it."""

    thread: threading.Thread
    runs: tuple[Run, ...]


_open_runs: weakref.WeakKeyDictionary[Run, _Beginning] = weakref.WeakKeyDictionary()
"""In the order in which they were begun."""
_entered: contextvars.ContextVar[tuple[Run, ...]] = contextvars.ContextVar("modelmgmt_entered", default=())
_bare_here: contextvars.ContextVar[weakref.ref[Run] | None] = contextvars.ContextVar("modelmgmt_bare", default=None)
_blocks: list[_Block] = []
_starters: weakref.WeakKeyDictionary[threading.Thread, tuple[weakref.ref[threading.Thread], ...]] = (
    weakref.WeakKeyDictionary()
)
"""The thread that started a thread, the one that started that, and so on."""
_lock = threading.RLock()


@dataclass(slots=True)
class _Held:
    """Strong references, so that `mm.start_run()` without keeping the result is fine."""

    last: Run
    before: Run | None
    """The bare run before it, when nobody else refers to it: should the new run be entered, this one is the last again."""


_held: dict[threading.Thread, _Held] = {}


def opened(run: Run, *, is_active: bool = True) -> None:
    """A run can be written from now on; at the end of the process it is finished if nobody else does.

    One that is not to be active is no bare run.
    """
    thread = threading.current_thread()
    with _lock:
        if not _registered:
            atexit.register(_finish_all)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
            _registered.append(True)
        _finish_with_child()
        ending.look_for_handlers()
        ending.watch.begin()
        cell, execution = _cell() or (None, None)
        _open_runs[run] = _Beginning(
            weakref.ref(thread), cell, execution, _task(), is_bare=is_active, is_active=is_active
        )
        if not is_active:
            return
        held = _held.get(thread)
        is_unheld = held is not None and sys.getrefcount(held.last) <= _ONLY_OURS
        _held[thread] = _Held(run, held.last if held is not None and is_unheld else None)
    _bare_here.set(weakref.ref(run))


def closed(run: Run) -> None:
    """A run can no longer be written."""
    with _lock:
        _open_runs.pop(run, None)
        for thread, held in list(_held.items()):
            if held.last is run:
                del _held[thread]
        if not _open_runs:
            ending.watch.end()


def entered(run: Run) -> None:
    """A `with` block of this run begins."""
    thread = threading.current_thread()
    stack = (*_entered.get(), run)
    with _lock:
        _note_who_starts_threads()
        _blocks.append(_Block(thread, stack))
        if run in _open_runs:
            _open_runs[run].is_bare = False
        held = _held.get(thread)
        if held is not None and held.last is run:
            if held.before is None:
                del _held[thread]
            else:
                _held[thread] = _Held(held.before, None)
    _entered.set(stack)


def left(run: Run) -> bool:
    """A `with` block has ended; whether another block of the same run is around it."""
    with _lock:
        for place in reversed(range(len(_blocks))):
            if _blocks[place].runs[-1] is run:
                del _blocks[place]
                break
    around = list(_entered.get())
    for place in reversed(range(len(around))):
        if around[place] is run:
            del around[place]
            break
    _entered.set(tuple(around))
    return any(block is run for block in around)


def innermost() -> Run | None:
    """The run of the innermost `with` block around the caller: in this thread or task, else where the thread was started."""
    run = _last_open(_entered.get())
    if run is None:
        run = next((around for thread in _ancestors() if (around := _around(thread)) is not None), None)
    return run


def active() -> Run | None:
    """The innermost run, else the bare run that began last in this task, this thread, or the one that started it."""
    run = _last_open(_entered.get())
    if run is not None:
        return run
    with _lock:
        began = [(other, begin) for other, begin in _open_runs.items() if other.is_open and begin.is_active]
    bare = _bare_here.get()
    here = bare() if bare is not None else None
    if here is not None and any(begin.is_bare for other, begin in began if other is here):
        return here
    own = threading.current_thread()
    for thread in (own, *_ancestors()):
        bares = [other for other, begin in began if begin.is_bare and begin.thread() is thread]
        run = (_around(thread) if thread is not own else None) or (bares[-1] if bares else None)
        if run is not None:
            return run
    return began[0][0] if len(began) == 1 else None


def _last_open(runs: Sequence[Run]) -> Run | None:
    return next((run for run in reversed(runs) if run.is_open), None)


def _ancestors() -> list[threading.Thread]:
    """The threads that may be inside a block which the caller's thread belongs to, the nearest first.

    Of a thread that was started before there was any block, that is the main thread.
    """
    thread, main = threading.current_thread(), threading.main_thread()
    found = [starter for ref in _starters.get(thread, ()) if (starter := ref()) is not None]
    return found if thread is main or main in found else [*found, main]


def _around(thread: threading.Thread) -> Run | None:
    """The innermost run that is certainly around what `thread`, an ancestor of the caller's, has given it to do.

    Where tasks of that thread are in several blocks side by side, what these have in common is certain.
    """
    with _lock:
        stacks = [tuple(run for run in block.runs if run.is_open) for block in _blocks if block.thread is thread]
    longest = max(stacks, key=len, default=())
    for length in range(len(longest), 0, -1):
        if all(longest[:length] == other[:length] or longest[: len(other)] == other for other in stacks):
            return longest[length - 1]
    return None


def _note_who_starts_threads() -> None:
    """From the first block on, each thread knows who has started it: Python itself does not keep that.

    Without it, two threads that each have a block of their own could not be told from a block and the pool in it.
    """
    if _noting:
        return
    _noting.append(True)
    start = threading.Thread.start

    @functools.wraps(start)
    def noting(self: threading.Thread) -> None:
        here = threading.current_thread()
        _starters[self] = (weakref.ref(here), *_starters.get(here, ()))
        start(self)

    threading.Thread.start = noting  # type: ignore[method-assign]


_noting: list[bool] = []


def _cell() -> tuple[str, object] | None:
    """The cell that this notebook is executing, and which execution of it this is; None outside IPython's own thread.

    A cell is known by the id that its editor gave it, else by its text. Nothing is imported.
    """
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is None or threading.current_thread() is not threading.main_thread():
        return None
    request = getattr(shell, "parent_header", None)  # what the kernel was asked to execute
    if request:
        about, content = request.get("metadata", {}), request.get("content", {})
        name = about.get("cellId") or about.get("colab", {}).get("cell_id") or content.get("code")
        return (str(name), request.get("header", {}).get("msg_id")) if name else None
    cells = shell.history_manager.input_hist_raw if getattr(shell, "history_manager", None) is not None else []
    return (str(cells[-1]), shell.execution_count) if cells else None


def _task() -> weakref.ref[Any] | None:
    asyncio: Any = sys.modules.get("asyncio")
    try:
        task = asyncio.current_task() if asyncio is not None else None
    except RuntimeError:  # no loop runs here
        return None
    return weakref.ref(task) if task is not None else None


def finish_before(run_id: str | None = None) -> None:
    """A run is about to begin in a notebook: what the same cell began when it was executed before ends now.

    Whoever else still refers to it: an output, a traceback, a list. But for the run `run_id`, which goes on, and runs that
    a task of its own, started by that cell, is still busy with.
    """
    now = _cell()
    if now is None:
        return
    own = _task()
    with _lock:
        before = [
            run
            for run, begin in _open_runs.items()
            if begin.cell == now[0] and begin.execution != now[1] and run.id != run_id and run.is_open
            and not _is_busy(begin.task, own)
        ]  # fmt: skip
    for run in before:
        run.finish()


def _is_busy(task: weakref.ref[Any] | None, own: weakref.ref[Any] | None) -> bool:
    other = task() if task is not None else None
    return other is not None and other is not (own() if own is not None else None) and not other.done()


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
    # On a full disk they wait for somebody who has room, and for what cannot be read to be read some other time: until
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
_ONLY_OURS = 2  # references: the one in `_held`, and the argument of getrefcount


def _finish_all() -> None:
    """The interpreter ends: runs that are still open end with it, as failed when an exception or exit code says so."""
    _finish_by(ending.watch.error())


def _finish_by(error: BaseException | None) -> None:
    signals.catch_up()
    status, text = ending.of_error(error)
    for run in list(_open_runs):
        if run.is_open:
            run.finish(status, error=text)


def _finish_with_child() -> None:
    """In a process of multiprocessing, which ends without exit functions: its runs end with it, too."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is None or processes.parent_process() is None or _child_registered == [os.getpid()]:
        return
    from multiprocessing.util import Finalize

    # Called while the exception that ends the process, if there is one, goes through.
    Finalize(None, lambda: _finish_by(sys.exc_info()[1]), exitpriority=0)
    _child_registered[:] = [os.getpid()]


_child_registered: list[int] = []


def _before_fork() -> None:
    _around_fork[:] = [run] if (run := innermost()) is not None else []


_around_fork: list[Run] = []


def _after_fork_in_child() -> None:
    """The child may log to its parent's runs, but does not own them: their end is the parent's to say."""
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.RLock()
    thread = threading.current_thread()
    _blocks[:] = [block for block in _blocks if block.thread is thread]
    if _around_fork and not _entered.get():  # forked by a worker thread, whose blocks are those of another thread
        _entered.set(tuple(_around_fork))
        _blocks.append(_Block(thread, tuple(_around_fork)))
    for run, begin in list(_open_runs.items()):
        begin.thread = weakref.ref(thread)
        run._disown()
