"""What was decided about a model, and what followed from it at any time. Pure, but for the frame."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError, NotFoundError, printable
from modelmgmt.models.registry.imported import Origin
from modelmgmt.models.registry.projection import PREFIX, detail_of, move_of, replay
from modelmgmt.models.registry.rows import AliasRow, ModelRow, Tables, TagRow, VersionRow
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.events import Event
from modelmgmt.store.names import counted
from modelmgmt.store.times import from_iso

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Decision:
    """One event of a model, taken apart: who, when (aware, UTC), on which host, from which code, why."""

    number: int
    """Of the event in the store."""
    kind: str
    """promoted, rolled_back, archived, refused, registered, aliased, ..."""
    time: datetime
    actor: str
    host: str
    version: int | None
    """The version that was decided about; of those that it displaced, or took an alias from, `changes` tells."""
    changes: Mapping[int, str]
    """Version -> what the decision did to it, in a few words, for every version that it changed."""
    reason: str
    commit: str | None
    """What was checked out in the working folder of who decided."""
    library: str | None
    detail: Mapping[str, Any]

    @classmethod
    def _of(cls, event: Event) -> Decision:
        detail = detail_of(event)
        code = detail.get("code") or {}
        return cls(
            number=event.id, kind=event.kind.removeprefix(PREFIX), time=from_iso(event.time), actor=event.actor,
            host=event.host, version=detail.get("version") or None, changes=_changes(event, detail),
            reason=detail.get("reason") or "", commit=code.get("commit"), library=code.get("library"), detail=detail,
        )  # fmt: skip

    def __repr__(self) -> str:
        version = f" version {self.version}" if self.version else ""
        why = f": {self.reason}" if self.reason else ""
        return printable(
            f"<Decision {self.number}: {self.kind}{version} by {self.actor}, {self.time:%Y-%m-%d %H:%M}{why}>"
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """A model at one time: who was in which stage, and what the aliases were.

    `moment["production"]` is the number of the version that had entered last, or None.
    """

    model: str
    time: datetime | None
    """What was asked for; None for now."""
    stages: Mapping[str, tuple[int, ...]]
    """Stage -> numbers of versions, who entered last at the end."""
    aliases: Mapping[str, int]
    digests: Mapping[int, str]
    """Number -> package, of every version that was there."""

    def __getitem__(self, label: str) -> int | None:
        if label in self.aliases:
            return self.aliases[label]
        placed = self.stages.get(label, ())
        return placed[-1] if placed else None

    def __repr__(self) -> str:
        placed = ", ".join(f"{stage}: {_listed(numbers)}" for stage, numbers in self.stages.items() if numbers)
        named = "".join(f", @{alias}: {number}" for alias, number in self.aliases.items())
        return printable(
            f"<{self.model} {'now' if self.time is None else self.time.isoformat()}: {placed or 'no version'}{named}>"
        )


def moment_at(history: Sequence[Event], model: str, time: datetime | str | None) -> Moment:
    """The model after the last event that is not later than `time`.

    The order of the events is their number. Where a clock was set back, an event before a later-numbered one counts as no
    later than that: everything up to the last event in question had happened. Raises NotFoundError, InvalidValueError.
    """
    then = None if time is None else checked_time(time)
    rows = replay(history if then is None else history[: _count(history, then)])
    owner = rows.find(ModelRow, model)
    if owner is None:
        raise NotFoundError(f"There was no model {model!r} at {then}." if then else f"There is no model {model!r}.")
    stages: dict[str, list[int]] = {name: [] for name in Stages.decode(owner.stages).names}
    for row in sorted(rows.all(VersionRow), key=lambda row: (row.entered, row.number)):
        stages.setdefault(row.stage, []).append(row.number)
    aliases = {row.alias: row.number for row in sorted(rows.all(AliasRow), key=lambda row: row.alias)}
    placed = {stage: tuple(numbers) for stage, numbers in stages.items()}
    return Moment(model, then, placed, aliases, {row.number: row.digest for row in rows.all(VersionRow)})


def checked_time(time: datetime | str) -> datetime:
    """An aware time, in UTC. Raises InvalidTypeError, InvalidValueError."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError as error:
            raise InvalidValueError(f"{time!r} is not a time: write it as 2026-01-31T12:00:00Z.") from error
    if not isinstance(time, datetime):
        raise InvalidTypeError(f"A time is a datetime or ISO text, and {type(time).__name__} was given.")
    if time.tzinfo is None:
        message = f"The time {time} has no time zone: write {time.isoformat()}Z, or add a tzinfo."
        raise InvalidValueError(message)
    return time.astimezone(UTC)


def versions_frame(connection: sqlite3.Connection, model: str) -> pd.DataFrame:
    """One row a version, indexed by number."""
    import pandas as pd

    rows = Tables(connection)
    records: dict[int, dict[str, Any]] = {
        row.number: {
            "stage": row.stage, "aliases": [], "format": row.format, "run": row.run,
            "created_at": from_iso(row.created_at), "created_by": row.created_by, "digest": row.digest,
            "description": row.description,
        }
        for row in rows.select(VersionRow, model=model)
    }  # fmt: skip
    for alias in rows.select(AliasRow, model=model):
        records[alias.number]["aliases"].append(alias.alias)
    for tag in rows.select(TagRow, model=model):
        if tag.number in records:
            records[tag.number][f"tags.{tag.key}"] = tag.value
    return pd.DataFrame.from_dict(records, orient="index").rename_axis("number")


def _changes(event: Event, detail: Mapping[str, Any]) -> dict[int, str]:
    """What an event did to which version. Whoever tells of one version reads it here, and never another's `detail`."""
    number, kind = detail.get("version"), event.kind.removeprefix(PREFIX)
    if not number:  # about the model as a whole
        return {}
    move = move_of(event)
    if move is not None:
        verb = {"promoted": "promoted", "rolled_back": "brought back"}.get(kind, "moved")
        told = {
            each: f"displaced from {start} to {end} by version {number}" for each, (start, end) in move.changes.items()
        }
        return told | {number: "{} from {} to {}".format(verb, *move.changes[number])}
    label, was = detail.get("alias"), detail.get("was")
    match kind:
        case "refused":
            return {number: f"refused for {detail.get('to')}, stayed in {detail.get('from')}"}
        case "aliased" if was is None or was == number:
            return {number: f"given the alias {label}"}
        case "aliased":
            return {
                number: f"given the alias {label}, which version {was} had",
                was: f"lost the alias {label} to version {number}",
            }
        case "unaliased":
            return {number: f"lost the alias {label}"}
        case "registered" | "imported":
            origin = detail.get("origin")
            source = "" if origin is None else f" from {Origin.from_dict(origin)}"
            verb = "copied" if origin and kind == "registered" else kind
            return {
                number: f"{verb}{source}, in {detail.get('stage')}"
                if source
                else f"registered in {detail.get('stage')}"
            }
        case "tagged":
            return {
                number: "tagged " + ", ".join(f"{key}={value}" for key, value in (detail.get("tags") or {}).items())
            }
        case "untagged":
            return {number: f"tag {detail.get('key')} removed"}
        case "described":
            return {number: f"described: {detail['text']}" if detail.get("text") else "description removed"}
        case "result_logged" if detail.get("passed") is None:
            return {number: f"losses {detail.get('name')} logged"}
        case "result_logged":
            return {number: f"result {detail.get('name')}: {'passed' if detail['passed'] else 'failed'}"}
        case "approved":
            return {number: f"approved for {detail.get('stage')}"}
        case "version_deleted":
            return {number: f"deleted while in {detail.get('stage')}"}
    return {number: kind.replace("_", " ")}  # of a later version of the library


def _count(history: Sequence[Event], then: datetime) -> int:
    """How many of the first events had happened."""
    return next((place for place in range(len(history), 0, -1) if from_iso(history[place - 1].time) <= then), 0)


def _listed(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[-3:]))
    return text if len(numbers) <= 3 else f"{counted(len(numbers), 'version')}, last {text}"
