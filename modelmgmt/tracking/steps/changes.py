"""Why a step ran: what is another than at the nearest earlier call of the function. Reads files, where an input is a path.

Code and inputs are kept in parts, each with a mark that is equal when the part is: the functions, classes, globals and
libraries that the code uses; the columns of a table, the keys of a mapping, the attributes of an object, the files of a
folder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidTypeError
from modelmgmt.store.names import counted
from modelmgmt.tracking.steps.fingerprint import PYTHON, fingerprint, is_plain_object, mark, state_of

if TYPE_CHECKING:
    from modelmgmt.tracking.steps.table import Step, StepInput

Code = Mapping[str, Sequence[str]]
"""Part -> (what uses it, or nothing; its mark)."""
Parts = Mapping[str, Mapping[str, Any]]
"""`code`: a Code; `inputs`: name of an input -> its parts."""

_MOST = 64  # parts of one input
_NAMED = 5  # parts in a reason
_TYPE, _ROWS = "type", "rows"  # parts that are never told by themselves


def parts_of(value: Any) -> dict[str, str]:
    """What an input is made of: part -> mark, or the part itself where it is short. Empty for what has no parts to name."""
    try:
        return dict(itertools.islice(_parts(value), _MOST))
    except Exception:  # noqa: BLE001 - whatever a foreign object raises when it is asked what it is made of
        return {}


def _parts(value: Any) -> Iterator[tuple[str, str]]:
    kind = type(value)
    yield _TYPE, kind.__qualname__
    root = kind.__module__.partition(".")[0]
    if root in ("pandas", "polars", "pyarrow") and hasattr(value, "shape" if root != "pyarrow" else "num_rows"):
        yield from _columns(value)
    elif root == "numpy" and hasattr(value, "shape"):
        yield "dtype", str(value.dtype)
    elif isinstance(value, PurePath):
        yield from _files(Path(value))
    elif isinstance(value, Mapping):
        yield from ((f"key {key!r}", _mark_of(item)) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"item {place}", _mark_of(item)) for place, item in enumerate(value))
    elif is_plain_object(value):
        state = state_of(value)
        if isinstance(state, Mapping):
            yield from ((f"attribute {name}", _mark_of(item)) for name, item in state.items())


def _columns(value: Any) -> Iterator[tuple[str, str]]:
    from modelmgmt.versions.data.fingerprint import digests
    from modelmgmt.versions.data.sources import table_of

    table = table_of(value, index=True)
    yield _ROWS, str(table.rows)
    yield from ((f"column {label!r}", mark(digest)) for label, digest in digests(table.columns))
    yield from (("index", mark(digest)) for _, digest in digests(table.index[:1]))


def _files(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        below = (each for each in sorted(path.rglob("*")) if each.is_file())
        yield from ((f"file {each.relative_to(path)}", mark(fingerprint(each))) for each in below)


def _mark_of(value: Any) -> str:
    try:
        return mark(fingerprint(value))
    except (InvalidTypeError, OSError):
        return "no fingerprint"


# ------------------------------------------------------------------------------------------------------ differences


def distance(step: Step, code: str, inputs: Sequence[StepInput]) -> int:
    """How many things are another: the code, each input."""
    known, now = _counted(step.inputs), _counted(inputs)
    changed = sum(
        name not in known or name not in now or known[name].fingerprint != now[name].fingerprint
        for name in known.keys() | now.keys()
    )
    return (step.code_fingerprint != code) + changed


def part_distance(step: Step, parts: Parts) -> int:
    """How many parts of code and inputs are another: which of several steps at one distance is the nearest."""
    pairs = [(step.parts.get("code", {}), parts.get("code", {}))]
    was, now = step.parts.get("inputs", {}), parts.get("inputs", {})
    pairs += [(was.get(name, {}), now.get(name, {})) for name in was.keys() | now.keys()]
    return sum(one.get(name) != other.get(name) for one, other in pairs for name in one.keys() | other.keys())


def difference(
    before: Step, code: str, inputs: Sequence[StepInput], parts: Parts, rows: Callable[[StepInput], str]
) -> str:
    """What is another than at an earlier call; empty when nothing is. `rows` says of an earlier input which rows differ."""
    reasons = []
    if before.code_fingerprint != code:
        reasons.append(_code_changes(before.parts.get("code", {}), parts.get("code", {})) or "code changed")
    known, now = _counted(before.inputs), _counted(inputs)
    for name, given in now.items():
        if name not in known:
            reasons.append(f"input {name!r} is new")
        elif known[name].fingerprint != given.fingerprint:
            was_of, now_of = (found.get("inputs", {}).get(name, {}) for found in (before.parts, parts))
            told = [_part_changes(was_of, now_of), rows(known[name])]
            reasons.append(_input_change(known[name], given, ", ".join(filter(None, told))))
    gone = [repr(name) for name in known if name not in now]
    reasons += [f"input {', '.join(gone)} is gone"] if gone else []
    return "; ".join(reasons)


def changed_rows(was: Any, now: Any) -> str:
    """How many rows of two tables differ, where they have the same columns and the same index; else nothing."""
    if type(was) is not type(now) or type(now).__module__.partition(".")[0] != "pandas" or was.shape != now.shape:
        return ""
    if not was.index.equals(now.index) or (was.ndim == 2 and not was.columns.equals(now.columns)):
        return ""
    differs = ~((was == now) | (was.isna() & now.isna()))
    count = int((differs.any(axis=1) if was.ndim == 2 else differs).sum())
    return f"{count:,} of {counted(len(now), 'row')}" if count else ""


def _counted(inputs: Sequence[StepInput]) -> dict[str, StepInput]:
    return {given.name: given for given in inputs if not given.is_ignored}


def _input_change(before: StepInput, now: StepInput, changes: str) -> str:
    was, is_now = before.shown, now.shown
    inside = f" ({changes})" if changes else ""
    if was != is_now:
        return f"input {now.name!r} changed from {was} to {is_now}{inside}"
    if now.kind in ("file", "folder"):
        return f"input {now.name!r}: the {now.kind} {is_now} changed{inside}"
    # A text or number that is too long to be shown whole, or that must not be shown.
    return f"input {now.name!r} changed" if now.kind == "scalar" else f"input {now.name!r}: content changed{inside}"


def _part_changes(was: Mapping[str, str], now: Mapping[str, str]) -> str:
    if was.get(_TYPE) != now.get(_TYPE):
        return ""  # how both are shown says it
    told = []
    if was.get(_ROWS) == now.get(_ROWS):  # with another number of rows every column is another
        told = [name for name in now if name in was and was[name] != now[name]]
        told = [f"{name} from {was[name]} to {now[name]}" if name == "dtype" else name for name in told]
    told += [f"{name} is new" for name in now if name not in was]
    told += [f"{name} is gone" for name in was if name not in now]
    if not told and list(was) != list(now):
        return "in another order"
    return _listed(told)


def _code_changes(was: Code, now: Code) -> str:
    """Which parts of the code are another. A part that came or went with what uses it is not named beside that."""
    if not was or not now:
        return ""
    if PYTHON in was and PYTHON in now and was[PYTHON] != now[PYTHON]:
        return f"Python changed from {was[PYTHON][1]} to {now[PYTHON][1]}"
    changed = [name for name in now if name in was and was[name][1] != now[name][1]]
    told = [_code_change(name, was[name][1], *now[name]) for name in changed]
    if not told:
        told += [f"it uses {name} now" for name in now if name not in was]
        told += [f"it uses {name} no more" for name in was if name not in now]
    return _listed(told)


def _code_change(name: str, was: str, user: str, now: str) -> str:
    kind, _, own = name.partition(" ")
    by = f" ({'called' if kind == 'function' else 'used'} by {user})" if user and not own.startswith(f"{user}.") else ""
    values = "" if "#" in was[:1] + now[:1] else f" from {was} to {now}"
    return f"{name}{by} changed{values}"


def _listed(told: Sequence[str]) -> str:
    more = f", and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return ", ".join(told[:_NAMED]) + more
