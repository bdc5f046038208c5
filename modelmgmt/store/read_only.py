"""Reading a store where nothing can be written: read-only media, a full disk, a zip. Writes in temporary folders only."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmgmt.errors import StorePathError, StoreWriteError
from modelmgmt.store.disk import copy_file, reads, status_of, unreadable
from modelmgmt.store.names import check_path

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


def unpack(archive: Path) -> tuple[Path, Path]:
    """The store in a zip, unpacked, and the private folder that it is in. Raises StorePathError for anything odd.

    Member by member: a name that would leave the folder, a link or a special file is refused.
    """
    with _opened(archive) as members:
        files = [member for member in members.infolist() if not member.is_dir()]
        stores = [member.filename for member in files if member.filename.rpartition("/")[2] == "store.db"]
        if len(stores) != 1:
            raise StorePathError(f"{archive} has {len(stores)} stores in it: zip the folder of one store only.")
        prefix = stores[0][: -len("store.db")]
        folder = private_folder(sum(member.file_size for member in files))
        for member in files:
            if member.filename.startswith(prefix):
                _unpack_member(members, member, folder / _safe(archive, member, prefix))
        (folder / "journal").mkdir(exist_ok=True)
    return folder, folder


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with reads(archive), zipfile.ZipFile(archive) as members:
            yield members
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        if isinstance(error.__context__, OSError):  # zipfile says of a file that cannot be read that it is no zip
            raise unreadable(archive, error.__context__) from error
        raise StorePathError(f"{archive} is a damaged zip ({error}): make it again.") from error


def private_folder(needed_bytes: int) -> Path:
    """A new folder that only this user can read, on a disk with that much room. Raises StoreWriteError."""
    for place in (tempfile.gettempdir(), "/dev/shm"):  # noqa: S108 - mkdtemp makes a folder of its own in it
        if Path(place).is_dir() and shutil.disk_usage(place).free > needed_bytes + _COPY_BYTES:
            return Path(tempfile.mkdtemp(prefix="modelmgmt-", dir=place))
    message = f"No temporary folder has the {needed_bytes:,} bytes that reading this store needs: set TMPDIR to one."
    raise StoreWriteError(message)


def _safe(archive: Path, member: zipfile.ZipInfo, prefix: str) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise StorePathError(f"{archive} has a link or a special file in it, {member.filename!r}: this is not a store.")
    try:
        return check_path(member.filename[len(prefix) :], "member of the archive")
    except ValueError as error:
        raise StorePathError(f"{archive} has a member that no store has: {error}") from error


def _unpack_member(members: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with members.open(member) as source, target.open("xb") as out:
        while block := source.read(_COPY_BYTES):
            left -= len(block)
            if left < 0:
                raise StorePathError(f"The member {member.filename!r} is longer than its archive says.")
            out.write(block)
