"""Finding versions: by their runs, in the filter language; by stage, tags and words of their own. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, warn
from modelmgmt.models.registry.decisions import last_of
from modelmgmt.models.registry.reference import no_model
from modelmgmt.models.registry.rows import ModelRow, Tables, TagRow, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.models.registry.versions import ModelVersion, View
from modelmgmt.store.names import among, shown
from modelmgmt.tracking.run import Run
from modelmgmt.tracking.runs import Runs

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel


def search(
    kernel: Kernel,
    filter: str,  # noqa: A002 - as for runs
    *,
    model: str | None,
    stage: str | None,
    tags: Mapping[str, str],
    text: str,
    version_type: type[ModelVersion] = ModelVersion,
) -> list[ModelVersion]:
    """The versions for which everything holds that is asked, newest first; see `Registry.search`."""
    for name, value in (("filter", filter), ("text", text)):
        if not isinstance(value, str):
            raise InvalidTypeError(f"{name} is text, and {type(value).__name__} was given.")
    of_runs = Runs._query(kernel, Run, filter) if filter.strip() else None
    runs = None if of_runs is None else set(of_runs.ids)
    where = {"model": model, "stage": stage}
    with kernel.database.reading() as connection:
        _check(connection, model, stage)
        rows = Tables(connection).select(
            VersionRow, "created_at DESC, model, number DESC", **{name: v for name, v in where.items() if v is not None}
        )
        words = _words(connection, text) if text else None
        found = [
            row
            for row in rows
            if (runs is None or row.run in runs)
            and (words is None or row.model in words or text.casefold() in row.description.casefold())
            and _has(connection, row, tags)
        ]
        seen = {name: last_of(connection, name) for name in {row.model for row in found}}
        unknown = [] if found else [*(of_runs.unknown if of_runs is not None else ()), *_unknown_tags(connection, tags)]
    for sentence in unknown:
        warn(sentence)
    return [version_type(kernel, row, View(seen[row.model])) for row in found]


def _check(connection: sqlite3.Connection, model: str | None, stage: str | None) -> None:
    """Raises NotFoundError for a model that is not there, InvalidValueError for a stage that no model asked for has."""
    rows = Tables(connection)
    if model is None:
        owners = list(rows.select(ModelRow))
    else:
        owner = rows.find(ModelRow, model)
        if owner is None:
            raise no_model(connection, model)
        owners = [owner]
    if stage is not None:
        names = dict.fromkeys(name for owner in owners for name in Stages.decode(owner.stages).names)
        Stages(tuple(names) or Stages().names).check(stage)


def _unknown_tags(connection: sqlite3.Connection, tags: Mapping[str, str]) -> Iterator[str]:
    there = dict.fromkeys(row.key for row in Tables(connection).select(TagRow, "key") if row.number)
    for key in tags:
        if key not in there:
            yield f"No version has the tag {shown(key)}; there are: {among(key, there)}"


def _words(connection: Any, text: str) -> set[str]:
    """The models whose name or description has the text in it."""
    models = connection.execute("SELECT name, description FROM models")
    return {name for name, about in models if text.casefold() in f"{name}\n{about}".casefold()}


def _has(connection: Any, row: VersionRow, tags: Mapping[str, str]) -> bool:
    sql = "SELECT value FROM model_tags WHERE model = ? AND number = ? AND key = ?"
    return all(
        connection.execute(sql, (row.model, row.number, key)).fetchone() == (value,) for key, value in tags.items()
    )
