"""What does not belong inside the folder of a store: links, pipes, sockets and devices.

A store may come from a stranger. Writing through a link in it would change files elsewhere, and collecting garbage would
delete them; a pipe makes whoever opens it wait. The library makes plain files and folders only, so everything else refuses
the store for writing, and is never followed when it is read. The path to the store itself may be a link.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelmgmt.errors import StoreWriteError
from modelmgmt.store.disk import ABSENT, reads
from modelmgmt.store.names import shown

_HAS_HANDLES = os.open in os.supports_dir_fd
FOLDERS = ("backups", "journal", "objects", "set-aside", "tmp")


def foreign(path: Path, *, deep: bool = False) -> Iterator[tuple[str, str]]:
    """(name, what it is, in words) of everything in a store that is neither a file nor a folder.

    Looks at the folder, and at those in it that the library uses; with `deep` at all that is below. Raises StoreReadError.
    """
    yield from _foreign(path, "", 10 if deep else 1)


def refuse_foreign(path: Path) -> None:
    """Raises StoreWriteError when something in the store is neither a file nor a folder."""
    for name, what in foreign(path):
        raise StoreWriteError(
            f"{path / name} is {what}: nothing inside a store may be one, as writing would reach what is not part of it. "
            "Remove it, or put a copy of what it leads to in its place."
        )


def remove(root: Path, name: str) -> None:
    """Remove a file or a folder of a store, such as `tmp/x`, if it is there. Raises OSError, and as `_inside`."""
    with _inside(root, name) as (place, handle), suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(place, dir_fd=handle, follow_symlinks=False).st_mode):
            shutil.rmtree(place, dir_fd=handle)
        else:
            os.unlink(place, dir_fd=handle)


def move(root: Path, name: str, to: str) -> None:
    """Give a file of a store another name in it. Raises OSError, and as `_inside`."""
    with _inside(root, name) as (old, source), _inside(root, to) as (new, target):
        os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)


def put_back(root: Path, name: str, to: str) -> None:
    """As `move`, where `to` stays what it is when it is there. Raises OSError, and as `_inside`."""
    with _inside(root, name) as (old, source), _inside(root, to) as (new, target):
        with suppress(FileExistsError, FileNotFoundError):
            os.link(old, new, src_dir_fd=source, dst_dir_fd=target)
        with suppress(FileNotFoundError):
            os.unlink(old, dir_fd=source)


@contextmanager
def _inside(root: Path, name: str) -> Iterator[tuple[str, int | None]]:
    """The last part of a name in a store, and a handle of the folder that it is in. Raises StoreWriteError.

    No link leads there: one may have come since the store was opened. Where a system has no such handles, the whole path.
    """
    *folders, last = name.split("/")
    if not _HAS_HANDLES:  # pragma: no cover - Windows
        yield str(root.joinpath(name)), None
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    handle = os.open(root, flags)
    try:
        for number, folder in enumerate(folders, 1):
            above = handle
            try:
                handle = os.open(folder, flags | os.O_NOFOLLOW, dir_fd=above)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    place = root.joinpath(*folders[:number])
                    raise StoreWriteError(
                        f"{place} is no folder any more: nothing is removed there. Put the store's own folder back."
                    ) from error
                raise
            os.close(above)
        yield last, handle
    finally:
        os.close(handle)


def _foreign(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    try:
        with reads(folder, but=ABSENT):
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except ABSENT:
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink():
            yield name, f"a symbolic link to {shown(os.readlink(entry.path))}"
        elif entry.is_dir(follow_symlinks=False):
            if depth and (prefix or entry.name in FOLDERS):
                yield from _foreign(folder / entry.name, f"{name}/", depth - 1)
        elif not entry.is_file(follow_symlinks=False):
            yield name, _kind(entry)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return "neither a file nor a folder"
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "neither a file nor a folder")
