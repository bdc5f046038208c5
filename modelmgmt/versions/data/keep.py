"""Data into the store: its profile always, its content when asked for. Writes objects only; no tables."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.store.disk import THEIRS, reads
from modelmgmt.store.trees import Entry, Tree, Trees
from modelmgmt.versions.data import record
from modelmgmt.versions.data.profile import Profile, profile
from modelmgmt.versions.data.record import DatasetVersion
from modelmgmt.versions.data.sources import Taken, of_files, still_the_same

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel
    from modelmgmt.versions.data.columns import Table


def keep(kernel: Kernel, taken: Taken, name: str, *, keep_content: bool) -> DatasetVersion:
    """Put the objects of a version, unless it is there. On return they survive a power cut.

    Raises SourceChangedError when the data changed while it was read, StoreWriteError.
    """
    with kernel.database.reading() as connection:
        here = record.get(connection, name, taken.fingerprint)
    if here is not None and (here.content_digest is not None or not keep_content) and _is_there(kernel, here):
        return here
    if taken.path is not None and keep_content:
        content, taken = _keep_files(kernel, taken, taken.path)
    elif taken.table is not None and keep_content:
        content = _keep_table(kernel, taken.table, name)
    else:
        content = None
    found = profile_of(taken)
    still_the_same(taken)
    profile_digest = kernel.objects.put_bytes(found._encode()).digest
    return DatasetVersion(
        name, 0, taken.fingerprint, taken.kind, taken.rows, taken.columns, taken.bytes, taken.source, profile_digest,
        content, datetime.now(UTC),
    )  # fmt: skip


def profile_of(taken: Taken) -> Profile:
    """The profile of what was taken, with its notes."""
    if taken.table is None:
        return Profile(taken.kind, taken.rows, (), dict(taken.files), None, {}, taken.notes)
    found = profile(taken.table)
    return Profile(
        found.kind, found.rows, found.columns, {}, found.shape, found.container, (*found.notes, *taken.notes)
    )


def _is_there(kernel: Kernel, version: DatasetVersion) -> bool:
    """Whether the objects are, and are made young, so that a collector of garbage spares them."""
    digests = [version.profile_digest, *([version.content_digest] if version.content_digest else [])]
    return all(kernel.objects.freshen(digest) is not None or kernel.objects.has(digest) for digest in digests)


def _keep_files(kernel: Kernel, taken: Taken, path: Path) -> tuple[str, Taken]:
    """The files as a tree, each whole, and what was really kept: a file may have changed since it was hashed."""
    trees = Trees(kernel.objects)
    with reads(path, but=THEIRS):
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    if is_folder:
        digest = trees.put_folder(path, links="follow").digest
    else:
        stored = kernel.objects.put_file(path)
        digest = trees.put(Tree({next(iter(taken.files)): Entry(stored.digest, stored.size)}))
    files = {name: (entry.size, entry.digest) for name, entry in trees.get(digest).items()}
    return digest, of_files(files, taken.source or "", path, is_folder=is_folder)


def _keep_table(kernel: Kernel, table: Table, name: str) -> str:
    from modelmgmt.versions.data.content import write_content

    with kernel.database.reading() as connection:
        before = record.latest_with_content(connection, name)
    return write_content(kernel.objects, table, before.content_digest if before is not None else None)
