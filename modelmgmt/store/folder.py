"""Folders of the user: listing one so that nothing outside is taken in, filling one so that nothing outside is hit.

Reads and writes folders of the user only; of the store it knows nothing but which folder to leave out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelmgmt.errors import InvalidNameError, InvalidValueError, SourceChangedError
from modelmgmt.store.disk import ABSENT, token
from modelmgmt.store.names import check_path, shown

LINK_HOPS = 40  # symbolic links on the way to one file; what Linux allows

Mode = Literal["file", "executable", "link"]
Ignore = Callable[[str], bool]
_Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a folder: where it is, what it is, and for a kept link its target as written."""

    source: Path
    mode: Mode
    target: str = ""


def list_folder(folder: Path, *, ignore: Ignore | None, follow: bool, leave_out: Path) -> dict[str, Found]:
    """Return every file below `folder` by its path. `ignore` is asked first and may skip anything, folders whole.

    Raises `InvalidNameError` for a name that a tree can't hold, and `InvalidValueError` for a pipe, socket or device,
    and for a link that leaves the folder or is part of a circle of links; what `os.scandir` raises passes through.
    """
    own, top = _identity(leave_out), _identity(folder)
    if top is not None and top == own:
        raise InvalidValueError(f"{str(folder)!r} is the store itself; a store cannot contain itself")
    found: dict[str, Found] = {}
    todo: list[tuple[Path, str, tuple[_Identity | None, ...]]] = [(folder, "", (top,))]
    while todo:
        here, prefix, above = todo.pop()
        with os.scandir(here) as items:
            for item in items:
                path = prefix + item.name
                if ignore is not None and ignore(path):
                    continue
                _check_found(path, item)
                status = _status(path, item, follow=follow)
                if not stat.S_ISDIR(status.st_mode):
                    found[path] = _file(path, item, status)
                elif (identity := (status.st_dev, status.st_ino)) in above:
                    raise InvalidValueError(f"{shown(path)} is a link to a folder that contains it; ignore it")
                elif identity != own:
                    todo.append((here / item.name, f"{path}/", (*above, identity)))
    check_links({path: file.target for path, file in found.items() if file.mode == "link"})
    return found


def check_links(links: Mapping[str, str]) -> None:
    """Raise `InvalidValueError` when one of these links (path -> target) leaves its tree, or is part of a circle of links.

    A target is followed part by part through the other links, as the system would: "a/../b" need not be "b" when "a"
    is a link. A link to a file that is not there is harmless, and kept.
    """
    for path, target in links.items():
        if trouble := _trouble(path, links):
            raise InvalidValueError(
                f"The symbolic link {shown(path)} -> {shown(target)} {trouble}: remove it, or put a copy of "
                "what it points to in its place."
            )


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a folder to fill that becomes `target` when all went well; else everything in it is removed.

    A folder that does not exist yet appears at once, complete. One that exists, maybe a mount, is filled in place.
    Raises `InvalidValueError` when `target` is not an empty folder.
    """
    stage = target if _is_empty_folder(target) else _create_beside(target)
    try:
        yield stage
        if stage is not target:
            stage.rename(target)
    except BaseException:
        _clear(stage)
        if stage is not target:
            stage.rmdir()
        raise


def _trouble(path: str, links: Mapping[str, str]) -> str:
    todo, at, hops = path.split("/")[::-1], list[str](), 0
    while todo:
        part = todo.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not at:
                return "points outside its folder"
            at.pop()
            continue
        at.append(part)
        target = links.get("/".join(at))
        if target is None:
            continue
        hops += 1
        if hops > LINK_HOPS:
            return "is part of a circle of links"
        if not target or target.startswith("/") or "\\" in target or "\0" in target:
            return "is absolute, or not a relative POSIX path"
        at.pop()
        todo += target.split("/")[::-1]
    return ""


def _identity(folder: Path) -> _Identity | None:
    try:
        status = folder.stat()
    except ABSENT:  # nothing to leave out, and scandir will say so about the folder itself
        return None
    return status.st_dev, status.st_ino


def _check_found(path: str, item: os.DirEntry[str]) -> None:
    try:
        item.name.encode()
    except UnicodeEncodeError as error:
        raise InvalidNameError(f"the file name {os.fsencode(item.path)!r} is not UTF-8; rename or ignore it") from error
    check_path(path, "path")


def _status(path: str, item: os.DirEntry[str], *, follow: bool) -> os.stat_result:
    try:
        return item.stat(follow_symlinks=follow)
    except OSError as error:
        if item.is_symlink() and error.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
            what = "is part of a circle of links" if error.errno == errno.ELOOP else "points to nothing"
            raise InvalidValueError(f"the symbolic link {shown(path)} {what}; remove or ignore it") from error
        if error.errno == errno.ENOENT:
            raise SourceChangedError(f"{shown(path)} was removed while its folder was read; try again") from error
        raise


def _file(path: str, item: os.DirEntry[str], status: os.stat_result) -> Found:
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(item.path)
        try:
            target.encode()
        except UnicodeEncodeError as error:
            what = f"the target of the symbolic link {shown(path)}, {os.fsencode(target)!r},"
            raise InvalidNameError(f"{what} is not UTF-8; rename it or ignore the link") from error
        return Found(Path(item.path), "link", target)
    if not stat.S_ISREG(status.st_mode):
        raise InvalidValueError(f"{shown(path)} is a pipe, socket or device, not a file; remove or ignore it")
    return Found(Path(item.path), "executable" if status.st_mode & stat.S_IXUSR else "file")


def _is_empty_folder(target: Path) -> bool:
    try:
        with os.scandir(target) as items:
            if next(items, None) is not None:
                raise InvalidValueError(f"{str(target)!r} is not empty; choose a new or an empty folder")
    except FileNotFoundError:
        if target.is_symlink():
            raise InvalidValueError(f"{str(target)!r} is a broken link; choose a new or an empty folder") from None
        return False
    except NotADirectoryError as error:
        raise InvalidValueError(f"{str(target)!r} is not a folder; choose a new or an empty folder") from error
    return True


def _create_beside(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = target.parent / f".{token()}.part"
    stage.mkdir()
    return stage


def _clear(folder: Path) -> None:
    import shutil

    for item in list(folder.iterdir()):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
