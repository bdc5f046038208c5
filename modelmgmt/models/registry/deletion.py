"""Deleting versions of a model for real. An event remains for each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelmgmt.errors import NotFoundError, PinnedError
from modelmgmt.models.registry.decisions import decide
from modelmgmt.models.registry.reference import no_model
from modelmgmt.models.registry.rows import AliasRow, ModelRow, ResultRow, Tables, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.collect import collect, expanded
from modelmgmt.tracking import pins
from modelmgmt.tracking.deletion import scrub
from modelmgmt.tracking.labels import checked_note

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


Refuse = Callable[[sqlite3.Connection, VersionRow], None]
"""Asked for each version, unless it is forced: raises when something of a room above hangs on it."""


@dataclass(frozen=True, slots=True)
class DeletedVersions:
    """What was deleted: references, and the objects that nothing else names. A package that its run has stays there."""

    versions: tuple[str, ...]
    objects: tuple[str, ...]
    bytes: int


def delete_versions(
    kernel: Kernel, model: str, *numbers: int, reason: str, force: bool, refusals: Sequence[Refuse] = ()
) -> DeletedVersions:
    """Delete versions. On return nothing of them is in the store's files but their events, and what others name too.

    Raises NotFoundError, PinnedError, StoreWriteError.
    """
    reason = checked_note(reason)
    with kernel.database.writing(durable=True) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        owner = _owner(connection, model)
        rows = [_row(connection, model, number) for number in numbers]
        digests = _delete(connection, owner, rows, reason, refusals, force=force)
    return _collected(kernel, rows, digests)


def delete_model(
    kernel: Kernel, model: str, *, reason: str, force: bool, refusals: Sequence[Refuse] = ()
) -> DeletedVersions:
    """Delete a model and all its versions. Raises NotFoundError, PinnedError, StoreWriteError."""
    reason = checked_note(reason)
    with kernel.database.writing(durable=True) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        owner = _owner(connection, model)
        rows = list(Tables(connection).select(VersionRow, model=model))
        digests = _delete(connection, owner, rows, reason, refusals, force=force)
        decide(connection, "model.deleted", model, {"reason": reason, "versions": [row.number for row in rows]})
    return _collected(kernel, rows, digests)


def _owner(connection: sqlite3.Connection, model: str) -> ModelRow:
    owner = Tables(connection).find(ModelRow, model)
    if owner is None:
        raise no_model(connection, model)
    return owner


def _row(connection: sqlite3.Connection, model: str, number: int) -> VersionRow:
    row = Tables(connection).find(VersionRow, model, number)
    if row is None:
        raise NotFoundError(f"{model} has no version {number}.")
    return row


def _delete(
    connection: sqlite3.Connection,
    owner: ModelRow,
    rows: list[VersionRow],
    reason: str,
    refusals: Sequence[Refuse] = (),
    *,
    force: bool,
) -> set[str]:
    """Returns the objects that the rows named."""
    stages, digests = Stages.decode(owner.stages), set[str]()
    for row in rows:
        if not force:
            _refuse_in_use(connection, row, stages)
            for refuse in refusals:
                refuse(connection, row)
        results = Tables(connection).select(ResultRow, model=row.model, number=row.number)
        digests |= {row.digest, *(found.evidence_digest for found in results if found.evidence_digest)}
        detail = {"version": row.number, "stage": row.stage, "digest": row.digest, "reason": reason, "forced": force}
        decide(connection, "model.version_deleted", row.model, detail)
    return digests


def _refuse_in_use(connection: sqlite3.Connection, row: VersionRow, stages: Stages) -> None:
    """Raises PinnedError when somebody has said that a version is to be kept."""
    reference = f"{row.model}:{row.number}"
    if row.stage not in (stages.first, stages.last):
        raise PinnedError(f"{reference} is in {row.stage}: archive it first, or delete it with force.")
    aliases = [found.alias for found in Tables(connection).select(AliasRow, model=row.model, number=row.number)]
    if aliases:
        raise PinnedError(
            f"{reference} has the alias {aliases[0]!r}: remove it first, or delete the version with force."
        )
    if row.run is not None:
        pins.refuse_pinned(connection, row.run)


def _collected(kernel: Kernel, rows: list[VersionRow], digests: set[str]) -> DeletedVersions:
    freed = collect(kernel, grace_s=0.0, among=expanded(kernel, digests))
    scrub(kernel)
    return DeletedVersions(tuple(f"{row.model}:{row.number}" for row in rows), freed.digests, freed.bytes)
