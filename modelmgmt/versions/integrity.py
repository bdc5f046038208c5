"""Whether what is kept of code and environments is all there, and what a repair does about it.

A repair writes the tables through `code` and `environment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, NotFoundError
from modelmgmt.store.integrity import Problem
from modelmgmt.store.trees import Tree, Trees
from modelmgmt.versions import code, environment
from modelmgmt.versions.code import CodeVersion
from modelmgmt.versions.left_out import Note

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

LOST = "it is lost: the store was damaged"


def problems(kernel: Kernel) -> Iterator[Problem]:
    """What is missing of the code and the environments of runs."""
    with kernel.database.reading() as connection:
        versions, environments = code.read_all(connection), environment.read_all(connection)
    faults = _Faults(kernel)
    for version in versions:
        where = f"code {version.number} of run {version.run}"
        for digest in (version.diff_digest, version.seeds_digest):
            if digest is not None and not kernel.objects.has(digest):
                yield Problem(where, f"Its object {digest} is missing.")
        for path, why in (*faults.of_tree(version.tree_digest), *faults.of_tree(version.changes_digest)):
            yield Problem(where, f"{path}: {why}" if path else why)
    for run, digest in environments:
        if not kernel.objects.has(digest):
            yield Problem(f"environment of run {run}", f"Its object {digest} is missing.")


def forget_lost(kernel: Kernel) -> list[str]:
    """Say of each version of code what of it is lost, and forget lost environments. Returns the runs concerned."""
    with kernel.database.reading() as connection:
        versions, environments = code.read_all(connection), environment.read_all(connection)
    faults = _Faults(kernel)
    changed = [kept for version in versions if (kept := _without_lost(kernel, version, faults)) != version]
    lost = [run for run, digest in environments if not kernel.objects.has(digest)]
    if changed or lost:
        with kernel.database.writing(durable=True) as connection:
            for version in changed:
                code.overwrite(connection, version)
            for run in lost:
                environment.remove(connection, run)
    return [*(version.run for version in changed), *lost]


class _Faults:
    """What is wrong with trees; many runs share one, which is looked at once."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._known: dict[str, list[Note]] = {}

    def of_tree(self, digest: str | None) -> list[Note]:
        """(path, or nothing for the tree itself; why)"""
        if digest is None:
            return []
        if digest not in self._known:
            self._known[digest] = self._found(digest)
        return self._known[digest]

    def _found(self, digest: str) -> list[Note]:
        try:
            tree = Trees(self._kernel.objects).get(digest)
        except (NotFoundError, CorruptDataError) as error:
            return [("", str(error))]
        has: Callable[[str], bool] = self._kernel.objects.has
        return [
            (path, f"its object {entry.digest} is missing") for path, entry in tree.items() if not has(entry.digest)
        ]


def _without_lost(kernel: Kernel, version: CodeVersion, faults: _Faults) -> CodeVersion:
    notes: list[Note] = []
    if version.diff_digest is not None and not kernel.objects.has(version.diff_digest):
        version = replace(version, diff_digest=None)
        notes.append(("the text of the uncommitted changes", LOST))
    if faults.of_tree(version.changes_digest):
        version = replace(version, changes_digest=None)
        notes.append(("the uncommitted changes", LOST))
    if version.seeds_digest is not None and not kernel.objects.has(version.seeds_digest):
        version = replace(version, seeds_digest=None)
        notes.append(("the random states", LOST))
    found = faults.of_tree(version.tree_digest)
    if found:
        trees = Trees(kernel.objects)
        lost = {path for path, _ in found}
        entries = {} if "" in lost else {p: e for p, e in trees.get(version.tree_digest).items() if p not in lost}
        version = replace(version, tree_digest=trees.put(Tree(entries)))
        notes += [(path or "the code", LOST) for path in sorted(lost)]
    return replace(version, left_out=(*version.left_out, *notes)) if notes else version
