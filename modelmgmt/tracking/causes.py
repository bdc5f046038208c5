"""Two runs that should be the same: metric by metric whether they are, and if not, what differs. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from modelmgmt.store.names import counted
from modelmgmt.store.trees import diff
from modelmgmt.tracking import params, provenance
from modelmgmt.tracking.restore import data_of

if TYPE_CHECKING:
    from modelmgmt.tracking.run import Run

Verdict = Literal["equal", "within tolerance", "different", "missing"]
MAX_NAMED = 20
_FOLDED = 5


@dataclass(frozen=True, slots=True)
class MetricOutcome:
    """One metric of the run, and of the run that repeats it."""

    key: str
    before: float
    """The last value."""
    after: float | None
    difference: float | None
    """The largest relative difference of all points; None where they cannot be compared point by point."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that was not the same."""

    kind: Literal["params", "code", "data", "environment", "not restored", "nondeterminism"]
    detail: str


def outcomes(before: Run, after: Run, *, tolerance: float, keys: Sequence[str] = ()) -> list[MetricOutcome]:
    """Every metric of `before`, or those named. `tolerance` is relative, and holds for every point of the series.

    Equal means: the same steps, and the same values to the last bit (NaN is NaN).
    """
    there, here = before.metrics, after.metrics
    return [_outcome(before, after, key, there, here, tolerance) for key in (keys or there)]


def _outcome(
    before: Run, after: Run, key: str, there: dict[str, float], here: dict[str, float], tolerance: float
) -> MetricOutcome:
    a = before.series(key)
    if key not in here:
        return MetricOutcome(key, there[key], None, None, "missing")
    b = after.series(key)
    if not np.array_equal(a.steps, b.steps):
        return MetricOutcome(key, there[key], here[key], None, "different")
    difference = _relative(np.asarray(a.values), np.asarray(b.values))
    verdict: Verdict = "equal" if difference == 0 else "within tolerance" if difference <= tolerance else "different"
    return MetricOutcome(key, there[key], here[key], difference, verdict)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    """The largest |a - b| / max(|a|, |b|); infinite where only one is NaN or infinite."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    x, y = a[~same], b[~same]
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.abs(x - y) / np.maximum(np.abs(x), np.abs(y))
    return float(np.max(np.where(np.isfinite(found), found, np.inf)))


def causes(before: Run, after: Run, missing: Sequence[str] = ()) -> list[Cause]:
    """What differs between what made the two runs; nondeterminism when nothing does.

    `missing` is what could not be put back as it was, and so may differ.
    """
    found = [*_params(before, after), *_code(before, after), *_data(before, after), *_environment(before, after)]
    found += [Cause("not restored", what) for what in missing[:MAX_NAMED]]
    if len(missing) > MAX_NAMED:
        found.append(Cause("not restored", f"and {len(missing) - MAX_NAMED:,} more"))
    return found or [Cause("nondeterminism", _unexplained(before))]


def _params(before: Run, after: Run) -> Iterator[Cause]:
    a, b = before.params, after.params
    for key in sorted({*a, *b}):
        if key not in a or key not in b or not _same(a[key], b[key]):
            yield Cause("params", f"{key}: {a.get(key, 'none')!r} then, {b.get(key, 'none')!r} now")


def _same(a: params.Value, b: params.Value) -> bool:
    return repr(a) == repr(b)


def _code(before: Run, after: Run) -> Iterator[Cause]:
    if not before.code or not after.code:
        if bool(before.code) != bool(after.code):
            yield Cause("code", "it was captured for only one of the two runs")
        return
    found = diff(before.code.tree, after.code.tree)
    lines = before.code.diff(after.code, context=0) if found.changed else ""
    changed = _changed_lines(lines)
    yield from (Cause("code", f"{path}: {changed.get(path, 'changed')}") for path in found.changed[:MAX_NAMED])
    yield from (Cause("code", f"{path}: is executed only now") for path in found.added[:MAX_NAMED])
    yield from (Cause("code", f"{path}: was executed only then") for path in found.removed[:MAX_NAMED])
    unnamed = sum(max(0, len(paths) - MAX_NAMED) for paths in (found.changed, found.added, found.removed))
    if unnamed:
        yield Cause("code", f"and {counted(unnamed, 'more file')}")


def _changed_lines(text: str) -> dict[str, str]:
    """path -> its first changed line, and how many there are, from a unified diff."""
    found: dict[str, list[str]] = {}
    path = ""
    for line in text.splitlines():
        if line.startswith(("--- ", "+++ ")):
            path = line[6:] if line[4:6] in ("a/", "b/") else path
        elif line[:1] in ("-", "+"):
            found.setdefault(path, []).append(line)
    return {
        path: f"{lines[0]!r} and {counted(len(lines) - 1, 'more line')}"
        if len(lines) > 2
        else " ".join(map(repr, lines))
        for path, lines in found.items()
    }


def _data(before: Run, after: Run) -> Iterator[Cause]:
    a, b = ({(role, each.name): each for role, each in data_of(run) if role != "output"} for run in (before, after))
    for role, name in sorted({*a, *b}):
        then, now = a.get((role, name)), b.get((role, name))
        if then is None or now is None:
            yield Cause("data", f"{name} ({role}) was logged only {'now' if then is None else 'then'}")
        elif then.fingerprint != now.fingerprint:
            rows = "" if then.rows is None or now.rows is None else f", {then.rows:,} and {counted(now.rows, 'row')}"
            yield Cause("data", f"{name} ({role}): version {then.number} then, {now.number} now{rows}")


def _environment(before: Run, after: Run) -> Iterator[Cause]:
    a, b = before.environment, after.environment
    if a is None or b is None:
        return
    known = provenance.imported_distributions(before)
    found = a.diff(b)
    folded = [
        change
        for change in found
        if change.section == "distributions" and known is not None and change.name not in known
    ]
    order = ("python", "distributions", "platform", "hardware")
    named = sorted((change for change in found if change not in folded), key=lambda change: order.index(change.section))
    for change in named[:MAX_NAMED]:
        yield Cause("environment", f"{change.name}: {_text(change.before)} then, {_text(change.after)} now")
    if len(named) > MAX_NAMED:
        yield Cause("environment", f"and {len(named) - MAX_NAMED:,} more")
    if folded:
        names = ", ".join(change.name for change in folded[:_FOLDED]) + (", ..." if len(folded) > _FOLDED else "")
        yield Cause(
            "environment",
            f"{counted(len(folded), 'package differs', 'packages differ')} that the run had not imported when it started: "
            f"{names}; see 'modelmgmt runs env {before.id} --diff {after.id}'",
        )


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _unexplained(before: Run) -> str:
    """What could still be behind it, as nothing that was recorded differs."""
    seen = "" if data_of(before) else "; the run logged no data, so a change of it cannot be seen"
    return (
        "code, params, environment and logged data are the same: random numbers that are not seeded, threads, a clock, "
        f"a file or a service that is not recorded{seen}"
    )
