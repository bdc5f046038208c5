"""The journal: where a log call puts its points. One file per process and store, in the folder `journal/`; its format.

A page of header, then records of 32 bytes, little-endian::

    point       step i64 | value f64 | time i64, microseconds | stream u32              | crc32 u32
    definition  24 bytes of text                              | stream u32 | 0x80000000 | crc32 u32

A definition gives a stream its run and key: the pieces of one stream, joined, are a length u16 and `run NUL key` in
UTF-8; what follows that length is another copy. The crc32 covers the 28 bytes before it and starts from the crc32 of the
file's id. A record of zeros was never written. So the file says everything about itself, and needs no database to be read.

A call is one write at the end of the file, so a point survives SIGKILL as soon as the call returns, and `flush` makes it
survive a power cut. Nothing here knows SQLite: a file that is full is handed to `on_full` and a new one is begun.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import secrets
import stat
import struct
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, StoreWriteError
from modelmgmt.store.disk import ABSENT, hint, reads
from modelmgmt.store.forks import at_fork, hold, let_go
from modelmgmt.store.names import counted
from modelmgmt.store.process import Process, current
from modelmgmt.store.times import now_us

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = ".journal"
UNFINISHED = ".new"
HEADER_BYTES = 4096
RECORD_BYTES = 32
FULL_BYTES = 1 << 22
"""A file of this size is left for a new one at the next call."""
MAX_BYTES = 1 << 28
"""No file is larger, whatever a call holds: a reader need not read 20 GB of holes to know that somebody else made it."""
YOUNG_S = 1.0

pack_point = struct.Struct("<qdqI").pack
"""(step, value, time_us, stream) -> the 28 bytes that the crc32 covers."""

_DEFINITION = 0x80000000
_as_record = struct.Struct("<28sI").pack
_PIECE = struct.Struct("<24sI")
_HEAD = struct.Struct("<4sII")
_MAGIC = b"MMJ1"


# -- writing --------------------------------------------------------------------------------------------------------------


def _holding_the_gil() -> Callable[[int, bytes, int, int], int]:
    """`pwrite` of the C library, called without giving up the interpreter: how many bytes were written, or -1.

    A write into the page cache takes a microsecond. Whoever gives up the interpreter for it, as `os.pwrite` does, waits
    up to 5 ms to have it back while another thread computes.
    """
    function = ctypes.PyDLL(None, use_errno=True).pwrite
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_ssize_t)  # off_t, but for 32 bits
    function.restype = ctypes.c_ssize_t
    return function


try:
    _pwrite = _holding_the_gil()
except (AttributeError, TypeError, OSError):  # pragma: no cover - a system that has no such thing

    def _pwrite(file: int, data: bytes, _: int, place: int) -> int:
        return os.pwrite(file, data, place)


class _File:
    """The file that a journal is writing."""

    def __init__(self, folder: Path) -> None:
        """Begin one. It gets its name last, so that nobody sees half a header. Raises OSError."""
        self.header = Header(f"{now_us():x}-{os.getpid():x}-{secrets.token_hex(4)}", now_us(), current())
        self.salt = self.header.salt
        self.place = self.done = HEADER_BYTES
        self.begun = time.monotonic()
        self.pending: dict[int, tuple[str, str]] = {}  # streams without a definition in the file
        self.is_in_doubt = False
        self.path = folder / (self.header.id + SUFFIX)
        unfinished = folder / (self.header.id + UNFINISHED)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        self.descriptor = os.open(unfinished, flags, 0o666)
        try:
            self.write(_encode_header(self.header), 0)
            unfinished.rename(self.path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def write(self, data: bytes, place: int) -> None:
        """On return the bytes survive SIGKILL. Raises OSError; a part may be written then."""
        size = len(data)
        while (count := _pwrite(self.descriptor, data, size, place)) != size:
            if count < 0:
                code = ctypes.get_errno()
                if code != errno.EINTR:
                    raise OSError(code, os.strerror(code))
                count = 0
            data, place, size = data[count:], place + count, size - count

    def __del__(self) -> None:
        # Not sooner: an append that a signal handler has interrupted, or a flush, may still use it.
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """Appends points to a file. Threads and signal handlers may share it; a forked child begins a file of its own."""

    def __init__(self, folder: Path, on_full: Callable[[Path], None]) -> None:
        self._folder = folder
        self._on_full = on_full
        self._streams: dict[str, dict[str, int]] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._next_stream = 1
        self._file: _File | None = None
        self._depth = 0  # appends under way, all of the thread that has the lock: handlers interrupt each other
        self.lock = threading.RLock()
        _open_journals.add(self)

    @property
    def path(self) -> Path | None:
        """The file that is being written, if there is one."""
        file = self._file
        return file.path if file is not None else None

    def written(self) -> int:
        """How many records of the current file, from its first, are complete, whatever else is going on."""
        with self.lock:
            return (self._file.done - HEADER_BYTES) // RECORD_BYTES if self._file is not None else 0

    def names(self) -> Mapping[int, tuple[str, str]]:
        """Stream -> (run, key), for the current file. It grows."""
        return self._names

    def define(self, run: str, key: str) -> int:
        """The stream of a series. Its definition is written with its first point."""
        with self.lock:
            keys = self._streams.setdefault(run, {})
            if key not in keys:
                # Nothing is called until the stream has its place: a signal handler may log the same key.
                stream = self._next_stream
                self._next_stream = stream + 1
                self._names[stream] = (run, key)
                if self._file is not None:
                    self._file.pending[stream] = (run, key)
                keys[key] = stream
            return keys[key]

    def append(self, bodies: Sequence[bytes]) -> None:
        """Write records of 28 bytes each, in order. On return they survive SIGKILL. Raises StoreWriteError."""
        with self.lock:
            self._depth += 1
            try:
                file = self._file
                if file is None or (file.place >= FULL_BYTES and self._depth == 1):
                    file = self._begin(file, len(bodies))
                salt = file.salt
                records = [_as_record(body, zlib.crc32(body, salt)) for body in bodies]
                if file.pending:
                    self._append_defined(file, records)
                else:
                    self._write(file, b"".join(records), len(bodies))
                if self._depth == 1:
                    file.done = file.place
            finally:
                self._depth -= 1

    def _append_defined(self, file: _File, records: Sequence[bytes]) -> None:
        pending = dict(file.pending)
        bodies = [body for stream, name in pending.items() for body in definition(stream, *name)]
        defined = [_as_record(body, zlib.crc32(body, file.salt)) for body in bodies]
        self._write(file, b"".join([*defined, *records]), len(records))
        for stream in pending:
            file.pending.pop(stream, None)  # not before: it would be missing from what a handler writes meanwhile

    def _write(self, file: _File, data: bytes, count: int) -> None:
        # A place is taken before it is filled, and nothing is called in between: a signal handler that logs, which Python
        # runs at calls and at jumps, gets the next place.
        place = file.place
        end = place + len(data)
        if end > MAX_BYTES:
            raise StoreWriteError(f"Could not log {count:,} points in one call to {self._folder}: log them in parts.")
        file.place = end
        try:
            file.write(data, place)
        except OSError as error:
            if file.place == end:  # else a signal handler has written behind it
                with suppress(OSError):
                    os.ftruncate(file.descriptor, place)
                file.place = place
            message = f"Could not write {counted(count, 'point')} to {self._folder} ({error.strerror}): {hint(error)}."
            raise StoreWriteError(message) from error

    def _begin(self, full: _File | None, count: int) -> _File:
        """Begin a file in the place of `full`."""
        try:
            file = _File(self._folder)
        except OSError as error:
            message = (
                f"Could not make room for {counted(count, 'point')} in {self._folder} ({error.strerror}): "
                f"{hint(error)}."
            )
            raise StoreWriteError(message) from error
        while True:
            newest = self._next_stream
            names = self._open_names()
            file.pending = dict(names)
            # Nothing is called between this and the next line: a signal handler may define a stream, or begin a file.
            if newest == self._next_stream and self._file is full:
                self._file, self._names = file, names
                break
            if self._file is not full and self._file is not None:
                file.path.unlink(missing_ok=True)
                return self._file
        if full is not None:
            self._on_full(full.path)
        return file

    def _open_names(self) -> dict[int, tuple[str, str]]:
        return {stream: (run, key) for run, keys in list(self._streams.items()) for key, stream in list(keys.items())}

    def forget(self, run: str) -> Path | None:
        """The run has ended: later files need not define its series.

        After the last open run the file is retired and its path returned, unless it is young: a search that does hundreds
        of short runs a second need not pay for a file each.
        """
        with self.lock:
            self._streams.pop(run, None)
            is_young = self._file is not None and time.monotonic() - self._file.begun < YOUNG_S
            return None if self._streams or is_young else self.retire()

    @property
    def is_in_doubt(self) -> bool:
        """Whether the disk has refused to sync the current file.

        The system may drop what it could not write, and call the next sync a success: that one would promise nothing.
        """
        file = self._file
        return file is not None and file.is_in_doubt

    def flush(self) -> None:
        """On return, every point that was appended survives a power cut. Raises StoreWriteError; see `is_in_doubt`."""
        with self.lock:
            file = self._file
        if file is None:
            return
        try:
            try:
                os.fsync(file.descriptor)
            except OSError:
                file.is_in_doubt = True
                raise
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreWriteError(
                f"Could not flush the journal in {self._folder} ({error}): check the disk."
            ) from error

    def retire(self) -> Path | None:
        """Stop writing the current file and return its path; the next point begins a new one.

        None when there is none, or when a signal handler asks while a point is on its way: the file stays then, and whoever
        opens the store next folds it.
        """
        with self.lock:
            if self._depth or self._file is None:
                return None
            path = self._file.path
            self._file = None
            return path

    def _reset_after_fork(self) -> None:
        self.lock = threading.RLock()
        self._depth = 0
        self._file = None


def _before_fork(held: list[threading.RLock]) -> None:
    # No other thread is within a call then. To give the child a new lock is not enough: a thread that was making a file
    # may have been importing a codec, and the child would wait for that module for ever.
    hold([journal.lock for journal in list(_open_journals)], held)


def _after_fork_in_child() -> None:
    for journal in list(_open_journals):
        journal._reset_after_fork()  # noqa: SLF001 - one module


at_fork("journal", before=_before_fork, in_parent=let_go, in_child=_after_fork_in_child)


# -- the format -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header:
    """Which file this is, and which process writes it."""

    id: str
    created_us: int
    owner: Process

    @property
    def salt(self) -> int:
        return zlib.crc32(self.id.encode("ascii"))


def _encode_header(header: Header) -> bytes:
    text = json.dumps(asdict(header)).encode()
    return (_HEAD.pack(_MAGIC, zlib.crc32(text), len(text)) + text).ljust(HEADER_BYTES, b"\0")


def definition(stream: int, run: str, key: str) -> list[bytes]:
    """The 28-byte bodies that say which run and key a stream is."""
    text = f"{run}\0{key}".encode()
    payload = struct.pack("<H", len(text)) + text
    return [_PIECE.pack(payload[at : at + 24], _DEFINITION | stream) for at in range(0, len(payload), 24)]


# -- reading --------------------------------------------------------------------------------------------------------------


def open_file(path: Path) -> int | None:
    """A descriptor, or None when the file is gone: whoever folded it has removed it. Raises StoreReadError.

    A link, which leads elsewhere, and a pipe, which would wait for ever, count as gone: `foreign` names them.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with reads(path, but=ABSENT):
            mode = path.lstat().st_mode
            return os.open(path, flags) if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None
    except ABSENT:
        return None


@contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """As `open_file`, for a block. What the disk does not give back in it raises StoreReadError with the path."""
    descriptor = open_file(path)
    if descriptor is None:
        yield None
        return
    try:
        with reads(path):
            yield descriptor
    finally:
        os.close(descriptor)


def read_header(descriptor: int, name: str) -> Header:
    """Raises OSError as the disk says it, CorruptDataError when the file begins with no header.

    A file gets its name after its header is written. One without, empty or with zeros in its place, has seen a power cut
    before anything was synced. Its writer is gone, its id is in its name, and what had reached the disk by chance can be
    read.
    """
    if os.fstat(descriptor).st_size > MAX_BYTES:
        raise CorruptDataError(f"The journal {name} is larger than a journal can be: its points cannot be read.")
    page = os.pread(descriptor, HEADER_BYTES, 0)
    if not page.rstrip(b"\0") and name.isascii():
        return Header(name.removesuffix(SUFFIX), 0, Process(current().host, boot_id="an earlier one", pid=0, start=""))
    if len(page) >= _HEAD.size:
        magic, crc, length = _HEAD.unpack_from(page)
        text = page[_HEAD.size : _HEAD.size + length]
        if magic == _MAGIC and zlib.crc32(text) == crc:
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                return _decode_header(json.loads(text))
    raise CorruptDataError(f"The header of the journal {name} is damaged: its points cannot be read.")


def _decode_header(values: dict[str, object]) -> Header:
    header = Header(values["id"], values["created_us"], Process(**values["owner"]))  # type: ignore[arg-type]
    owner = header.owner
    texts, numbers = (header.id, owner.host, owner.boot_id, owner.start), (header.created_us, owner.pid)
    is_sound = all(type(text) is str for text in texts) and all(type(number) is int for number in numbers)
    if not is_sound or not header.id.isascii():
        raise TypeError(header)
    return header


@dataclass(frozen=True, slots=True)
class Records:
    """What was read of a journal, from record `start` on."""

    start: int
    end: int
    """One past the last record that was ever written."""
    points: NDArray[np.void]
    """Structured, `(n_points,)`: step, value, time, tag. In the order in which they were written."""
    names: Mapping[int, tuple[str, str]]
    """Stream -> (run, key)."""
    damaged: tuple[int, ...]
    """Records that fail their checksum, or belong to a stream without a definition. Not the record that a killed process
    was writing, and had not acknowledged."""


def read(
    descriptor: int,
    salt: int,
    start: int = 0,
    stop: int | None = None,
    names: Mapping[int, tuple[str, str]] | None = None,
) -> Records:
    """Read and verify the records from `start` to before `stop`, by default to the last one that was written.

    `names`, where the caller knows them, saves reading definitions. Raises OSError as the disk says it.
    """
    import numpy as np

    data = _written(descriptor, start, stop)
    records, valid = _verified(data, salt)
    if not valid.all():
        # One read is not one moment: its writer may have gone on from a page that was copied to one that was not yet. What
        # comes before the last record that was seen is there by now; what has come behind it meanwhile is not looked at.
        data = os.pread(descriptor, len(data), HEADER_BYTES + start * RECORD_BYTES)
        records, valid = _verified(data, salt)
    is_point = valid & (records["tag"] < _DEFINITION)
    if names is None:
        names = _definitions(descriptor, salt, start + len(records)) if is_point.any() else {}
    known = np.fromiter(names, np.uint32, len(names))
    unknown = is_point & ~np.isin(records["tag"], known)
    is_damaged = (~valid & ((records["tag"] | records["crc"]) != 0)) | unknown
    if len(records) and records["crc"][-1] == 0:
        # Where a write was cut off within a page, by a power cut: this record was not acknowledged.
        is_damaged[-1] = False
    damaged = np.flatnonzero(is_damaged)
    return Records(
        start=start,
        end=start + len(records),
        points=records[is_point & ~unknown],
        names=names,
        damaged=tuple(int(place) + start for place in damaged),
    )


def _written(descriptor: int, first: int, stop: int | None) -> bytes:
    """The bytes from record `first` to the last whole one before `stop` that is not zero.

    The file may end within a record that was being written, and not acknowledged.
    """
    end = min(os.fstat(descriptor).st_size, MAX_BYTES)
    if stop is not None:
        end = min(end, HEADER_BYTES + stop * RECORD_BYTES)
    place = HEADER_BYTES + first * RECORD_BYTES
    data = os.pread(descriptor, max(0, end - place), place)
    end = -(-len(data.rstrip(b"\0")) // RECORD_BYTES)
    return data[: min(end, len(data) // RECORD_BYTES) * RECORD_BYTES]


def _verified(data: bytes, salt: int) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """The records in `data`, and which of them have their checksum."""
    import numpy as np

    crc32 = zlib.crc32
    dtype = np.dtype([("step", "<i8"), ("value", "<f8"), ("time", "<i8"), ("tag", "<u4"), ("crc", "<u4")])
    records = np.frombuffer(data, dtype)
    found = [crc32(data[at : at + 28], salt) for at in range(0, len(data), RECORD_BYTES)]
    is_sound: NDArray[np.bool_] = (np.array(found, np.uint32) == records["crc"]) & (records["tag"] != 0)
    return records, is_sound


def read_names(descriptor: int, salt: int) -> dict[int, tuple[str, str]]:
    """Stream -> (run, key), of the whole file."""
    size = min(os.fstat(descriptor).st_size, MAX_BYTES)
    return _definitions(descriptor, salt, max(0, size - HEADER_BYTES) // RECORD_BYTES)


def _definitions(descriptor: int, salt: int, stop: int) -> dict[int, tuple[str, str]]:
    """Stream -> (run, key), from the definitions before record `stop`. They may be far before the points."""
    import numpy as np

    data = os.pread(descriptor, stop * RECORD_BYTES, HEADER_BYTES)
    data = data[: len(data) // RECORD_BYTES * RECORD_BYTES]
    tags = np.frombuffer(data, np.dtype("<u4")).reshape(-1, RECORD_BYTES // 4)[:, -2]
    pieces: dict[int, bytearray] = {}
    for place in np.flatnonzero(tags >= _DEFINITION).tolist():
        start = place * RECORD_BYTES
        body, crc = data[start : start + 28], data[start + 28 : start + RECORD_BYTES]
        if zlib.crc32(body, salt).to_bytes(4, "little") == crc:
            pieces.setdefault(int(tags[place]) & ~_DEFINITION, bytearray()).extend(body[:24])
    return dict(_named(pieces))


def _named(pieces: Mapping[int, bytearray]) -> Iterator[tuple[int, tuple[str, str]]]:
    for stream, payload in pieces.items():
        (length,) = struct.unpack_from("<H", payload)
        text = bytes(payload[2 : 2 + length])
        with suppress(UnicodeDecodeError):
            if len(text) == length:
                run, _, key = text.decode().partition("\0")
                yield stream, (run, key)
