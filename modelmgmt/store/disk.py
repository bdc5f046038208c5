"""Writing so that it lasts: create, write, sync; and what the disk refuses, said in a sentence.

A read that the disk refuses says nothing about what is there: it is an error, and never taken for a file that is missing,
empty or damaged. Knows no folder of its own.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmgmt.errors import ModelmgmtError, StoreReadError, StoreWriteError

ABSENT = (FileNotFoundError, NotADirectoryError)
"""What the system says of a path when it is certain that nothing is there."""

THEIRS = (*ABSENT, PermissionError, IsADirectoryError)
"""What is wrong with a path that the user gave, and not with the disk."""

_BLOCK_BYTES = 1 << 20

_HINTS = {
    errno.EIO: "the disk reported an error: check the system log",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "its file system is read-only",
    errno.EACCES: "check its owner and its mode",
    errno.EPERM: "check its owner and its mode",
    errno.ENOENT: "it is gone: put it back",
    errno.EMFILE: "close some files",
    errno.ENFILE: "close some files",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EFBIG: "a limit on the size of files was reached (see 'ulimit -f'): raise it",
    errno.ELOOP: "symbolic links lead in a circle: remove one",
    errno.ENOTDIR: "a part of the path is a file: choose another path",
    errno.EISDIR: "it is a folder: choose another path",
    errno.EEXIST: "something else is at that path: move it away",
    errno.ENOMEM: "free some memory",
    errno.EBUSY: "another program is using it: end that, then try again",
    errno.ETXTBSY: "another program is using it: end that, then try again",
    errno.EILSEQ: "its name cannot be written on that file system: choose another one",
    errno.EINVAL: "its file system does not take such a name or request: choose another path",
    errno.ESTALE: "its mount is gone: mount it again",
    errno.ETIMEDOUT: "its mount does not answer: check the network",
    errno.ENOTEMPTY: "it has files in it: move them away",
}


def sync_file(file: int) -> None:
    """Make what was written to an open file survive power loss."""
    if sys.platform == "darwin":  # where fsync leaves the bytes in the cache of the drive
        import fcntl

        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    else:
        os.fsync(file)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive power loss."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def token() -> str:
    """Return 16 characters that no other process will come up with, for the name of a temporary file."""
    return os.urandom(8).hex()


def create(path: Path) -> int:
    """Create a file that will be read-only, and return it open for writing. Raises `FileExistsError`."""
    # Read-only from the first moment: the mode binds those who open it later, not this descriptor.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o444)


def write(file: int, data: bytes | memoryview) -> None:
    """Write all of `data`, however few bytes the system takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


@contextmanager
def our_disk(verb: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` inside into a `StoreWriteError` with the same `errno`, caused by it."""
    try:
        yield
    except ModelmgmtError:
        raise
    except OSError as error:
        at = f" ({error.filename})" if error.filename not in (None, str(path), path) else ""
        refused = StoreWriteError(f"cannot {verb} {path}: {_why(error)}{at}; {hint(error)}")
        refused.errno = error.errno
        raise refused from error


@contextmanager
def reads(path: Path, *, but: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Turn an `OSError` inside, which came of reading `path` or below it, into a `StoreReadError`; those of `but` pass."""
    try:
        yield
    except ModelmgmtError:
        raise
    except but:
        raise
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> StoreReadError:
    """Return the error for what the disk will not give back: of the file that the system names, else of `path`."""
    named = error.filename if isinstance(error.filename, str | Path) else path
    refused = StoreReadError(f"cannot read {named}: {_why(error)}; {hint(error)}")
    refused.errno = error.errno
    return refused


def status_of(path: Path) -> os.stat_result | None:
    """What the system says of a path; None when nothing is there. Raises StoreReadError when it cannot be seen.

    `Path.exists` and its like answer no, in some versions of Python, when the disk fails.
    """
    try:
        with reads(path, but=ABSENT):
            return path.stat()
    except ABSENT:
        return None


def is_there(path: Path) -> bool:
    """Whether something is at a path. Raises StoreReadError when it cannot be seen."""
    return status_of(path) is not None


def names_in(folder: Path) -> list[str]:
    """What is in a folder, sorted; nothing when there is no such folder. Raises StoreReadError."""
    try:
        with reads(folder, but=ABSENT):
            return sorted(os.listdir(folder))
    except ABSENT:
        return []


def copy_file(source: Path, target: Path) -> None:
    """Copy a file. Raises StoreReadError when the source cannot be read, and what the disk of the target says."""
    with reads(source, but=ABSENT):
        file = source.open("rb", buffering=0)
    with file, target.open("wb", buffering=0) as out:
        while True:
            with reads(source):
                block = file.read(_BLOCK_BYTES)
            if not block:
                return
            write(out.fileno(), block)


def hint(error: OSError) -> str:
    """What to do about it."""
    return _HINTS.get(error.errno or 0, "check the disk")


def _why(error: OSError) -> str:
    return error.strerror or str(error)
