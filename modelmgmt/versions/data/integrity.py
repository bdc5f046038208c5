"""Whether what is kept of data is all there, and what a repair does about it.

A repair writes the tables through `record`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, NotFoundError
from modelmgmt.store.integrity import Problem
from modelmgmt.store.trees import Trees
from modelmgmt.versions.data import record
from modelmgmt.versions.data.record import DatasetVersion

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def problems(kernel: Kernel) -> Iterator[Problem]:
    """What is missing of versions of data: profiles, and objects of their contents."""
    for version in _every(kernel):
        where = f"data {version.reference}"
        if not kernel.objects.has(version.profile_digest):
            yield Problem(where, f"The object {version.profile_digest} of its profile is missing.")
        if version.content_digest is not None and (fault := _content_fault(kernel, version.content_digest)):
            yield Problem(where, fault)


def forget_lost(kernel: Kernel) -> list[str]:
    """Say of each version whose content or profile is lost that it is not kept. Returns their references.

    A lost profile is made anew where the content is whole, else it is an empty one that says so.
    """
    changed = {}
    for version in _every(kernel):
        kept, is_whole = version, _is_sound(kernel, version.profile_digest)
        if version.content_digest is not None and _content_fault(kernel, version.content_digest):
            kept = dataclasses.replace(kept, content_digest=None)
        if not is_whole:
            kept = dataclasses.replace(kept, profile_digest=_new_profile(kernel, kept))
        if kept != version or not is_whole:
            changed[version.reference] = kept
    if changed:
        with kernel.database.writing(durable=True) as connection:
            for kept in changed.values():
                record.replace(connection, kept)
    return list(changed)


def _every(kernel: Kernel) -> list[DatasetVersion]:
    with kernel.database.reading() as connection:
        return [version for every in record.history(connection).values() for version in every]


def _content_fault(kernel: Kernel, digest: str) -> str:
    """Why a content cannot be read, as far as names and sizes say; empty when it can."""
    try:
        tree = Trees(kernel.objects).get(digest)
    except (NotFoundError, CorruptDataError) as error:
        return f"Its content cannot be read: {error}"
    for path, entry in tree.items():
        if not kernel.objects.has(entry.digest):
            return f"The object {entry.digest} of its content ({path}) is missing."
    return ""


def _is_sound(kernel: Kernel, digest: str) -> bool:
    try:
        kernel.objects.verify(digest)
    except (NotFoundError, CorruptDataError):
        return False
    return True


def _new_profile(kernel: Kernel, version: DatasetVersion) -> str:
    from modelmgmt.versions.data.load import read_table
    from modelmgmt.versions.data.profile import Profile, profile

    found = Profile(version.kind, version.rows, notes=("Its profile was damaged or missing.",))
    if version.content_digest is not None and version.kind not in ("files", "reference"):
        found = profile(read_table(kernel, version))
    return kernel.objects.put_bytes(found._encode()).digest
