"""What each registry event does to the rows. The rows follow from the events, and say no more than they do.

The same functions write the tables when something is decided, tell what was in place at any time, and show which row
contradicts the events. Pure but for the `Rows` that are passed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelmgmt.errors import CorruptDataError
from modelmgmt.models.registry.rows import (
    AliasRow,
    ApprovalRow,
    Memory,
    ModelRow,
    ResultRow,
    Rows,
    TagRow,
    VersionRow,
)
from modelmgmt.store.events import Event

PREFIX = "model."
MOVES = ("model.promoted", "model.rolled_back", "model.archived")
"""The kinds of events that change who is in which stage; deleting a version does so, too."""

ENTERED = ("model.registered", "model.imported")
"""The kinds of events that make a version."""

Detail = Mapping[str, Any]


def apply(rows: Rows, event: Event) -> None:
    """Do to the rows what the event says. Kinds that change nothing, and kinds of later versions, are passed over."""
    change = _CHANGES.get(event.kind)
    if change is not None:
        detail = detail_of(event)
        try:
            change(rows, event, detail)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _unreadable(event) from error


def detail_of(event: Event) -> dict[str, Any]:
    """The detail, as it was given. Raises CorruptDataError."""
    try:
        detail = json.loads(event.detail)
    except (ValueError, RecursionError) as error:
        raise _unreadable(event) from error
    if not isinstance(detail, dict):
        raise _unreadable(event)
    return detail


def _unreadable(event: Event) -> CorruptDataError:
    return CorruptDataError(
        f"Event {event.id} ({event.kind} {event.subject}) cannot be applied, because its detail is damaged: run "
        "'modelmgmt audit verify', then restore a backup."
    )


def replay(events: Iterable[Event]) -> Memory:
    """The rows, as they are after these events."""
    rows = Memory()
    for event in events:
        apply(rows, event)
    return rows


@dataclass(frozen=True, slots=True)
class Move:
    """What an event of MOVES did: which version it was about, where that went, and every change of stage."""

    version: int
    to: str
    changes: Mapping[int, tuple[str, str]]
    """Version -> (stage before, stage after), with those that were displaced."""


def move_of(event: Event) -> Move | None:
    """What an event moved; None for other kinds. Raises CorruptDataError."""
    if event.kind not in MOVES:
        return None
    detail = detail_of(event)
    try:
        changes = {detail["version"]: (detail["from"], detail["to"])}
        changes |= dict.fromkeys(detail["displaced"], (detail["to"], detail["displaced_to"]))
        return Move(detail["version"], detail["to"], changes)
    except (KeyError, TypeError) as error:
        raise _unreadable(event) from error


def _create(rows: Rows, event: Event, detail: Detail) -> None:
    rows.put(
        ModelRow(
            name=event.subject, description=detail["description"], stages=detail["stages"], policy=detail["policy"],
            last_number=detail["last_number"], created_at=event.time, created_by=event.actor,
        )
    )  # fmt: skip


def _register(rows: Rows, event: Event, detail: Detail) -> None:
    row = VersionRow(
        model=event.subject, number=detail["version"], stage=detail["stage"], entered=event.id, run=detail["run"],
        artifact=detail["artifact"], digest=detail["digest"], format=detail["format"],
        description=detail["description"], created_at=event.time, created_by=event.actor,
        origin=None if detail.get("origin") is None else json.dumps(detail["origin"], ensure_ascii=False, sort_keys=True),
    )  # fmt: skip
    rows.put(row)
    _change_model(rows, event, last_number=row.number)


def _move(rows: Rows, event: Event, detail: Detail) -> None:
    del detail
    move = move_of(event)
    for number, (_, stage) in move.changes.items() if move is not None else ():
        _change_version(rows, event, number, stage=stage, entered=event.id)


def _describe(rows: Rows, event: Event, detail: Detail) -> None:
    if detail["version"]:
        _change_version(rows, event, detail["version"], description=detail["text"])
    else:
        _change_model(rows, event, description=detail["text"])


def _set_stages(rows: Rows, event: Event, detail: Detail) -> None:
    _change_model(rows, event, stages=detail["stages"])


def _set_policy(rows: Rows, event: Event, detail: Detail) -> None:
    _change_model(rows, event, policy=detail["policy"])


def _tag(rows: Rows, event: Event, detail: Detail) -> None:
    for key, value in detail["tags"].items():
        rows.put(TagRow(event.subject, detail["version"], key, value))


def _untag(rows: Rows, event: Event, detail: Detail) -> None:
    rows.remove(TagRow, model=event.subject, number=detail["version"], key=detail["key"])


def _alias(rows: Rows, event: Event, detail: Detail) -> None:
    rows.put(AliasRow(event.subject, detail["alias"], detail["version"], event.time, event.actor))


def _unalias(rows: Rows, event: Event, detail: Detail) -> None:
    rows.remove(AliasRow, model=event.subject, alias=detail["alias"])


def _result(rows: Rows, event: Event, detail: Detail) -> None:
    passed = None if detail["passed"] is None else int(detail["passed"])
    text = json.dumps(detail["detail"], ensure_ascii=False, sort_keys=True)
    rows.put(
        ResultRow(
            model=event.subject, number=detail["version"], name=detail["name"], passed=passed, mean=detail["mean"],
            dataset=detail["dataset"], evidence_digest=detail["evidence"], detail=text, actor=event.actor,
            logged_at=event.time,
        )
    )  # fmt: skip


def _approve(rows: Rows, event: Event, detail: Detail) -> None:
    rows.put(ApprovalRow(event.subject, detail["version"], detail["stage"], event.actor, detail["reason"], event.time))


def _delete_version(rows: Rows, event: Event, detail: Detail) -> None:
    for kind in (AliasRow, TagRow, ResultRow, ApprovalRow, VersionRow):
        rows.remove(kind, model=event.subject, number=detail["version"])


def _delete_model(rows: Rows, event: Event, detail: Detail) -> None:
    del detail
    for kind in (AliasRow, TagRow, ResultRow, ApprovalRow, VersionRow):
        rows.remove(kind, model=event.subject)
    rows.remove(ModelRow, name=event.subject)


def _change_model(rows: Rows, event: Event, **changes: Any) -> None:
    row = rows.find(ModelRow, event.subject)
    if row is not None:
        rows.put(replace(row, **changes))


def _change_version(rows: Rows, event: Event, number: int, **changes: Any) -> None:
    row = rows.find(VersionRow, event.subject, number)
    if row is not None:
        rows.put(replace(row, **changes))


_CHANGES: dict[str, Callable[[Rows, Event, Detail], None]] = {
    "model.created": _create,
    "model.registered": _register,
    "model.imported": _register,
    "model.promoted": _move,
    "model.rolled_back": _move,
    "model.archived": _move,
    "model.described": _describe,
    "model.stages_set": _set_stages,
    "model.policy_set": _set_policy,
    "model.tagged": _tag,
    "model.untagged": _untag,
    "model.aliased": _alias,
    "model.unaliased": _unalias,
    "model.result_logged": _result,
    "model.approved": _approve,
    "model.version_deleted": _delete_version,
    "model.deleted": _delete_model,
}
KINDS = (*_CHANGES, "model.refused")
