"""Check a store, and that what its runs name is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, NotFoundError, StoreError
from modelmgmt.store import events
from modelmgmt.store.integrity import Problem, check_kernel
from modelmgmt.tracking.artifacts import TREES
from modelmgmt.versions import integrity as made_of
from modelmgmt.versions.data import integrity as data

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def check(kernel: Kernel, *, deep: bool = False) -> list[Problem]:
    """Every damaged or missing thing; an empty list for a sound store. `deep` hashes every object again."""
    problems = list(check_kernel(kernel, deep=deep))
    try:
        problems += [*_artifacts(kernel), *_events(kernel), *data.problems(kernel), *made_of.problems(kernel)]
    except (StoreError, sqlite3.DatabaseError) as error:
        problems.append(Problem.of("store.db", error))
    return problems


def _events(kernel: Kernel) -> Iterator[Problem]:
    with kernel.database.reading() as connection:
        fault = events.verify(connection)
    if fault is not None:
        yield Problem("table events", fault)


def _artifacts(kernel: Kernel) -> Iterator[Problem]:
    with kernel.database.reading() as connection:
        rows = connection.execute("SELECT run, name, kind, digest, size FROM artifacts").fetchall()
    for run, name, kind, digest, size in rows:
        where = f"artifact {name!r} of run {run}"
        try:
            found = kernel.objects.size(digest)
        except NotFoundError:
            yield Problem(where, f"Its object {digest} is missing.")
            continue
        if kind in TREES:
            yield from _tree(kernel, where, digest)
        elif found != size:
            yield Problem(where, f"Its object {digest} has {found} bytes, {size} were written.")


def _tree(kernel: Kernel, where: str, digest: str) -> Iterator[Problem]:
    from modelmgmt.store.trees import Trees

    try:
        tree = Trees(kernel.objects).get(digest)
    except CorruptDataError as error:
        yield Problem(where, str(error))
        return
    for path, entry in tree.items():
        if not kernel.objects.has(entry.digest):
            yield Problem(where, f"The object {entry.digest} of its file {path} is missing.")
