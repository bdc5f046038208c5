"""A journal segment: the file behind one process's memory map. Its format, and reading it back.

A page of header, then records of 32 bytes, little-endian, none of which crosses a page::

    point       step i64 | value f64 | time i64, microseconds | stream u32              | crc32 u32
    definition  24 bytes of text                              | stream u32 | 0x80000000 | crc32 u32

A definition gives a stream its run and key: the pieces of one stream, joined, are a length u16 and `run NUL key` in
UTF-8. The crc32 covers the 28 bytes before it and starts from the crc32 of the segment's id. A record of zeros is a
place that was never written. So the file says everything about itself, and needs no database to be read.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError
from modelmgmt.store.disk import ABSENT, reads
from modelmgmt.store.process import Process, current
from modelmgmt.store.times import now_us

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = ".journal"
UNFINISHED = ".new"
HEADER_BYTES = 4096
RECORD_BYTES = 32
DEFINITION = 0x80000000

CANNOT = frozenset({errno.ENODEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK})
"""What a file system says that has no such thing as a map, a lock or an allocation."""

pack_point = struct.Struct("<qdqI").pack
"""(step, value, time_us, stream) -> the 28 bytes that the crc32 covers."""

_RECORD = struct.Struct("<28sI")
pack_record = _RECORD.pack_into
as_record = _RECORD.pack
_PIECE = struct.Struct("<24sI")
_HEAD = struct.Struct("<4sII")
_MAGIC = b"MMJ1"
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Header:
    """Which segment this is, and which process writes it."""

    id: str
    created_us: int
    owner: Process

    @property
    def salt(self) -> int:
        return zlib.crc32(self.id.encode("ascii"))


class Plain:
    """A segment on a file system that cannot map files: it grows by plain writes, and holds the same bytes."""

    def __init__(self, file: int) -> None:
        self._file = file

    def write(self, place: int, data: bytes) -> None:
        """On return the bytes survive SIGKILL. Raises OSError; a part may be written then."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self._file, view, place)
            view, place = view[count:], place + count

    def cut(self, place: int) -> None:
        """Take back what was written from `place` on, where the disk still lets one."""
        with suppress(OSError):
            os.ftruncate(self._file, place)

    def flush(self) -> None:
        os.fsync(self._file)

    def __del__(self) -> None:
        # Not sooner: an append that a signal handler has interrupted may still write to it.
        os.close(self._file)


def create(
    folder: Path, owner: Process, record_count: int, *, is_mapped: bool = True
) -> tuple[Path, Header, mmap.mmap | Plain]:
    """Make a segment with room for `record_count` records, and map it.

    The blocks are allocated now: writing to a sparse map on a full disk would end the process with SIGBUS. The file gets
    its final name last, so that nobody sees half a header. Where the file system cannot map, or is not to be asked, the
    segment is `Plain`. Raises OSError when the disk has no room.
    """
    header = Header(f"{now_us():x}-{os.getpid():x}-{secrets.token_hex(4)}", now_us(), owner)
    size = HEADER_BYTES + record_count * RECORD_BYTES
    unfinished = folder / f"{header.id}{UNFINISHED}"
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    view: mmap.mmap | Plain | None = None
    try:
        if is_mapped:
            _allocate(descriptor, size)
            view = _mapped(descriptor, size)
        if view is None:
            os.ftruncate(descriptor, HEADER_BYTES)
        os.pwrite(descriptor, _encode_header(header), 0)
        if view is None:
            view = Plain(os.dup(descriptor))
        path = folder / (header.id + SUFFIX)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return path, header, view


def _mapped(descriptor: int, size: int) -> mmap.mmap | None:
    """None where this file system cannot map; other errors are errors."""
    try:
        return mmap.mmap(descriptor, size)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        return None


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in CANNOT:
                raise
        else:
            return
    block = bytes(1 << 16)
    for start in range(0, size, len(block)):
        os.write(descriptor, block[: size - start])


def _encode_header(header: Header) -> bytes:
    text = json.dumps(asdict(header)).encode()
    return _HEAD.pack(_MAGIC, zlib.crc32(text), len(text)) + text


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
    """Raises OSError as the disk says it, CorruptDataError when the first page is not a header.

    A page of zeros had a header in memory, since a file is named after that is written: a power cut came before anything
    was synced. Its writer is gone, its id is in its name, and what had reached the disk by chance can be read.
    """
    page = os.pread(descriptor, HEADER_BYTES, 0)
    if page.count(0) == HEADER_BYTES:
        return Header(name.removesuffix(SUFFIX), 0, Process(current().host, boot_id="an earlier one", pid=0, start=""))
    if len(page) == HEADER_BYTES:
        magic, crc, length = _HEAD.unpack_from(page)
        text = page[_HEAD.size : _HEAD.size + length]
        if magic == _MAGIC and zlib.crc32(text) == crc:
            values = json.loads(text)
            return Header(values["id"], values["created_us"], Process(**values["owner"]))
    raise CorruptDataError(f"The header of the journal {name} is damaged: its points cannot be read.")


def definition(stream: int, run: str, key: str) -> list[bytes]:
    """The 28-byte bodies that say which run and key a stream is."""
    text = f"{run}\0{key}".encode()
    payload = struct.pack("<H", len(text)) + text
    return [_PIECE.pack(payload[at : at + 24], DEFINITION | stream) for at in range(0, len(payload), 24)]


@dataclass(frozen=True, slots=True)
class Records:
    """What was read of a segment, from record `start` on."""

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
    *,
    is_live: bool = False,
) -> Records:
    """Read and verify the records from `start` to before `stop`, by default to the last one that was written.

    Raises OSError as the disk says it.

    `names`, where the caller knows them, saves reading definitions. `is_live` stops at the first 64 KiB of zeros: most
    of a live journal is still empty. A log call of thousands of points that a signal interrupted may leave such a gap.
    """
    import numpy as np

    data = _written(descriptor, start, stop, is_live=is_live)
    records = np.frombuffer(data, _record_dtype())
    valid = _valid(data, records, salt)
    if is_live and not valid.all():
        # One read is not one moment: its writer may have gone on from a page that was copied to one that was not yet. What
        # comes before the last record that was seen is there by now; what has come behind it meanwhile is not looked at.
        data = os.pread(descriptor, len(data), HEADER_BYTES + start * RECORD_BYTES)
        records = np.frombuffer(data, _record_dtype())
        valid = _valid(data, records, salt)
    is_point = valid & (records["tag"] < DEFINITION)
    if names is None:
        names = _definitions(descriptor, salt, start + len(records)) if is_point.any() else {}
    known = np.fromiter(names, np.uint32, len(names))
    unknown = is_point & ~np.isin(records["tag"], known)
    is_damaged = (~valid & ((records["tag"] | records["crc"]) != 0)) | unknown
    if len(records) and records["crc"][-1] == 0:
        # A record is written with its checksum last: this one was under way when the process ended, not acknowledged.
        is_damaged[-1] = False
    damaged = np.flatnonzero(is_damaged)
    return Records(
        start=start,
        end=start + len(records),
        points=records[is_point & ~unknown],
        names=names,
        damaged=tuple(int(place) + start for place in damaged),
    )


def _record_dtype() -> np.dtype[np.void]:
    import numpy as np

    return np.dtype([("step", "<i8"), ("value", "<f8"), ("time", "<i8"), ("tag", "<u4"), ("crc", "<u4")])


def _written(descriptor: int, first: int, stop: int | None, *, is_live: bool) -> bytes:
    """The bytes from record `first` to the last whole one before `stop` that is not zero.

    Where a segment grows by plain writes, the file may end within a record that was being written, and not acknowledged.
    """
    blocks = []
    place = HEADER_BYTES + first * RECORD_BYTES
    end = os.fstat(descriptor).st_size if stop is None else HEADER_BYTES + stop * RECORD_BYTES
    while block := os.pread(descriptor, max(0, min(_READ_BYTES, end - place)), place):
        if is_live and block.count(0) == len(block):
            break
        blocks.append(block)
        place += len(block)
    data = b"".join(blocks)
    end = -(-len(data.rstrip(b"\0")) // RECORD_BYTES)
    return data[: min(end, len(data) // RECORD_BYTES) * RECORD_BYTES]


def _valid(data: bytes, records: NDArray[np.void], salt: int) -> NDArray[np.bool_]:
    import numpy as np

    crc32 = zlib.crc32
    found = [crc32(data[at : at + 28], salt) for at in range(0, len(data), RECORD_BYTES)]
    is_sound: NDArray[np.bool_] = (np.array(found, np.uint32) == records["crc"]) & (records["tag"] != 0)
    return is_sound


def read_names(descriptor: int, salt: int) -> dict[int, tuple[str, str]]:
    """Stream -> (run, key), of the whole segment."""
    size = os.fstat(descriptor).st_size
    return _definitions(descriptor, salt, (size - HEADER_BYTES) // RECORD_BYTES)


def _definitions(descriptor: int, salt: int, stop: int) -> dict[int, tuple[str, str]]:
    """Stream -> (run, key), from the definitions before record `stop`. They may be far before the points."""
    import numpy as np

    data = os.pread(descriptor, stop * RECORD_BYTES, HEADER_BYTES)
    tags = np.frombuffer(data, _record_dtype())["tag"]
    pieces: dict[int, bytearray] = {}
    for place in np.flatnonzero(tags >= DEFINITION).tolist():
        start = place * RECORD_BYTES
        body, crc = data[start : start + 28], data[start + 28 : start + RECORD_BYTES]
        if zlib.crc32(body, salt).to_bytes(4, "little") == crc:
            pieces.setdefault(int(tags[place]) & ~DEFINITION, bytearray()).extend(body[:24])
    return dict(_named(pieces))


def _named(pieces: Mapping[int, bytearray]) -> Iterator[tuple[int, tuple[str, str]]]:
    for stream, payload in pieces.items():
        (length,) = struct.unpack_from("<H", payload)
        text = bytes(payload[2 : 2 + length])
        if len(text) == length:
            run, _, key = text.decode().partition("\0")
            yield stream, (run, key)
