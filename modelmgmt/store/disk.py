"""Writing so that it lasts: create, write, sync; and what the disk refuses, said in a sentence.

Knows no folder of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmgmt.errors import ModelmgmtError, StoreError, StoreWriteError


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
        why = error.strerror or error
        refused = StoreWriteError(f"cannot {verb} {path}: {why}; is there space, and the right to write there?")
        refused.errno = error.errno
        raise refused from error


def unreadable(path: Path, error: OSError) -> StoreError:
    """Return the error for a file of the store that the disk will not give back."""
    refused = StoreError(f"cannot read {path}: {error.strerror or error}; look at the disk and at the file's mode")
    refused.errno = error.errno
    return refused
