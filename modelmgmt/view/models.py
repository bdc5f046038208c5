"""Models, versions and decisions as tables. Draws, never computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import clean, format_value

if TYPE_CHECKING:
    from modelmgmt.models.gates import Condition
    from modelmgmt.models.history import Decision


def listing_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Mappings of one shape, a row each; a column that is empty in all is left out."""
    names = [name for name in (rows[0] if rows else {"name": 0}) if any(_cell(name, row[name]) for row in rows)]
    cells = [tuple(_cell(name, row[name]) for name in names) for row in rows]
    right = {"number", "versions", "newest"}
    return Table(tuple(Column(name, right=name in right) for name in names or ["name"]), tuple(cells), _note(rows))


def history_table(decisions: Iterable[Decision]) -> Table:
    """One decision a row, oldest first."""
    columns = tuple(map(Column, ("event", "time", "who", "decision", "version", "what", "why", "commit")))
    rows = tuple(
        (
            str(decision.number), f"{decision.time:%Y-%m-%d %H:%M:%S}", clean(decision.actor), decision.kind,
            format_value(decision.version), clean(_what(decision.detail)), clean(decision.reason, 60),
            (decision.commit or "")[:10],
        )
        for decision in decisions
    )  # fmt: skip
    return Table(columns, rows, "" if rows else "No decisions.")


def conditions_table(conditions: Iterable[Condition]) -> Table:
    """What a policy asks for, met or not."""
    columns = (Column("met"), Column("asked for"), Column("found"))
    rows = [("yes" if each.is_met else "NO", clean(each.what, 80), clean(each.found, 120)) for each in conditions]
    return Table(columns, tuple(rows), "" if rows else "The policy asks for nothing.")


def _note(rows: Sequence[Any]) -> str:
    return "" if rows else "Nothing found."


def _cell(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return clean(", ".join(f"{key} {item}" for key, item in value.items()), 60)
    if isinstance(value, (list, tuple)):
        return clean(", ".join(map(str, value)), 60)
    if name == "digest":
        return str(value)[:12]
    if name == "created_at":
        return str(value)[:16].replace("T", " ")
    return "" if value is None else clean(str(value), 60)


def _what(detail: Mapping[str, Any]) -> str:
    """What changed, in a few words."""
    if "to" in detail:
        moved = "".join(f", {number} to {detail['displaced_to']}" for number in detail.get("displaced", ()))
        return f"{detail['from']} to {detail['to']}{moved}{' (forced)' if detail.get('forced') else ''}"
    for key in ("alias", "stage", "name", "tags", "key", "run"):
        if detail.get(key):
            return f"{key} {detail[key]}"
    return ""
