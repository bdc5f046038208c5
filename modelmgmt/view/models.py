"""Models, versions and decisions as tables. Draws, never computes."""

from __future__ import annotations

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


def listing_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Mappings of one shape, a row each; a column that is empty in all is left out."""
    names = [name for name in (rows[0] if rows else {"name": 0}) if any(_cell(name, row[name]) for row in rows)]
    cells = [tuple(_cell(name, row[name]) for name in names) for row in rows]
    right = {"number", "versions", "newest"}
    return Table(tuple(Column(name, right=name in right) for name in names or ["name"]), tuple(cells), _note(rows))


def models_table(models: Collection[Model]) -> Table:
    """One model a row, up to `SHOWN_ROWS`."""
    columns = (
        Column("model"),
        Column("versions", right=True),
        Column("in place"),
        Column("aliases"),
        Column("description"),
    )
    rows = tuple(
        (
            clean(model.name), str(len(model)), clean(_placed(model), 60), clean(_named(model.aliases), 60),
            clean(model.description, 80),
        )
        for model in islice(models, SHOWN_ROWS)
    )  # fmt: skip
    more = len(models) - len(rows)
    return Table(columns, rows, f"{more:,} more are not shown." if more else "" if rows else "No models.")


def model_table(model: Model) -> Table:
    """What a model is, one line each."""
    facts = {
        "model": model.name, "description": model.description, "in place": _placed(model), "aliases": model.aliases,
        "stages": list(model.stages.names), "tags": model.tags, "created": f"{model.created_at:%Y-%m-%d %H:%M} UTC",
    }  # fmt: skip
    return facts_table(facts)


def versions_table(versions: Sequence[ModelVersion]) -> Table:
    """One version a row, the newest first, up to `SHOWN_ROWS`."""
    newest = sorted(versions, key=lambda version: (version.created_at, version.number), reverse=True)
    columns = tuple(map(Column, ("version", "stage", "aliases", "format", "run", "created", "description", "digest")))
    rows = tuple(
        (
            clean(version.reference), version.stage, clean(", ".join(version.aliases), 60), clean(version.format),
            version.run or "", f"{version.created_at:%Y-%m-%d %H:%M}", clean(version.description, 80),
            version.digest[:_DIGEST],
        )
        for version in newest[:SHOWN_ROWS]
    )  # fmt: skip
    more = len(versions) - len(rows)
    return Table(columns, rows, f"{more:,} more are not shown." if more else "" if rows else "No versions.")


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
    note = "" if logged.package is not None else "Not kept."
    return replace(facts_table(facts), note=note)


def package_table(package: Package) -> Table:
    """What a package is, one line each."""
    return facts_table({"model": package.name, **_facts_of(package)})


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


def facts_table(facts: Mapping[str, Any]) -> Table:
    """One line a fact; a mapping or a list has one for each of what is in it."""
    lines = tuple((clean(key, 40), clean(value, _LONGEST)) for key, value in _facts(facts))
    return Table((Column("key"), Column("value")), lines)


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
