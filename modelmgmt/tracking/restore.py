"""Putting a run's files back into a new folder: what git has of its commit, what it executed, the data that it kept."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, InvalidValueError, NotFoundError
from modelmgmt.store.names import counted
from modelmgmt.store.secrets import replaced
from modelmgmt.store.trees import Entry, Trees
from modelmgmt.versions import git
from modelmgmt.versions.code import CodeVersion
from modelmgmt.versions.data import DatasetVersion, read
from modelmgmt.versions.left_out import readable

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.tracking.run import Run


@dataclass(frozen=True)
class Restored:
    """A folder that holds what a run was made of."""

    folder: Path
    notes: tuple[str, ...]
    """What was put back."""
    missing: tuple[str, ...] = ()
    """What could not be put back as it was."""


def restore(run: Run, folder: Path) -> Restored:
    """Write code and data of the run to `folder`, which must be new or empty.

    Raises InvalidValueError, NotFoundError when no code was captured, CorruptDataError.
    """
    version = run.code.version
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidValueError(f"{folder} is there and not empty: choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    notes: list[str] = []
    missing = [f"{readable(what)}: {why}" for what, why in version.left_out]
    _from_git(version, folder, notes, missing, changes := _changes(run._kernel, version, missing))
    if changes is not None:
        _write_changes(changes, folder)
        notes.append("the uncommitted changes of that time")
    count = _write_tree(run._kernel, version.tree_digest, folder, folder)
    notes.append(counted(count, "file of code, as it was executed", "files of code, as they were executed"))
    _data(run, version, folder, notes, missing)
    return Restored(folder, tuple(notes), tuple(missing))


def _changes(kernel: Kernel, version: CodeVersion, missing: list[str]) -> git.Changes | None:
    if version.changes_digest is None:
        return None
    try:
        return git.Changes.read(Trees(kernel.objects).get(version.changes_digest), kernel.objects.get)
    except (CorruptDataError, NotFoundError) as error:
        missing.append(f"the uncommitted changes: {error}")
        return None


def _from_git(
    version: CodeVersion, folder: Path, notes: list[str], missing: list[str], changes: git.Changes | None
) -> None:
    """Everything that git has of the commit: config files and whatever else is not imported."""
    if version.git_commit is None or version.root is None:
        if changes is None:
            notes.append("git does not know the code: only the files that were executed are there")
        return
    short = version.git_commit[:10]
    try:
        found = git.checkout(Path(version.root), version.git_commit, folder, changes.submodules if changes else {})
    except git.RefusedError as error:
        missing.append(
            f"commit {short} is not in {version.root} ({error}): only the files that were executed are there"
        )
        return
    there = {*changes.files, *changes.removed} if changes else set()
    missing += [f"{readable(path)}: {why}" for path, why in found if path not in there]
    notes.append(f"the files of commit {short}")


def _write_changes(changes: git.Changes, folder: Path) -> None:
    """Put the changed files over those of the commit, byte for byte, and take away what was removed."""
    for path in changes.removed:
        place = _inside(folder / path, folder)
        with suppress(FileNotFoundError, NotADirectoryError):
            place.unlink() if place.is_symlink() or not place.is_dir() else place.rmdir()
    for path, (mode, data) in changes.files.items():
        place = _inside(folder / path, folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            place.rmdir()
        else:
            place.unlink(missing_ok=True)
        if mode == "link":
            place.symlink_to(os.fsdecode(data))
            continue
        wanted = 0o777 if mode == "executable" else 0o666
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, wanted), "wb") as file:  # noqa: PTH123 - its mode
            file.write(data)


def _data(run: Run, version: CodeVersion, folder: Path, notes: list[str], missing: list[str]) -> None:
    """The data files of the project: as they were kept, else as they are now where they were."""
    for role, data in data_of(run):
        place = _below(data.source, version.root) if data.kind == "files" else None
        if role == "output" or place is None or data.source is None:
            continue
        target = folder / place
        if data.content_digest is not None:
            _write_data(run._kernel, data.content_digest, target, folder)
            notes.append(f"data {data.name}: {place}, as it was kept")
        elif not target.exists() and os.path.exists(data.source):  # noqa: PTH110 - text, as it was recorded
            _copy(Path(data.source), target)
            notes.append(f"data {data.name}: {place} was not kept, and is copied from {data.source} as it is now")
        elif not target.exists():
            missing.append(f"data {data.name}: {place} was not kept, and is gone from {data.source}")


def data_of(run: Run) -> list[tuple[str, DatasetVersion]]:
    """(role, version) of the data that the run logged."""
    with run._kernel.database.reading() as connection:
        return read(connection, run.id)


def _copy(source: Path, target: Path) -> None:
    # No link: what runs here may write to it.
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def _write_data(kernel: Kernel, digest: str, target: Path, root: Path) -> None:
    tree = Trees(kernel.objects).get(digest)
    if list(tree) == [target.name]:  # one file, not a folder
        _write(kernel, tree[target.name], target, root)
    else:
        _write_tree(kernel, digest, target, root)


def _write_tree(kernel: Kernel, digest: str, target: Path, root: Path) -> int:
    """Write the files of a tree over what is there; returns how many."""
    tree = Trees(kernel.objects).get(digest)
    for path, entry in tree.items():
        if not _has_secrets_of(kernel, entry, target / path):
            _write(kernel, entry, target / path, root)
    return len(tree)


def _has_secrets_of(kernel: Kernel, entry: Entry, place: Path) -> bool:
    """Whether git had the file with what a placeholder stands for in the kept one: then it is the one that was executed."""
    if not place.is_file() or place.is_symlink():
        return False
    kept, found = replaced(place.read_bytes(), place.name)
    return bool(found) and kept == kernel.objects.get(entry.digest)


def _write(kernel: Kernel, entry: Entry, place: Path, root: Path) -> None:
    place = _inside(place, root)
    place.parent.mkdir(parents=True, exist_ok=True)
    if entry.mode != "link":
        kernel.objects.copy_to(entry.digest, place, mode=0o777 if entry.mode == "executable" else 0o666)


def _inside(place: Path, root: Path) -> Path:
    """The place with the links of its folder resolved: one that git has put there must not lead a file out of `root`."""
    parent = Path(os.path.realpath(place.parent))
    if parent != root and root not in parent.parents:
        raise InvalidValueError(f"{place} leads out of {root} through a link: restore into another folder by hand.")
    return parent / place.name


def _below(path: str | None, root: str | None) -> str | None:
    if path is None or root is None or not path.startswith(root + os.sep):
        return None
    return path[len(root) + 1 :]
