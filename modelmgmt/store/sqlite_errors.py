"""What SQLite's errors mean for a store: the disk refused, somebody else is at it, or the file is damaged. Reads only."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmgmt.errors import (
    CorruptDataError,
    ModelmgmtError,
    NotFoundError,
    StoreBusyError,
    StorePathError,
    StoreReadError,
    StoreWriteError,
)
from modelmgmt.store.disk import unreadable
from modelmgmt.store.names import shown

BUSY_TIMEOUT_S = 60.0
REPAIR = "restore a backup, or save what is intact with 'modelmgmt store check --repair'"

_BUSY = f"another process has held it for {BUSY_TIMEOUT_S:.0f} s: end that process, or try again"
_READS = frozenset({
    sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_FSTAT, sqlite3.SQLITE_IOERR_SEEK, sqlite3.SQLITE_IOERR_ACCESS,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
})  # fmt: skip
_DISK_CODES = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_IOERR: "the disk reported an error: check the system log",
    sqlite3.SQLITE_READONLY: "it cannot be opened for writing: make it writable, or copy the store",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check its permissions and the number of open files",
    sqlite3.SQLITE_PROTOCOL: "its write-ahead log could not be read in one state: check the disk and try again",
    sqlite3.SQLITE_PERM: "permission is denied: check the owner of the folder",
}
_WRITES = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMSIZE})
_MAX_PATH_BYTES = 504  # 512 in SQLite, less the ending of its journal
_BLOCK_BYTES = 1 << 20

_kept: dict[tuple[int, int], int] = {}  # (device, inode) -> a descriptor that is never closed


@contextmanager
def translated(path: Path, connection: sqlite3.Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors about the disk or the file into ours; a programming error stays what it is.

    `connection`, the one that is used in the block, tells damage from a read that the disk refused once.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        translation = translate(path, error, connection)
        if translation is None:
            raise
        raise translation from error
    except UnicodeDecodeError as error:
        raise garbled(path) from error
    except UnicodeEncodeError as error:
        raise NotFoundError(f"The store has no name {shown(error.object)}: it is not valid Unicode text.") from error


def garbled(path: Path) -> CorruptDataError:
    """For SQLite quoting, in an error message of its own, a name that is no text any more."""
    return CorruptDataError(f"{path} is damaged (a name in it is not text): {REPAIR}.")


def is_refusal(code: int) -> bool:
    """Whether SQLite says by this code that the disk refused, which says nothing about what the file holds.

    A file that is shorter than it says of itself is damaged.
    """
    return code & 0xFF == sqlite3.SQLITE_IOERR and code != sqlite3.SQLITE_IOERR_SHORT_READ


def is_read(error: sqlite3.Error) -> bool:
    """Whether it is a read that the disk refused."""
    return getattr(error, "sqlite_errorcode", 0) in _READS


def translate(path: Path, error: sqlite3.Error, connection: sqlite3.Connection | None = None) -> ModelmgmtError | None:
    """Our error for one of SQLite's; None when it says nothing about the disk or the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_CORRUPT and (refused := _refused(path, connection)) is not None:
        return refused
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CorruptDataError(f"{path} is damaged ({error}): {REPAIR}.")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return CorruptDataError(
            f"What was to be written contradicts the tables of {path} ({error}): run 'modelmgmt store check' on it, "
            "and on the store that is merged."
        )
    if code == sqlite3.SQLITE_BUSY:
        return StoreBusyError(f"Could not use {path} ({error}): {_BUSY}.")
    if is_read(error):
        return StoreReadError(f"Could not read {path} ({error}): {_DISK_CODES[code]}.")
    if code == sqlite3.SQLITE_CANTOPEN and (long := _too_long(path)) is not None:
        return long
    if getattr(error, "sqlite_errorcode", 0) in _WRITES and (limit := _size_limit()) is not None:
        return StoreWriteError(
            f"Could not use {path} ({error}): this process may not write files of more than {limit:,} bytes (see "
            "'ulimit -f'), or the disk reported an error: raise that limit, else check the system log."
        )
    if code in _DISK_CODES:
        return StoreWriteError(f"Could not use {path} ({error}): {_DISK_CODES[code]}.")
    return None


def refuse_long(path: Path) -> None:
    """Raises StorePathError for a path that SQLite does not open."""
    if (error := _too_long(path)) is not None:
        raise error


def _too_long(path: Path) -> StorePathError | None:
    size = len(os.fsencode(path))
    if size <= _MAX_PATH_BYTES:
        return None
    return StorePathError(
        f"The path {path} is {size:,} bytes long, and SQLite opens paths of up to {_MAX_PATH_BYTES}: choose a shorter one."
    )


def _size_limit() -> int | None:
    """How large a file this process may write, where the system bounds it: SQLite calls that a disk error."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limit == resource.RLIM_INFINITY else limit


def _refused(path: Path, connection: sqlite3.Connection | None) -> StoreReadError | None:
    """None when the file is damaged.

    SQLite calls a file malformed of which the disk did not give back a part (SQLITE_IOERR_CORRUPTFS, which it hands out as
    SQLITE_CORRUPT). Only damage is still there when all is read again.
    """
    try:
        _read_all(path)
        if connection is None:
            return None
        connection.rollback()  # until then a write that met an error goes on saying so; nothing of it is committed
        if connection.execute("PRAGMA integrity_check(1)").fetchall() != [("ok",)]:
            return None
    except OSError as refused:
        return unreadable(path, refused)
    except (sqlite3.Error, UnicodeDecodeError):
        return None
    return StoreReadError(
        f"Could not read a part of {path} a moment ago; now it can be read, and is whole: try again, and look at the system "
        "log about the disk."
    )


def _read_all(path: Path) -> None:
    """Raises OSError where the disk does not give back what it has."""
    status = path.stat()
    file = _kept.get((status.st_dev, status.st_ino))
    if file is None:
        # To close it would let go of every lock that SQLite has on this file in this process: it stays open.
        file = _kept.setdefault((status.st_dev, status.st_ino), os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    _read(file)
    try:
        log = path.with_name(path.name + "-wal").open("rb", buffering=0)
    except FileNotFoundError:
        return
    with log:
        _read(log.fileno())


def _read(file: int) -> None:
    place = 0
    while block := os.pread(file, _BLOCK_BYTES, place):
        place += len(block)
