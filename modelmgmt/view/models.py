"""Models, versions and decisions as tables. Draws, never computes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from modelmgmt.models.registry.comparing import signature_lines
from modelmgmt.view.tables import SHOWN_ROWS, Column, Table
from modelmgmt.view.text import clean, format_value

if TYPE_CHECKING:
    from modelmgmt.models.packaging.package import Package
    from modelmgmt.models.registry.gates import Condition
    from modelmgmt.models.registry.history import Decision
    from modelmgmt.models.registry.model import Model
    from modelmgmt.models.registry.policy import Rule
    from modelmgmt.models.registry.versions import ModelVersion, Result
    from modelmgmt.models.run_models import LoggedModel
    from modelmgmt.store.events import Event

_LONGEST = 400  # characters of a fact
_DIGEST = 16  # hexadecimal digits that tell trees apart
_KNOWN = frozenset({"code", "version", "reason", "last_number"})  # what a line says otherwise, or need not say
_TOLD = {"model.created": (), "model.registered": ("run", "digest"), "predictions.erased": ("predictions",)}
"""Of events that carry a whole row, or a mark of each prediction."""
_MOVES = _KNOWN | {"from", "to", "displaced", "displaced_to", "forced"}


def models_table(models: Collection[Model], max_rows: int | None = SHOWN_ROWS) -> Table:
    """One model a row."""
    columns = (
        Column("model"), Column("versions", right=True), Column("newest", right=True, rank=2), Column("in place"),
        Column("aliases"), Column("description", rank=1), Column("tags", rank=3),
    )  # fmt: skip
    rows = [
        (
            clean(model.name), str(len(model)), str(model.row.last_number), clean(_placed(model), 60),
            clean(_named(model.aliases), 60), clean(model.description, 80), clean(_tags(model.tags), 60),
        )
        for model in islice(models, max_rows)
    ]  # fmt: skip
    return _filled(columns, rows, len(models), "No models.")


def model_table(model: Model) -> Table:
    """What a model is, one line each."""
    facts = {
        "model": model.name, "description": model.description, "in place": _placed(model), "aliases": model.aliases,
        "stages": list(model.stages.names), "tags": model.tags, "created": f"{model.created_at:%Y-%m-%d %H:%M} UTC",
    }  # fmt: skip
    return facts_table(facts)


def versions_table(versions: Sequence[ModelVersion], max_rows: int | None = SHOWN_ROWS) -> Table:
    """One version a row, the newest first."""
    newest = sorted(versions, key=lambda version: (version.created_at, version.number), reverse=True)
    columns = (
        Column("version"), Column("stage"), Column("aliases"), Column("run", rank=1), Column("created"),
        Column("description"), Column("format", rank=2), Column("tags", rank=3), Column("digest", rank=4),
        Column("artifact", rank=5), Column("by", rank=6),
    )  # fmt: skip
    rows = [
        (
            clean(version.reference), version.stage, clean(", ".join(version.aliases), 60), version.run or "",
            f"{version.created_at:%Y-%m-%d %H:%M}", clean(version.description, 80), clean(version.format),
            clean(_tags(version.tags), 60), version.digest[:_DIGEST], clean(version.artifact or ""),
            clean(version.created_by),
        )
        for version in newest[:max_rows]
    ]  # fmt: skip
    return _filled(columns, rows, len(versions), "No versions.")


def version_table(version: ModelVersion) -> Table:
    """All that is known of a version, one line each."""
    facts = {
        "version": version.reference, "stage": version.stage, "aliases": version.aliases, "format": version.format,
        "run": version.run, "artifact": version.artifact, "digest": version.digest, "description": version.description,
        "created": f"{version.created_at:%Y-%m-%d %H:%M} UTC", "created by": version.created_by, "tags": version.tags,
        "signature": signature_lines(version.signature or {}),
        "results": {name: _outcome(result) for name, result in version.results.items()},
    }  # fmt: skip
    return facts_table(facts)


def logged_table(logged: LoggedModel) -> Table:
    """What `log_model` has kept, one line each."""
    version = None if logged.version is None else logged.version.reference
    facts = {
        "reference": logged.ref,
        "version": version,
        **({} if logged.package is None else _facts_of(logged.package)),
    }
    table = facts_table(facts)
    return table if logged.package is not None else replace(table, note="Not kept.")


def package_table(package: Package) -> Table:
    """What a package is, one line each."""
    return facts_table({"model": package.name, **_facts_of(package)})


def history_table(decisions: Iterable[Decision]) -> Table:
    """One decision a row, oldest first."""
    columns = (
        Column("time"), Column("decision"), Column("what"), Column("why"), Column("who", rank=1),
        Column("commit", rank=2), Column("event", rank=3, right=True),
    )  # fmt: skip
    rows = [
        (
            f"{decision.time:%Y-%m-%d %H:%M}", f"{decision.kind} {decision.version or ''}".strip(),
            clean(_what(decision.detail), 80), clean(decision.reason, 200), clean(decision.actor),
            (decision.commit or "")[:10], str(decision.number),
        )
        for decision in decisions
    ]  # fmt: skip
    return _filled(columns, rows, len(rows), "No decisions.")


def events_table(events: Sequence[Event], *, total: int) -> Table:
    """One event a row."""
    columns = (
        Column("event", right=True), Column("time", is_whole=True), Column("kind"), Column("subject"),
        Column("detail"), Column("who", rank=1),
    )  # fmt: skip
    rows = tuple(
        (
            str(event.id), event.time[:16].replace("T", " "), clean(event.kind), clean(subject), clean(detail, 120),
            clean(event.actor),
        )
        for event in events
        for subject, detail in [_brief(event)]
    )  # fmt: skip
    note = "No events." if not total else f"The newest {len(rows):,} of {total:,}." if len(rows) < total else ""
    return Table(columns, rows, note)


def conditions_table(conditions: Iterable[Condition]) -> Table:
    """What a policy asks for, met or not."""
    columns = (Column("met"), Column("asked for"), Column("found"))
    rows = [("yes" if each.is_met else "NO", clean(each.what, 80), clean(each.found, 120)) for each in conditions]
    return Table(columns, tuple(rows), "" if rows else "The policy asks for nothing.")


def facts_table(facts: Mapping[str, Any]) -> Table:
    """One line a fact; a mapping or a list has one for each of what is in it. A digest is whole, below."""
    kept = {key: value for key, value in facts.items() if key != "digest"}
    lines = tuple((clean(key, 40), clean(value, _LONGEST)) for key, value in _facts(kept))
    return Table((Column("key"), Column("value")), lines, f"sha256:{facts['digest']}" if facts.get("digest") else "")


def policy_table(policy: Mapping[str, Rule]) -> Table:
    """What each stage asks for."""
    lines = [(clean(stage), asked) for stage, rule in policy.items() for asked in _asked(rule)]
    return Table((Column("stage"), Column("asks for")), tuple(lines), "" if lines else "No stage asks for anything.")


def _facts_of(package: Package) -> dict[str, Any]:
    signature = package.signature
    return {
        "class": package.class_name, "format": package.format, "size": f"{package.tree.size:,} bytes",
        "made by": None if package.run is None else f"run {package.run}", "digest": package.digest,
        "description": package.description, "signature": signature_lines({} if signature is None else signature.as_dict()),
        "requirements": list(package.requirements), "code": list(package.code),
    }  # fmt: skip


def _placed(model: Model) -> str:
    numbers = {stage: model.placed(stage) for stage in model.stages.names[1:-1]}
    return _named({stage: number for stage, number in numbers.items() if number is not None})


def _named(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _outcome(result: Result) -> str:
    return format_value(result.mean) if result.passed is None else "passed" if result.passed else "failed"


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


def _filled(columns: Sequence[Column], rows: Sequence[tuple[str, ...]], total: int, nothing: str) -> Table:
    """Without the columns that are empty in every row."""
    if not rows:
        return Table(tuple(columns[:2]), (), nothing)
    there = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    more = total - len(rows)
    return Table(
        tuple(columns[place] for place in there), tuple(tuple(row[place] for place in there) for row in rows),
        f"{more:,} more are not shown." if more else "",
    )  # fmt: skip


def _tags(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items())


def _brief(event: Event) -> tuple[str, str]:
    """What an event is about, and what it says in a few words: its reason first, nothing that every event of its kind says.

    It may be any text: a log that somebody has changed is listed, too.
    """
    try:
        content = json.loads(event.detail)
    except (ValueError, RecursionError):
        return event.subject, event.detail
    if not isinstance(content, dict):
        return event.subject, event.detail
    number = content.get("version")
    subject = f"{event.subject}:{number}" if number and type(number) is int else event.subject
    moved = _moved(content)
    unsaid = _MOVES if moved else _KNOWN
    said = [content.get("reason"), moved]
    for key in _TOLD.get(event.kind, content):
        said += [f"{key} {_short(content.get(key))}"] if key not in unsaid else []
    return subject, ", ".join(text for text in said if isinstance(text, str) and text and not text.endswith(" "))


def _short(value: object) -> str:
    """A value of an event; nothing for what is empty, and of a digest as much as tells it from others."""
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, str):
        return value[:_DIGEST] if len(value) == 64 and value.isalnum() else value
    return json.dumps(value, ensure_ascii=False)


def _what(detail: Mapping[str, Any]) -> str:
    """What changed, in a few words."""
    if moved := _moved(detail):
        return moved
    for key in ("alias", "stage", "name", "tags", "key", "run"):
        if detail.get(key):
            return f"{key} {_tags(detail[key]) if key == 'tags' else detail[key]}"
    return ""


def _moved(detail: Mapping[str, Any]) -> str:
    """From which stage to which, and who had to go; empty where nothing moved."""
    if not {"from", "to"} <= detail.keys():
        return ""
    numbers = detail.get("displaced") if isinstance(detail.get("displaced"), list) else []
    moved = "".join(f", {number} to {detail.get('displaced_to')}" for number in numbers or ())
    return f"{detail['from']} to {detail['to']}{moved}{' (forced)' if detail.get('forced') else ''}"
