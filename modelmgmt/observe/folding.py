"""Folding: many small batches that wait in the table become one row and a few files. Idempotent; two may do it at once.

What waits is safe and can be read; folding makes it small, and columns readable one by one.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from modelmgmt.errors import NotFoundError, StoreError, warn
from modelmgmt.observe import batches, blocks
from modelmgmt.observe.batches import BATCHES, BatchRow, Target, Where, both, equal
from modelmgmt.observe.cells import Schema
from modelmgmt.observe.freeing import free

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

FOLD_BATCHES = 1 << 14  # that wait, of one model and schema
FOLD_BYTES = 1 << 23
MAX_FOLD_BYTES = 1 << 26  # that are folded at a time
LOOK_BATCHES = 1 << 10  # of this process, after which it looks how many wait
LOOK_BYTES = 1 << 22
_WAITS: Where = ("data IS NOT NULL", ())
_GROUP = "model, number, label, run, artifact, package, schema"


class Folding:
    """Looks now and then whether enough waits in a store, and folds it in a thread that ends when it is done."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = weakref.ref(kernel)  # who keeps a store open is whoever uses it
        self._forget()
        kernel.before_close.append(self.settle)

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a signal handler may log, too
        self._batches, self._bytes = LOOK_BATCHES - 1, 0  # a process looks with its first batch: it may be a short one
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def logged(self, size: int) -> None:
        """A batch of so many bytes waits now."""
        if self._pid != os.getpid():
            self._forget()  # the child of a fork
        self._batches += 1
        self._bytes += size
        if self._batches < LOOK_BATCHES and self._bytes < LOOK_BYTES:
            return
        error, self._error = self._error, None
        if error is not None:
            warn(f"Predictions are stored, but could not be compacted yet: {error}")
        self._look()

    def _look(self) -> None:
        kernel = self._kernel()
        with self._lock:
            # In this order a store that is being closed either sees the thread, and waits for it, or gets none.
            if kernel is None or kernel.is_closed or (self._thread is not None and self._thread.is_alive()):
                return
            self._batches = self._bytes = 0
            self._thread = threading.Thread(target=self._work, args=(kernel,), name="modelmgmt-predictions")
            try:
                self._thread.start()
            except RuntimeError:  # too many threads, or the interpreter is ending: what waits, waits
                self._thread = None

    def settle(self) -> None:
        """Wait for the thread, if there is one."""
        if self._pid != os.getpid():
            return
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _work(self, kernel: Kernel) -> None:
        try:
            fold(kernel, FOLD_BATCHES, FOLD_BYTES)
        except (StoreError, NotFoundError) as error:
            self._error = error  # said by the next look; nothing is lost


_foldings: weakref.WeakKeyDictionary[Kernel, Folding] = weakref.WeakKeyDictionary()


def of(kernel: Kernel) -> Folding:
    """The folding of a store in this process."""
    found = _foldings.get(kernel)
    return found if found is not None else _foldings.setdefault(kernel, Folding(kernel))


def fold(kernel: Kernel, least_batches: int, least_bytes: int) -> int:
    """Fold the batches of every model and schema of which so many, or so many bytes, wait. Returns how many were folded.

    On return it survives SIGKILL; killed anywhere, it is as if it had not begun. Raises StoreError.
    """
    sql = f"""
        SELECT {_GROUP} FROM {BATCHES} WHERE data IS NOT NULL GROUP BY {_GROUP}
        HAVING count(*) >= ? OR sum(length(data)) >= ?
        """
    with kernel.database.reading() as connection:
        groups = connection.execute(sql, (least_batches, least_bytes)).fetchall()
    return sum(_fold_group(kernel, Target(*target), fingerprint) for *target, fingerprint in groups)


def _fold_group(kernel: Kernel, target: Target, fingerprint: str) -> int:
    where = both(
        _WAITS, equal({name: getattr(target, name) for name in Target.__slots__}), equal({"schema": fingerprint})
    )
    count = 0
    while rows := _next_rows(kernel, where):
        with kernel.database.reading() as connection:
            schema = batches.schema(connection, fingerprint)
        if not _fold_rows(kernel, rows, schema):
            break
        count += len(rows)
    return count


def _next_rows(kernel: Kernel, where: Where) -> list[BatchRow]:
    """The oldest that wait, up to the size of a fold; none when there is but one."""
    found, size = [], 0
    with kernel.database.reading() as connection:
        for row in batches.select(connection, where):
            found.append(row)
            size += len(row.data or b"")
            if size >= MAX_FOLD_BYTES:
                break
    return found if len(found) > 1 else []


def _fold_rows(kernel: Kernel, rows: list[BatchRow], schema: Schema) -> bool:
    whole = blocks.joined([blocks.read(kernel.objects, row, schema) for row in rows])
    new = blocks.write(kernel.objects, whole)
    with kernel.database.writing() as connection:
        is_done = batches.replace(connection, rows, new, schema)  # not when somebody was faster, or has deleted some
    if not is_done:
        free(kernel, [str(new.content_digest), str(new.lookup_digest)])  # what was erased meanwhile is in these
    return is_done
