"""Putting a run's files back into a new folder: what git has of its commit, what it executed, the data that it kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError
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
    """What was put back, and what could not be."""


def restore(run: Run, folder: Path) -> Restored:
    """Write code and data of the run to `folder`, which must be new or empty.

    Raises InvalidValueError, NotFoundError when no code was captured, CorruptDataError.
    """
    version = run.code.version
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidValueError(f"{folder} is there and not empty: choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    notes = [*_from_git(run, version, folder)]
    count = _write_tree(run.kernel, version.tree_digest, folder, folder)
    notes.append(f"{count} files of code, as they were executed")
    notes += [f"{readable(what)}: {why}" for what, why in version.left_out]
    notes += _data(run, version, folder)
    return Restored(folder, tuple(notes))


def _from_git(run: Run, version: CodeVersion, folder: Path) -> Iterator[str]:
    """Everything that git has of the commit, with the uncommitted changes: config files and whatever else is not imported."""
    if version.git_commit is None or version.root is None:
        yield "git does not know the code: only the files that were executed are there"
        return
    short = version.git_commit[:10]
    try:
        with _index() as index:
            git.ask(Path(version.root), "read-tree", version.git_commit, GIT_INDEX_FILE=str(index))
            git.ask(Path(version.root), "checkout-index", "-a", f"--prefix={folder}{os.sep}", GIT_INDEX_FILE=str(index))
        yield f"the files of commit {short}"
    except git.RefusedError as error:
        yield f"commit {short} is not in {version.root} ({error}): only the files that were executed are there"
        return
    changes = run.code.uncommitted
    if changes:
        yield _apply(changes, folder)


@contextmanager
def _index() -> Iterator[Path]:
    """A place for an index of its own: the repository's is not touched."""
    with tempfile.TemporaryDirectory(prefix="modelmgmt-") as name:
        yield Path(name) / "index"


def _apply(changes: str, folder: Path) -> str:
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "-"],  # noqa: S607 - git is where it is
        cwd=folder, input=changes.encode("utf-8", "surrogateescape"), capture_output=True, check=False,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
    )  # fmt: skip
    if done.returncode == 0:
        return "the uncommitted changes of that time"
    why = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"not all uncommitted changes: git could not apply them ({why[0] if why else done.returncode})"


def _data(run: Run, version: CodeVersion, folder: Path) -> Iterator[str]:
    """The data files of the project: as they were kept, else as they are now where they were."""
    for role, data in data_of(run):
        place = _below(data.source, version.root) if data.kind == "files" else None
        if role == "output" or place is None or data.source is None:
            continue
        target = folder / place
        if data.content_digest is not None:
            _write_data(run.kernel, data.content_digest, target, folder)
            yield f"data {data.name}: {place}, as it was kept"
        elif not target.exists() and os.path.exists(data.source):  # noqa: PTH110 - text, as it was recorded
            _copy(Path(data.source), target)
            yield f"data {data.name}: {place} was not kept, and is copied from {data.source} as it is now"
        elif not target.exists():
            yield f"not restored: data {data.name}: {place} was not kept, and is gone from {data.source}"


def data_of(run: Run) -> list[tuple[str, DatasetVersion]]:
    """(role, version) of the data that the run logged."""
    with run.kernel.database.reading() as connection:
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
        _write(kernel, entry, target / path, root)
    return len(tree)


def _write(kernel: Kernel, entry: Entry, place: Path, root: Path) -> None:
    # A link that git has put there must not lead the file out of the folder.
    parent = Path(os.path.realpath(place.parent))
    if parent != root and root not in parent.parents:
        raise InvalidValueError(f"{place} leads out of {root} through a link: restore into another folder by hand.")
    parent.mkdir(parents=True, exist_ok=True)
    if entry.mode != "link":
        mode = 0o777 if entry.mode == "executable" else 0o666
        kernel.objects.copy_to(entry.digest, parent / place.name, mode=mode)


def _below(path: str | None, root: str | None) -> str | None:
    if path is None or root is None or not path.startswith(root + os.sep):
        return None
    return path[len(root) + 1 :]
