"""Where the bytes of an object come from: memory, a stream, or a file that must hold still while it is copied.

Reads sources, writes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from modelmgmt.errors import InvalidTypeError, InvalidValueError, SourceChangedError
from modelmgmt.store.disk import ABSENT

Fill = Callable[[memoryview], int]  # fills a buffer to its end or the end of the source; returns how many bytes


class Reader(Protocol):
    """Anything open for reading bytes: a file, an HTTP response. `readinto` is used where it exists."""

    def read(self, size: int, /) -> bytes: ...


def copier(source: memoryview) -> Fill:
    """Fill from memory."""
    # A bytearray may change while it is put: what is hashed and what is written must be one copy.
    at = 0

    def fill(view: memoryview) -> int:
        nonlocal at
        part = source[at : at + len(view)]
        view[: len(part)] = part
        at += len(part)
        return len(part)

    return fill


def filler(reader: Reader) -> Fill:
    """Fill from a stream, with as many reads as it takes."""
    readinto: Callable[[memoryview], int | None] = getattr(reader, "readinto", None) or _readinto(reader)

    def fill(view: memoryview) -> int:
        filled = 0
        while filled < len(view):
            count = readinto(view[filled:])
            if count is None:
                raise InvalidValueError("the stream has no bytes ready and does not wait; pass one that blocks")
            if count == 0:
                break
            filled += count
        return filled

    return fill


def _readinto(reader: Reader) -> Callable[[memoryview], int | None]:
    def readinto(view: memoryview) -> int | None:
        data: object = reader.read(len(view))
        if data is None:
            return None
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidTypeError(
                f"a stream of bytes is needed, found one of {type(data).__name__}; open it with 'rb'"
            )
        view[: len(data)] = data
        return len(data)

    return readinto


def is_missing(path: Path) -> bool:
    """Whether it is certain that nothing is there; where the disk does not say, whoever reads it will be told."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, ABSENT) or error.errno in (errno.ELOOP, errno.ENAMETOOLONG)
    return False


def check_source(path: Path, found: os.stat_result) -> None:
    """Refuse what is not a regular file."""
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "a pipe, socket or device"
    raise InvalidValueError(f"{str(path)!r} is {kind}, not a file; copy what it holds to a file, and put that")


def check_unchanged(
    path: Path, copied: int, before: os.stat_result, after: os.stat_result, *, follow_links: bool
) -> None:
    """Refuse a file that is not, by inode, size and times, what it was before it was copied."""
    try:
        named = path.stat(follow_symlinks=follow_links)
    except ABSENT as error:
        raise SourceChangedError(f"{str(path)!r} was removed while it was copied; try again") from error
    if not _state(before) == _state(after) == _state(named):
        raise SourceChangedError(f"{str(path)!r} changed while it was copied; put it when its writer is done")
    if copied != before.st_size:
        why = f"says that it holds {before.st_size:,} bytes and gave {copied:,}"
        raise SourceChangedError(f"{str(path)!r} {why}; put it when its writer is done, or give what it holds as bytes")


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
