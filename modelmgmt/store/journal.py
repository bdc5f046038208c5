"""The journal: where a log call puts its points. One per process and store; a folder `journal/` holds its segments.

A call is a few stores into the page cache, so a point survives SIGKILL as soon as the call returns, and `flush` makes it
survive a power cut. Where a file system cannot map files, a call is one plain write instead. Nothing here knows SQLite: a
segment that is full is handed to `on_full` and a new one is begun.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from mmap import mmap
from pathlib import Path
from types import FrameType
from zlib import crc32

from modelmgmt.errors import StoreWriteError
from modelmgmt.store.forks import at_fork, hold, let_go
from modelmgmt.store.names import counted
from modelmgmt.store.process import current
from modelmgmt.store.segment import (
    HEADER_BYTES,
    RECORD_BYTES,
    Header,
    Plain,
    as_record,
    create,
    definition,
    pack_record,
)

FIRST_CAPACITY = (1 << 18) // RECORD_BYTES - HEADER_BYTES // RECORD_BYTES  # records; a file of 256 KiB
LAST_CAPACITY = (1 << 24) // RECORD_BYTES - HEADER_BYTES // RECORD_BYTES  # records; a file of 16 MiB
GROWTH = 4
YOUNG_S = 1.0

View = mmap | Plain

_NOTHING = mmap(-1, 1)
_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """Appends points to a memory-mapped file. Threads may share it; a forked child begins a file of its own.

    With `is_mapped=False` the file is written, not mapped.
    """

    def __init__(
        self,
        folder: Path,
        on_full: Callable[[Path], None],
        *,
        is_mapped: bool = True,
        on_room: Callable[[float], None] | None = None,
    ) -> None:
        self._folder = folder
        self._on_room = on_room  # told how many seconds a call has spent on a new segment
        self._points = 0  # in the segments that were left
        self._definitions = 0  # records of the current segment that are no points
        self._is_mapped = is_mapped
        self._on_full = on_full
        self._streams: dict[str, dict[str, int]] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._next_stream = 1
        self.lock = threading.RLock()
        self._capacity = FIRST_CAPACITY
        self._path: Path | None = None
        self._begun = 0.0
        self._view: View = _NOTHING
        self._plain: Plain | None = None  # the view, where it is no map
        self._unsynced: View | None = None  # the view whose sync the disk has refused
        self._salt = 0
        self._place = 0
        self._limit = 0
        _open_journals.add(self)

    @property
    def path(self) -> Path | None:
        """The segment that is being written, if there is one."""
        return self._path

    def written(self) -> int:
        """How many records of the current segment, from its first, are complete, whatever else is going on."""
        with self.lock:
            under_way = [place for view, place in self._under_way() if view is self._view]
            return max(0, min([self._place, *under_way]) - HEADER_BYTES) // RECORD_BYTES

    def points(self) -> int:
        """How many points this process has appended."""
        with self.lock:
            return self._points + self._points_here()

    def _points_here(self) -> int:
        return max(0, self._place - HEADER_BYTES) // RECORD_BYTES - self._definitions

    def names(self) -> Mapping[int, tuple[str, str]]:
        """Stream -> (run, key), for the current segment. It grows."""
        return self._names

    def define(self, run: str, key: str) -> int:
        """The stream of a series. Its definition is in the journal before its first point is."""
        with self.lock:
            keys = self._streams.setdefault(run, {})
            if key not in keys:
                # Nothing is called until the stream has its place: a signal handler may log the same key.
                stream = self._next_stream
                self._next_stream = stream + 1
                keys[key] = stream
                self._names[stream] = (run, key)
                self._write_definition(stream, run, key)
            return keys[key]

    def _write_definition(self, stream: int, run: str, key: str) -> None:
        try:
            bodies = definition(stream, run, key)
            if self._place + RECORD_BYTES * len(bodies) <= self._limit:
                self.append(bodies)
                self._definitions += len(bodies)
            else:
                self._limit = self._place  # the next point begins a segment, which defines every stream first
        except BaseException:
            self._limit = self._place
            raise

    def append(self, bodies: Sequence[bytes]) -> None:
        """Write records of 28 bytes each, in order. On return they survive SIGKILL. Raises StoreWriteError."""
        size = RECORD_BYTES * len(bodies)
        with self.lock:
            # A place is taken before it is filled, and nothing is called in between: a signal handler that logs, which
            # Python runs at calls and at jumps, gets the next place.
            place = self._place
            end = place + size
            while end > self._limit:
                self._make_room(len(bodies))
                place = self._place
                end = place + size
            self._place = end
            view, salt, plain = self._view, self._salt, self._plain
            if plain is not None:
                self._write(plain, place, end, bodies, salt)  # `place` stays: nothing counts as written before all is
                return
            for body in bodies:
                pack_record(view, place, body, crc32(body, salt))  # type: ignore[arg-type] # it is a map
                place += RECORD_BYTES

    def _write(self, plain: Plain, place: int, end: int, bodies: Sequence[bytes], salt: int) -> None:
        try:
            plain.write(place, b"".join([as_record(body, crc32(body, salt)) for body in bodies]))
        except OSError as error:
            if self._place == end and self._plain is plain:  # else a signal handler has written behind it
                plain.cut(place)
                self._place = place
            message = (
                f"Could not write {counted(len(bodies), 'point')} to {self._folder} ({error.strerror}): check the disk."
            )
            raise StoreWriteError(message) from error

    def forget(self, run: str) -> Path | None:
        """The run has ended: later segments need not define its series.

        After the last open run the segment is retired and its path returned, unless it is young: a search that does
        hundreds of short runs a second need not pay for a file each.
        """
        with self.lock:
            self._streams.pop(run, None)
            is_young = time.monotonic() - self._begun < YOUNG_S
            return None if self._streams or is_young else self.retire()

    @property
    def is_in_doubt(self) -> bool:
        """Whether the disk has refused to sync the current segment.

        The system may drop what it could not write, and call the next sync a success: that one would promise nothing.
        """
        return self._unsynced is not None and self._unsynced is self._view

    def flush(self) -> None:
        """On return, every point that was appended survives a power cut. Raises StoreWriteError; see `is_in_doubt`."""
        with self.lock:
            view, folder = self._view, self._folder
        if self._path is None:
            return
        try:
            self._sync(view)
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreWriteError(f"Could not flush the journal in {folder} ({error}): check the disk.") from error

    def _sync(self, view: View) -> None:
        try:
            view.flush()
        except OSError:
            self._unsynced = view
            raise

    def retire(self) -> Path | None:
        """Stop writing the current segment and return its path; the next point begins a new one.

        None when there is none, or when a signal handler asks while a point is on its way: the segment stays then, and
        whoever opens the store next folds it.
        """
        with self.lock:
            if self._is_under_way(self._view):
                return None
            path = self._path
            self._leave_segment()
            return path

    def _make_room(self, count: int) -> None:
        """Begin a segment that defines the streams of every open run, and has room for `count` records more."""
        asked = time.perf_counter()
        while True:
            newest = self._next_stream
            names = self._open_names()
            definitions = [body for stream, name in names.items() for body in definition(stream, *name)]
            path, header, view, capacity = self._created(count + len(definitions), count)
            salt, begun = header.salt, time.monotonic()
            plain = view if isinstance(view, Plain) else None
            place = self._defined(path, view, definitions, salt)
            # From here on nothing is called until all of the segment is in place, as in `append`.
            if newest == self._next_stream:
                break
            path.unlink(missing_ok=True)  # a signal handler has defined a stream that is not in it
        full, left = self._path, self._view
        self._points += self._points_here()
        self._definitions = len(definitions)
        self._path, self._view, self._plain = path, view, plain
        self._salt, self._names, self._begun = salt, names, begun
        self._place = place
        self._limit = HEADER_BYTES + capacity * RECORD_BYTES
        self._capacity = min(capacity * GROWTH, LAST_CAPACITY)
        if full is not None and not self._is_under_way(left):  # else whoever opens the store next folds it
            self._on_full(full)
        if self._on_room is not None:
            self._on_room(time.perf_counter() - asked)

    def _defined(self, path: Path, view: View, definitions: Sequence[bytes], salt: int) -> int:
        """Put the definitions at the beginning of a new segment; returns the place of the first point."""
        place = HEADER_BYTES
        try:
            if isinstance(view, Plain):
                view.write(place, b"".join([as_record(body, crc32(body, salt)) for body in definitions]))
                return place + len(definitions) * RECORD_BYTES
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StoreWriteError(f"Could not begin a journal in {self._folder} ({error.strerror}).") from error
        for body in definitions:
            pack_record(view, place, body, crc32(body, salt))
            place += RECORD_BYTES
        return place

    def _created(self, needed: int, count: int) -> tuple[Path, Header, View, int]:
        """A new segment, and how many records it has room for: at least `needed`."""
        capacity = max(self._capacity, needed)
        try:
            try:
                return *create(self._folder, current(), capacity, is_mapped=self._is_mapped), capacity
            except OSError as error:
                smallest = max(FIRST_CAPACITY, needed)
                if error.errno != errno.ENOSPC or smallest == capacity:
                    raise
                return *create(
                    self._folder, current(), smallest, is_mapped=self._is_mapped
                ), smallest  # the disk may have room for that
        except OSError as error:
            message = (
                f"Could not make room for {counted(count, 'point')} in {self._folder} ({error.strerror}): free some space or "
                "make the folder writable."
            )
            raise StoreWriteError(message) from error

    def _open_names(self) -> dict[int, tuple[str, str]]:
        return {stream: (run, key) for run, keys in list(self._streams.items()) for key, stream in list(keys.items())}

    def _is_under_way(self, view: View) -> bool:
        return any(other is view for other, _ in self._under_way())

    def _under_way(self) -> Iterator[tuple[View, int]]:
        """The appends that this thread is in the middle of, and how far each is: a signal handler interrupted them.

        They are found in the thread's frames, so that `append` need not keep count. Other threads wait for the lock.
        """
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as in the standard logging
        while frame is not None:
            if frame.f_code is Journal.append.__code__:
                there = frame.f_locals
                if there["self"] is self and "view" in there:
                    yield there["view"], there["place"]
            frame = frame.f_back

    def _begin_anew(self) -> None:
        self.lock = threading.RLock()
        self._capacity = FIRST_CAPACITY
        self._leave_segment()
        self._points = 0

    def _leave_segment(self) -> None:
        self._points += self._points_here()
        self._definitions = 0
        self._path, self._view, self._plain, self._unsynced = None, _NOTHING, None, None
        self._salt = self._place = self._limit = 0


def _before_fork(held: list[threading.RLock]) -> None:
    # No other thread is within a call then. To give the child a new lock is not enough: a thread that was making a segment
    # may have been importing a codec, and the child would wait for that module for ever.
    hold([journal.lock for journal in list(_open_journals)], held)


def _after_fork_in_child() -> None:
    for journal in list(_open_journals):
        journal._begin_anew()  # noqa: SLF001 - one module


at_fork("journal", before=_before_fork, in_parent=let_go, in_child=_after_fork_in_child)
