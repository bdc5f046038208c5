"""The journal: where a log call puts its points. One per process and store; a folder `journal/` holds its segments.

A call is a few stores into the page cache, so a point survives SIGKILL as soon as the call returns, and `flush` makes it
survive a power cut. Nothing here knows SQLite: a segment that is full is handed to `on_full` and a new one is begun.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from mmap import mmap
from pathlib import Path
from zlib import crc32

from modelmgmt.errors import StoreWriteError
from modelmgmt.store.process import current
from modelmgmt.store.segment import HEADER_BYTES, RECORD_BYTES, create, definition, pack_record

FIRST_CAPACITY = (1 << 18) // RECORD_BYTES - HEADER_BYTES // RECORD_BYTES  # records; a file of 256 KiB
LAST_CAPACITY = (1 << 24) // RECORD_BYTES - HEADER_BYTES // RECORD_BYTES  # records; a file of 16 MiB
GROWTH = 4

_NOTHING = mmap(-1, 1)
_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """Appends points to a memory-mapped file. Threads may share it; a forked child begins a file of its own."""

    def __init__(self, folder: Path, on_full: Callable[[Path], None]) -> None:
        self._folder = folder
        self._on_full = on_full
        self._streams: dict[str, dict[str, int]] = {}
        self._next_stream = 1
        self.lock = threading.RLock()
        self._capacity = FIRST_CAPACITY
        self._path: Path | None = None
        self._view = _NOTHING
        self._salt = 0
        self._place = 0
        self._limit = 0
        _open_journals.add(self)

    @property
    def path(self) -> Path | None:
        """The segment that is being written, if there is one."""
        return self._path

    def written(self) -> int:
        """How many records of the current segment are complete, whatever other threads are doing."""
        with self.lock:
            return max(0, self._place - HEADER_BYTES) // RECORD_BYTES

    def names(self) -> dict[int, tuple[str, str]]:
        """Stream -> (run, key), for every open run."""
        with self.lock:
            return {stream: (run, key) for run, keys in self._streams.items() for key, stream in keys.items()}

    def define(self, run: str, key: str) -> int:
        """The stream of a series. Its definition is in the journal before its first point is."""
        with self.lock:
            keys = self._streams.setdefault(run, {})
            stream = keys.get(key)
            if stream is None:
                stream = keys[key] = self._next_stream
                self._next_stream += 1
                bodies = definition(stream, run, key)
                if self._place + RECORD_BYTES * len(bodies) <= self._limit:
                    self.append(bodies)
                else:
                    self._limit = self._place  # the next point begins a segment, which defines every stream first
            return stream

    def append(self, bodies: Sequence[bytes]) -> None:
        """Write records of 28 bytes each, in order. On return they survive SIGKILL. Raises StoreWriteError."""
        with self.lock:
            place = self._place
            end = place + RECORD_BYTES * len(bodies)
            if end > self._limit:
                place = self._make_room(len(bodies))
                end = place + RECORD_BYTES * len(bodies)
            # Taken before it is filled: a signal handler that logs in between gets the next place, not this one.
            self._place = end
            view, salt = self._view, self._salt
            for body in bodies:
                pack_record(view, place, body, crc32(body, salt))
                place += RECORD_BYTES

    def forget(self, run: str) -> None:
        """The run has ended: later segments need not define its series."""
        with self.lock:
            self._streams.pop(run, None)

    def flush(self) -> None:
        """On return, every point that was appended survives a power cut. Raises StoreWriteError."""
        with self.lock:
            view, folder = self._view, self._folder
        if self._path is None:
            return
        try:
            view.flush()
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreWriteError(f"Could not flush the journal in {folder} ({error}): look at the disk.") from error

    def retire(self) -> Path | None:
        """Stop writing the current segment and return its path; the next point begins a new one."""
        with self.lock:
            path = self._path
            self._leave_segment()
            return path

    def _make_room(self, count: int) -> int:
        capacity = max(self._capacity, count + self._definition_count())
        try:
            path, header, view = create(self._folder, current(), capacity)
        except OSError as error:
            message = (
                f"Could not make room for {count} points in {self._folder} ({error.strerror}): free some space or make "
                "the folder writable."
            )
            raise StoreWriteError(message) from error
        full = self._path
        self._path, self._view, self._salt = path, view, header.salt
        self._place = HEADER_BYTES
        self._limit = HEADER_BYTES + capacity * RECORD_BYTES
        self._capacity = min(capacity * GROWTH, LAST_CAPACITY)
        for run, keys in self._streams.items():
            for key, stream in keys.items():
                self.append(definition(stream, run, key))
        if full is not None:
            self._on_full(full)
        return self._place

    def _definition_count(self) -> int:
        return sum(
            len(definition(stream, run, key)) for run, keys in self._streams.items() for key, stream in keys.items()
        )

    def _begin_anew(self) -> None:
        self.lock = threading.RLock()
        self._capacity = FIRST_CAPACITY
        self._leave_segment()

    def _leave_segment(self) -> None:
        self._path, self._view = None, _NOTHING
        self._salt = self._place = self._limit = 0


def _after_fork_in_child() -> None:
    for journal in list(_open_journals):
        journal._begin_anew()  # noqa: SLF001 - one module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
