"""Promoting, rolling back, archiving: who is in which stage. Each is one durable transaction with its event.

Every decision is compare-and-set: it says what it was based on, and is refused with ConflictError when that has changed.
Where a stage asks for versions that load, one is loaded before the transaction begins: no other writer waits for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from modelmgmt.errors import ConflictError, GateError, InvalidTypeError, InvalidValueError, NotFoundError
from modelmgmt.models.registry import policy as policies
from modelmgmt.models.registry.decisions import decide, of_model
from modelmgmt.models.registry.evidence import gather
from modelmgmt.models.registry.gates import Condition, conditions
from modelmgmt.models.registry.history import Decision
from modelmgmt.models.registry.policy import Rule
from modelmgmt.models.registry.projection import detail_of, move_of
from modelmgmt.models.registry.reference import in_place
from modelmgmt.models.registry.rows import ModelRow, Tables, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.tracking.labels import checked_note

if TYPE_CHECKING:
    from modelmgmt.store.events import Event
    from modelmgmt.store.kernel import Kernel

Expected = int | Literal["seen"] | None
"""The version that the caller takes to be in the stage, None for nobody; "seen": as it was when the model was looked at."""


def promote(
    kernel: Kernel,
    model: str,
    number: int,
    to: str,
    *,
    reason: str,
    seen: int,
    expected: Expected = "seen",
    force: bool = False,
) -> Event:
    """Move a version to a stage. `seen` is the number of the newest event that the caller knew. Survives a power cut.

    Raises ConflictError, GateError, InvalidValueError for a move that the stages do not allow, NotFoundError.
    """
    reason = _reason_of(reason, "promotion", force=force)
    with kernel.database.reading() as connection:
        owner, row = _find(connection, model, number)
        stages = Stages.decode(owner.stages)
        stages.check(to)
        _refuse_conflict(connection, stages, row, to, seen, expected)
        stages.check_move(row.stage, to)
    loads = _loads(kernel, owner, row, to, force=force)
    with kernel.database.writing(durable=True) as connection:
        owner, row = _find(connection, model, number)
        stages = Stages.decode(owner.stages)
        stages.check(to)
        _refuse_conflict(connection, stages, row, to, seen, expected)
        stages.check_move(row.stage, to)
        found = _ask(kernel, connection, owner, row, to, loads)
        unmet = [condition for condition in found if not condition.is_met]
        detail = {"version": number, "from": row.stage, "to": to, "reason": reason, "conditions": _as_json(found)}
        if not unmet or force:
            detail |= {"displaced": _displaced(connection, stages, model, to), "displaced_to": stages.last}
            return decide(connection, "model.promoted", model, detail | {"forced": bool(unmet)})
        decide(connection, "model.refused", model, detail)
    message = f"{model}:{number} does not meet the policy of {model} for {to}:"
    raise GateError(message, unmet=tuple(map(str, unmet)))


def roll_back(
    kernel: Kernel, model: str, stage: str, *, reason: str, seen: int, expected: Expected = "seen", force: bool = False
) -> Event:
    """Bring back who was in a stage before the one that is there now.

    The policy let them in before and is not asked again, but where it asks for a version that loads, it must load.
    Again, it goes one further back. Survives a power cut. Raises ConflictError, GateError, InvalidValueError,
    NotFoundError.
    """
    reason = _reason_of(reason, "rollback", force=force)
    with kernel.database.reading() as connection:
        owner = _find_model(connection, model)
        stages = Stages.decode(owner.stages)
        _refuse_unsingle(stages, stage)
        _refuse_occupied(connection, stages, model, stage, seen, expected)
        looked_at, _ = _brought_back(connection, owner, stage)
    loads = _loads(kernel, owner, looked_at, stage, force=force)
    with kernel.database.writing(durable=True) as connection:
        owner = _find_model(connection, model)
        stages = Stages.decode(owner.stages)
        _refuse_unsingle(stages, stage)
        _refuse_occupied(connection, stages, model, stage, seen, expected)
        row, now = _brought_back(connection, owner, stage)
        if row.number != looked_at.number:
            raise ConflictError(
                f"The versions in {stage} of {model} were changed just now: call refresh() and decide again."
            )
        asked = _checked(owner, row, stage, loads)
        detail = {"version": row.number, "from": row.stage, "to": stage, "reason": reason}
        detail |= {"conditions": _as_json([asked]), "forced": not asked.is_met} if asked is not None else {}
        if asked is None or asked.is_met or force:
            displaced = [] if now is None else [now]
            detail |= {"displaced": displaced, "displaced_to": stages.last}
            return decide(connection, "model.rolled_back", model, detail)
        del detail["forced"]
        decide(connection, "model.refused", model, detail)
    message = f"{model}:{row.number}, which was in {stage} before, cannot be brought back:"
    raise GateError(message, unmet=(str(asked),))


def _refuse_unsingle(stages: Stages, stage: str) -> None:
    if stages.check(stage) not in stages.single:
        raise InvalidValueError(
            f"{stage} can hold several versions, and only a stage that holds one can be rolled back."
        )


def _brought_back(connection: sqlite3.Connection, owner: ModelRow, stage: str) -> tuple[VersionRow, int | None]:
    """The version that a rollback brings back, and the number of the one that is there now."""
    rows = Tables(connection)
    now = in_place(rows, owner.name, stage)
    before = _before(list(of_model(connection, owner.name)), stage, now)
    found = (rows.find(VersionRow, owner.name, number) for number in reversed(before) if number != now)
    row = next((row for row in found if row is not None), None)  # what was deleted cannot come back
    if row is None:
        raise InvalidValueError(
            f"There is nothing to roll back to: no other version of {owner.name} that still exists was in {stage}."
        )
    return row, now


def archive(kernel: Kernel, model: str, number: int, *, reason: str, seen: int) -> Event:
    """Move a version to the last stage; no policy is asked. Survives a power cut. Raises ConflictError, NotFoundError."""
    reason = checked_note(reason)
    with kernel.database.writing(durable=True) as connection:
        owner, row = _find(connection, model, number)
        stages = Stages.decode(owner.stages)
        _refuse_conflict(connection, stages, row, stages.last, seen, "seen")
        if row.stage == stages.last:
            raise InvalidValueError(f"{model}:{number} is already in {stages.last}.")
        detail = {"version": number, "from": row.stage, "to": stages.last, "reason": reason, "displaced": []}
        return decide(connection, "model.archived", model, detail | {"displaced_to": stages.last})


def ask(kernel: Kernel, model: str, number: int, to: str) -> list[Condition]:
    """What the policy asks for, met or not; decides nothing. Raises NotFoundError, InvalidValueError."""
    with kernel.database.reading() as connection:
        owner, row = _find(connection, model, number)
        Stages.decode(owner.stages).check(to)
    loads = _loads(kernel, owner, row, to)
    with kernel.database.reading() as connection:
        return _ask(kernel, connection, owner, row, to, loads)


def _reason_of(reason: str, what: str, *, force: bool) -> str:
    reason = checked_note(reason)
    if force and not reason.strip():
        raise InvalidValueError(f"A forced {what} needs a reason: pass reason='...'.")
    return reason


def _rule(owner: ModelRow, stage: str) -> Rule:
    return policies.decode(owner.policy).get(stage, Rule())


def _asks_to_load(owner: ModelRow, row: VersionRow, stage: str) -> bool:
    if not _rule(owner, stage).asks_to_load(stage):
        return False
    from modelmgmt.models.registry import loadable  # it brings the formats, and most decisions need none

    return loadable.can_be_asked(row.format)


def _loads(kernel: Kernel, owner: ModelRow, row: VersionRow, stage: str, *, force: bool = False) -> Condition | None:
    """Whether a version loads here, where its stage asks for that; it is not tried when the caller forces."""
    if not _asks_to_load(owner, row, stage):
        return None
    from modelmgmt.models.registry import loadable

    return loadable.not_tried() if force else loadable.loads_here(kernel, row.digest)


def _checked(owner: ModelRow, row: VersionRow, stage: str, loads: Condition | None) -> Condition | None:
    """What was found before the transaction, when the policy of now asks for it. Raises ConflictError when it newly does."""
    if not _asks_to_load(owner, row, stage):
        return None
    if loads is None:
        raise ConflictError(f"The policy of {owner.name} for {stage} was changed just now: decide again.")
    return loads


def _ask(
    kernel: Kernel, connection: sqlite3.Connection, owner: ModelRow, row: VersionRow, to: str, loads: Condition | None
) -> list[Condition]:
    rule, loads = _rule(owner, to), _checked(owner, row, to, loads)
    if replace(rule, loadable=None) == Rule():
        return [] if loads is None else [loads]
    return conditions(rule, replace(gather(kernel, connection, row, to, rule), loads=loads))


def _as_json(found: Sequence[Condition]) -> list[list[Any]]:
    return [[condition.what, condition.is_met, condition.found] for condition in found]


def _find_model(connection: sqlite3.Connection, model: str) -> ModelRow:
    owner = Tables(connection).find(ModelRow, model)
    if owner is None:
        raise NotFoundError(f"There is no model {model!r}: it may have been deleted.")
    return owner


def _find(connection: sqlite3.Connection, model: str, number: int) -> tuple[ModelRow, VersionRow]:
    owner = _find_model(connection, model)
    row = Tables(connection).find(VersionRow, model, number)
    if row is None:
        raise NotFoundError(f"{model} has no version {number}; the newest that was registered is {owner.last_number}.")
    return owner, row


def _displaced(connection: sqlite3.Connection, stages: Stages, model: str, stage: str) -> list[int]:
    if stage not in stages.single:
        return []
    # In the order of the index by stage: in that of the key, SQLite would look at every version.
    return [row.number for row in Tables(connection).select(VersionRow, "entered, number", model=model, stage=stage)]


def _refuse_conflict(
    connection: sqlite3.Connection, stages: Stages, row: VersionRow, to: str, seen: int, expected: Expected
) -> None:
    """Raises ConflictError when the version was moved after the caller looked, or the stage is not as expected."""
    for event in of_model(connection, row.model, after=seen):
        move = move_of(event)
        if move is not None and row.number in move.changes:
            raise _told(event, row.number)
    _refuse_occupied(connection, stages, row.model, to, seen, expected)


def _refuse_occupied(
    connection: sqlite3.Connection, stages: Stages, model: str, stage: str, seen: int, expected: Expected
) -> None:
    if expected != "seen":
        if expected is not None and type(expected) is not int:
            raise InvalidTypeError(f"expected is the number of a version, or None, and {expected!r} was given.")
        now = in_place(Tables(connection), model, stage)
        if now != expected:
            is_now, was = (f"version {number}" if number else "no version" for number in (now, expected))
            raise ConflictError(f"{is_now.capitalize()} of {model} is in {stage}, and {was} was expected.")
        return
    if stage not in stages.single:
        return
    for event in of_model(connection, model, after=seen):
        move = move_of(event)
        if move is not None and stage in {end for ends in move.changes.values() for end in ends}:
            raise _told(event)
        if event.kind == "model.version_deleted" and detail_of(event).get("stage") == stage:
            raise _told(event)


def _told(event: Event, number: int | None = None) -> ConflictError:
    """What happened to a version, or to the one that the event was about."""
    decision = Decision._of(event)
    number = number or decision.version or 0
    why = f" ({decision.reason})" if decision.reason else ""
    return ConflictError(
        f"{event.subject}:{number} was {decision.changes[number]} by {event.actor} at {event.time}{why}, after this "
        "object was read: call refresh() and decide again."
    )


def _before(history: Sequence[Event], stage: str, now: int | None) -> list[int]:
    """Who was in a stage before, oldest first: a stack that a promotion pushes on and a rollback pops from."""
    stack: list[int] = []
    for event in history:
        move = move_of(event)
        if move is None or move.to != stage:
            continue
        if event.kind == "model.rolled_back":
            while stack and stack[-1] != move.version:
                stack.pop()
        if not stack or stack[-1] != move.version:
            stack.append(move.version)
    return stack[:-1] if stack and stack[-1] == now else stack
