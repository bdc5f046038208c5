"""What does not belong inside the folder of a store: links, pipes, sockets and devices.

A store may come from a stranger. Writing through a link in it would change files elsewhere, and collecting garbage would
delete them; a pipe makes whoever opens it wait. The library makes plain files and folders only, so everything else refuses
the store for writing, and is never followed when it is read. The path to the store itself may be a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelmgmt.errors import StoreWriteError
from modelmgmt.store.disk import ABSENT, reads
from modelmgmt.store.names import shown

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
