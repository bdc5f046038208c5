"""What stands between the monitors of a store and its disk: what waits in memory, and what happens at the end."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from modelmgmt.errors import StoreError, warn
from modelmgmt.observe import batches
from modelmgmt.tracking.guard import Guard, OnError

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


class Guards:
    """Of one monitor, one guard for each process: what waits in the parent of a fork is the parent's to write."""

    def __init__(self, on_error: OnError, kernel: Kernel, name: str) -> None:
        self._on_error = on_error
        self._name = name
        self._begin()
        self._store = _of(kernel)
        self._store.guards.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._guard = Guard(self._on_error, _no_points)
        self._said = 0  # how many lost predictions were spoken of

    def _here(self) -> Guard:
        if self._pid != os.getpid():
            self._begin()
        return self._guard

    @property
    def lost(self) -> int:
        """How many predictions could not be kept in this process."""
        return self._here().lost_points

    def write(self, action: Callable[[], object], *, can_wait: bool, points: int, size: int) -> None:
        """See `Guard.write`."""

        def write() -> None:
            action()
            self._store.is_unsynced = True

        guard = self._here()
        with self._lock:
            guard.write(write, can_wait=can_wait, points=points, size=size)

    def flush(self) -> None:
        """On return all that was logged in this process survives a power cut. Raises StoreError."""
        self._retry()
        self._store.sync()

    def retry_all(self) -> None:
        """Write what is waiting in this process, of every monitor of the store. Raises StoreError."""
        for one in list(self._store.guards):
            one._retry()  # noqa: SLF001 - one class

    def _retry(self) -> None:
        guard = self._here()
        with self._lock:
            guard.retry()

    def end(self) -> None:
        """Also when a monitor is dropped, and when the interpreter ends: nothing is lost without a word."""
        guard = self._here()
        with self._lock:
            if guard.is_waiting:
                guard.last_try(lambda: None)
        if guard.lost_points > self._said:
            self._said = guard.lost_points
            noun = "prediction" if guard.lost_points == 1 else "predictions"
            warn(f"The monitor of {self._name} lost {guard.lost_points:,} {noun}: {guard.why}")


class _Store:
    """All monitors of a store in this process. Holds no kernel: who keeps a store open is whoever uses it."""

    def __init__(self, kernel: Kernel) -> None:
        self._database = kernel.database
        self.guards: weakref.WeakSet[Guards] = weakref.WeakSet()
        self.is_unsynced = False
        kernel.before_close.append(self._end)

    def sync(self) -> None:
        self.is_unsynced = False  # before: what another thread writes meanwhile may come too late for it
        try:
            with self._database.writing(durable=True) as connection:
                # A commit that changes nothing would not reach the disk, and carry the others with it.
                batches.touch(connection)
        except StoreError:
            self.is_unsynced = True
            raise

    def _end(self) -> None:
        for one in list(self.guards):
            one.end()
        try:
            if self.is_unsynced:
                self.sync()
        except StoreError as error:
            warn(f"Predictions are stored, but could not be synced to disk: {error}")


_stores: weakref.WeakKeyDictionary[Kernel, _Store] = weakref.WeakKeyDictionary()


def _of(kernel: Kernel) -> _Store:
    found = _stores.get(kernel)
    return found if found is not None else _stores.setdefault(kernel, _Store(kernel))


def _no_points(_: Sequence[bytes]) -> None:
    """A monitor has none."""
