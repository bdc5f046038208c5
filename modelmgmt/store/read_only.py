"""Reading a store where nothing can be written: read-only media, a full disk. Writes in temporary folders only."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from modelmgmt.errors import StoreWriteError
from modelmgmt.store.disk import copy_file, status_of

_COPY_BYTES = 1 << 20


def tables_uri(path: Path) -> tuple[str, Path | None]:
    """An SQLite URI by which the tables at `path` can be read, and the private folder made for it, if there is one.

    SQLite reads a write-ahead log only where it can write beside it, and rolls back a transaction that was cut off before it
    reads: where there is either, the tables are copied. Without, the file is read in place, as if it never changed: what
    others write later is seen by whoever opens the store anew.
    """
    sizes = {file: _size(file) for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-journal")))}
    if not any(size for file, size in sizes.items() if file != path):
        return path.absolute().as_uri() + "?mode=ro&immutable=1", None
    folder = private_folder(sum(sizes.values()))
    try:
        for source, size in sizes.items():
            if size:
                copy_file(source, folder / source.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return (folder / path.name).as_uri(), folder


def _size(path: Path) -> int:
    status = status_of(path)
    return status.st_size if status is not None else 0


def private_folder(needed_bytes: int) -> Path:
    """A new folder that only this user can read, on a disk with that much room. Raises StoreWriteError."""
    for place in (tempfile.gettempdir(), "/dev/shm"):  # noqa: S108 - mkdtemp makes a folder of its own in it
        if Path(place).is_dir() and shutil.disk_usage(place).free > needed_bytes + _COPY_BYTES:
            return Path(tempfile.mkdtemp(prefix="modelmgmt-", dir=place))
    message = f"No temporary folder has the {needed_bytes:,} bytes that reading this store needs: set TMPDIR to one."
    raise StoreWriteError(message)
