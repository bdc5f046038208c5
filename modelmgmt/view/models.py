"""Models, versions and decisions as tables. Draws, never computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelmgmt.view.tables import Column, Table
from modelmgmt.view.text import clean, format_value

if TYPE_CHECKING:
    from modelmgmt.models.registry.gates import Condition
    from modelmgmt.models.registry.history import Decision
    from modelmgmt.models.registry.policy import Rule
    from modelmgmt.store.events import Event


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


def events_table(events: Sequence[Event], *, total: int) -> Table:
    """One event a row."""
    columns = tuple(map(Column, ("event", "time", "who", "kind", "subject", "detail")))
    rows = tuple(
        (
            str(event.id), event.time[:19].replace("T", " "), clean(event.actor), clean(event.kind), clean(event.subject),
            clean(event.detail, 70),
        )
        for event in events
    )  # fmt: skip
    note = "No events." if not total else f"The newest {len(rows):,} of {total:,}." if len(rows) < total else ""
    return Table(columns, rows, note)


def conditions_table(conditions: Iterable[Condition]) -> Table:
    """What a policy asks for, met or not."""
    columns = (Column("met"), Column("asked for"), Column("found"))
    rows = [("yes" if each.is_met else "NO", clean(each.what, 80), clean(each.found, 120)) for each in conditions]
    return Table(columns, tuple(rows), "" if rows else "The policy asks for nothing.")


def facts_table(facts: Mapping[str, Any], width: int = 100) -> Table:
    """One line a fact, cut to fit into `width`; a mapping or a list has one for each of what is in it."""
    lines = [(clean(key, 40), value) for key, value in _facts(facts)]
    room = max(20, width - 4 - max((len(key) for key, _ in lines), default=0))
    return Table((Column("key"), Column("value")), tuple((key, clean(value, room)) for key, value in lines))


def policy_table(policy: Mapping[str, Rule]) -> Table:
    """What each stage asks for."""
    lines = [(clean(stage), asked) for stage, rule in policy.items() for asked in _asked(rule)]
    return Table((Column("stage"), Column("asks for")), tuple(lines), "" if lines else "No stage asks for anything.")


def _facts(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _facts(value, f"{name}.")
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            for place, item in enumerate(value, start=1):
                yield from _facts(item, f"{name}.{place}.")
        elif isinstance(value, (list, tuple)) and value:
            yield name, ", ".join(map(str, value))
        elif value not in (None, "", [], ()):
            yield name, str(value)


def _asked(rule: Rule) -> Iterator[str]:
    yield from (f"result {clean(name)} passed" for name in rule.results)
    for key, bounds in rule.metrics.items():
        words = (("at least", bounds.least), ("at most", bounds.most))
        yield f"metric {clean(key)} " + " and ".join(f"{word} {value:g}" for word, value in words if value is not None)
    for name, margin in rule.no_worse.items():
        yield f"losses {clean(name)} at most {margin:g} worse than in place, {rule.confidence:.0%} interval"
    if rule.signature != "any":
        yield "signature compatible with the version in place"
    if rule.approvals:
        yield f"{rule.approvals} approval{'s' if rule.approvals > 1 else ''} by others than the author"


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
