"""Models, versions and decisions as tables. Draws, never computes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError, ModelmgmtError
from modelmgmt.models.packaging.signature import signature_lines
from modelmgmt.models.registry.imported import Origin
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.names import counted
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
_TOLD = {
    "model.created": (), "model.registered": ("run", "origin", "digest"), "model.imported": ("origin", "digest"),
    "model.policy_set": ("stage",),
    "model.result_logged": ("name", "passed", "mean", "dataset"), "predictions.erased": ("predictions",),
}  # fmt: skip
"""Of events that carry a whole row, a whole policy, or a mark of each prediction."""
_MOVES = _KNOWN | {"from", "to", "displaced", "displaced_to", "forced", "conditions"}


def models_table(models: Collection[Model], max_rows: int | None = SHOWN_ROWS) -> Table:
    """One model a row: how many versions it has, which is in use, since when and by whom, and which are in other stages."""
    columns = (
        Column("model"), Column("versions", right=True), Column("in use"), Column("since", rank=1, is_whole=True),
        Column("by"), Column("other stages", rank=2), Column("aliases", rank=4), Column("description", rank=3),
        Column("tags", rank=5),
    )  # fmt: skip
    rows = [_model_row(model) for model in islice(models, max_rows)]
    return _filled(columns, rows, len(models), "No models.")


def _model_row(model: Model) -> tuple[str, ...]:
    stages = model.stages
    main = [] if stages.main is None else model.in_stage(stages.main)[:1]
    entered = main[0].entered if main else None
    others = {stage: model.in_stage(stage) for stage in reversed(stages.names[1:-1]) if stage != stages.main}
    return (
        clean(model.name), f"{len(model):,}",
        clean(f"{stages.main} {main[0].number}" if main else f"nothing in {stages.main}" if stages.main else "", 60),
        f"{entered.time:%Y-%m-%d %H:%M}" if entered else "", clean(entered.actor if entered else ""),
        clean(", ".join(f"{stage} {_numbers(found)}" for stage, found in others.items() if found), 60),
        clean(_named(model.aliases), 60), clean(model.description, 80), clean(_tags(model.tags), 60),
    )  # fmt: skip


def model_table(model: Model) -> Table:
    """What a model is, one line each: first the stages, from the one in use to the last."""
    stages, count = model.stages, len(model)
    order = [*([stages.main] if stages.main else []), *(name for name in reversed(stages.names[:-1])), stages.last]
    facts = {
        "model": model.name, "description": model.description,
        "versions": f"{count:,}, the newest is {model._row_now.last_number}" if count else "none",
        **{stage: _occupants(model, stage) for stage in dict.fromkeys(order)},
        "aliases": model.aliases, "policy": {stage: list(_asked(rule)) for stage, rule in model.policy.items()},
        "tags": model.tags, "created": f"{model.created_at:%Y-%m-%d %H:%M} UTC by {model.created_by}",
    }  # fmt: skip
    return facts_table(facts)


def _occupants(model: Model, stage: str) -> str:
    """Of a stage of use, which versions, since when, by whom and why; of the first and the last, which versions."""
    found = model.in_stage(stage)
    if not found:
        return "no version"
    if stage in (model.stages.first, model.stages.last):
        return f"{_numbers(found)}"
    said = [f"version {version.number}, {_entry(version)}" for version in found[:3]]
    return "; ".join(said) + (f"; {len(found) - 3:,} more" if found[3:] else "")


def _entry(version: ModelVersion) -> str:
    """Since when a version is in its stage, by whom, and why."""
    entered = version.entered
    if entered is None:
        return "since an event that the log no longer has"
    why = f": {entered.reason}" if entered.reason else ""
    return f"since {entered.time:%Y-%m-%d %H:%M} UTC by {entered.actor}{why}"


def _numbers(versions: Sequence[ModelVersion]) -> str:
    numbers = ", ".join(str(version.number) for version in versions[:5])
    return f"{numbers} and {len(versions) - 5:,} more" if versions[5:] else numbers


def versions_table(versions: Sequence[ModelVersion], max_rows: int | None = SHOWN_ROWS) -> Table:
    """One version a row, the newest first."""
    newest = sorted(versions, key=lambda version: (version.created_at, version.number), reverse=True)
    columns = (
        Column("version"), Column("stage"), Column("aliases", rank=1), Column("run", rank=3, is_whole=True),
        Column("created", rank=2, is_whole=True), Column("description", rank=4), Column("format", rank=5),
        Column("tags", rank=6), Column("digest", rank=7, is_whole=True), Column("artifact", rank=8), Column("by", rank=9),
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


def version_table(version: ModelVersion, metrics: Mapping[str, float] | None = None) -> Table:
    """All that is known of a version, one line each; `metrics` are those of its run."""
    created = f"{version.created_at:%Y-%m-%d %H:%M} UTC by {version.created_by}"
    is_new = version.entered is not None and version.entered.kind in ("registered", "imported")
    facts = {
        "version": version.reference, "description": version.description,
        "stage": version.stage if is_new else f"{version.stage}, {_entry(version)}",
        "aliases": version.aliases, "registered": created, "run": version.run, "artifact": version.artifact,
        "from": str(version.origin or ""), "format": version.format, "digest": version.digest,
        "to load it": str(version.needs or ""), "tags": version.tags,
        "metrics": metrics or {},
        "signature": signature_lines(version.signature or {}),
        "results": {name: _outcome(result) for name, result in version.results.items()},
        "approvals": {
            f"{each.stage}": f"by {each.actor}: {each.reason}" for each in version.approvals
        },
    }  # fmt: skip
    return facts_table(facts)


def logged_table(logged: LoggedModel) -> Table:
    """What `log_model` has kept, one line each."""
    version = None if logged.version is None else logged.version.reference
    facts = {
        "reference": logged.reference,
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
        Column("time", is_whole=True), Column("decision"), Column("what"), Column("why"), Column("who"),
        Column("commit", rank=1, is_whole=True), Column("event", rank=2, right=True),
    )  # fmt: skip
    rows = [
        (
            f"{decision.time:%Y-%m-%d %H:%M}", f"{decision.kind} {decision.version or ''}".strip(),
            clean(_what(decision), 160), clean(decision.reason, 200), clean(decision.actor),
            (decision.commit or "")[:10], str(decision.number),
        )
        for decision in decisions
    ]  # fmt: skip
    return _filled(columns, rows, len(rows), "No decisions.")


def events_table(events: Sequence[Event], *, total: int) -> Table:
    """One event a row. Who decided is never left out, however narrow the table."""
    columns = (
        Column("event", right=True), Column("time", is_whole=True), Column("who"), Column("kind", is_whole=True),
        Column("subject"), Column("detail"),
    )  # fmt: skip
    rows = tuple(
        (
            str(event.id), event.time[:16].replace("T", " "), clean(event.actor), clean(event.kind), clean(subject),
            clean(detail, _LONGEST),
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
    lines = tuple((clean(key, 200), clean(value, _LONGEST)) for key, value in _facts(kept))
    return Table(
        (Column("key", folds=True), Column("value", folds=True)),
        lines,
        f"sha256:{facts['digest']}" if facts.get("digest") else "",
    )


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
        "requirements": list(package.requirements), "code": list(package.code), "checked": str(package.verified),
        "to load it": _needs(package),
    }  # fmt: skip


def _needs(package: Package) -> str:
    try:
        return str(package.needs)
    except ModelmgmtError as error:  # its library is not installed, or its files are damaged
        return str(error)


def _named(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _outcome(result: Result) -> str:
    if result.passed is None:
        return f"mean loss {format_value(result.mean)} on {result.dataset}"
    return f"{'passed' if result.passed else 'failed'}{f': {result.detail}' if result.detail else ''}"


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
    yield from (f"{clean(name)} passed" for name in rule.results)
    for key, bounds in rule.metrics.items():
        words = (("at least", bounds.least), ("at most", bounds.most))
        yield f"metric {clean(key)} " + " and ".join(f"{word} {value:g}" for word, value in words if value is not None)
    for name, margin in rule.no_worse.items():
        yield (
            f"mean loss {clean(name)} at most {margin:g} worse than the current version "
            f"({100 * rule.confidence:g} % interval)"
        )
    if rule.signature != "any":
        yield "signature compatible with the current version"
    if rule.approvals:
        yield f"{counted(rule.approvals, 'approval')} by others than the author"
    if rule.loadable is not None:
        yield "loads on the machine that promotes" if rule.loadable else "need not load on the machine that promotes"


def _filled(columns: Sequence[Column], rows: Sequence[tuple[str, ...]], total: int, nothing: str) -> Table:
    """Without the columns that are empty in every row."""
    if not rows:
        return Table(tuple(columns[:2]), (), nothing)
    there = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    more = total - len(rows)
    return Table(
        tuple(columns[place] for place in there), tuple(tuple(row[place] for place in there) for row in rows),
        f"{counted(more, 'more is', 'more are')} not shown." if more else "",
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
    said = [content.get("reason"), moved, _unmet(content) if moved else None]
    for key in _TOLD.get(event.kind, content):
        said += [f"{key} {_short(content.get(key))}"] if key not in unsaid | {"origin"} else []
        said += [_from(content.get(key))] if key == "origin" else []
    return subject, ", ".join(text for text in said if isinstance(text, str) and text and not text.endswith(" "))


def _from(origin: object) -> str:
    try:
        return f"from {Origin.from_dict(origin)}" if origin is not None else ""
    except InvalidValueError:
        return f"origin {_short(origin)}"  # somebody has changed it


def _short(value: object) -> str:
    """A value of an event; nothing for what is empty, and of a digest as much as tells it from others."""
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, float):
        return format_value(value)
    if isinstance(value, str):
        return value[:_DIGEST] if len(value) == 64 and value.isalnum() else value
    return json.dumps(value, ensure_ascii=False)


def _what(decision: Decision) -> str:
    """What changed, in a few words."""
    detail = decision.detail
    if decision.version:
        return _moved(detail) or decision.changes[decision.version]
    if detail.get("tags"):
        return f"tags {_tags(detail['tags'])}"
    if decision.kind == "stages_set":
        return ", ".join(Stages.decode(detail["stages"]).names)
    if decision.kind == "deleted":
        return f"with its versions {', '.join(map(str, detail['versions']))}" if detail.get("versions") else ""
    return next((f"{key} {detail[key]}" for key in ("stage", "key", "text") if detail.get(key)), "")


def _unmet(detail: Mapping[str, Any]) -> str:
    """What the policy asked for and did not find; nothing where a log that somebody has changed says something else."""
    listed = detail.get("conditions")
    found = [each for each in listed if isinstance(each, list) and len(each) == 3] if isinstance(listed, list) else []
    return "; ".join(str(sentence) for _, is_met, sentence in found if not is_met)


def _moved(detail: Mapping[str, Any]) -> str:
    """From which stage to which, and who had to go; empty where nothing moved."""
    if not {"from", "to"} <= detail.keys():
        return ""
    if "displaced" not in detail:
        return f"{detail['from']} to {detail['to']} was refused"
    numbers = detail.get("displaced") if isinstance(detail.get("displaced"), list) else []
    moved = "".join(f", {number} to {detail.get('displaced_to')}" for number in numbers or ())
    return f"{detail['from']} to {detail['to']}{moved}{' (forced)' if detail.get('forced') else ''}"
