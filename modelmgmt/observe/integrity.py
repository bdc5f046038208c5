"""Whether the predictions that the tables name are there, and what a repair does about those that are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelmgmt.errors import CorruptDataError, NotFoundError, StoreError
from modelmgmt.observe import batches, blocks
from modelmgmt.observe.batches import BATCHES, BatchRow
from modelmgmt.store import events
from modelmgmt.store.integrity import Problem
from modelmgmt.store.trees import Trees

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

LOST = "predictions.lost"


def check_predictions(kernel: Kernel, *, deep: bool = False) -> list[Problem]:
    """What is missing of predictions; with `deep` every one is read."""
    try:
        with kernel.database.reading() as connection:
            return list(_problems(kernel, connection, deep=deep))
    except (StoreError, sqlite3.DatabaseError) as error:
        return [Problem.of("store.db", error)]


def forget_lost(kernel: Kernel) -> list[str]:
    """Remove the rows whose predictions are lost, each with an event that says how many. Returns their ids."""
    lost: list[str] = []
    with kernel.database.writing(durable=True) as connection:
        for row in list(batches.select(connection)):
            fault = _fault(kernel, connection, row, deep=True)
            if fault:
                connection.execute(f"DELETE FROM {BATCHES} WHERE id = ?", (row.id,))
                about = {"batch": row.id, "predictions": row.rows, "first": row.first_at, "last": row.last_at}
                events.append(connection, LOST, row.target.reference, {**about, "why": fault})
                lost.append(row.id)
    return lost


def _problems(kernel: Kernel, connection: sqlite3.Connection, *, deep: bool) -> Iterator[Problem]:
    for row in batches.select(connection):
        fault = _fault(kernel, connection, row, deep=deep)
        if fault:
            yield Problem(f"predictions {row.id} of {row.target.reference}", fault)


def _fault(kernel: Kernel, connection: sqlite3.Connection, row: BatchRow, *, deep: bool) -> str:
    """Why its predictions cannot be read; empty when they can, as far as names say, or with `deep` for certain."""
    try:
        schema = batches.schema(connection, row.schema)
        if deep:
            blocks.read(kernel.objects, row, schema)
        if row.lookup_digest is not None and not kernel.objects.has(row.lookup_digest):
            return f"The object {row.lookup_digest} that finds its ids is missing."
        if row.content_digest is not None:
            for path, entry in Trees(kernel.objects).get(row.content_digest).items():
                if not kernel.objects.has(entry.digest):
                    return f"The object {entry.digest} of its content ({path}) is missing."
    except (NotFoundError, CorruptDataError) as error:
        return str(error)
    return ""
