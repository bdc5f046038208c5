"""Values as text that is safe to show: numbers, durations, ages, and whatever names, params and tags hold."""

from __future__ import annotations

import math
from datetime import UTC, datetime

MISSING = "–"  # noqa: RUF001 - an en dash reads as "nothing here"; a hyphen reads as a minus


def clean(text: str, limit: int | None = 40, *, keep_lines: bool = False) -> str:
    r"""One harmless line: control, escape and bidirectional characters are spelled out, the end is cut at `limit`.

    >>> clean("two\nlines and \x1b[31mred")
    'two\\nlines and \\x1b[31mred'
    """
    kept = "\u200d\n\t" if keep_lines else "\u200d"  # the joiner holds composed emoji together
    # Cut before the loop as well, since a tag may be megabytes long.
    head = text if limit is None else text[: limit + 1]
    line = "".join(char if char.isprintable() or char in kept else ascii(char)[1:-1] for char in head)
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def format_value(value: object, digits: int = 4) -> str:
    """Any param, metric or tag as one short line; floats to `digits` significant digits, integers in full.

    >>> [format_value(v) for v in (0.00012345678, 12345.678, 1e-9, 3, True, float("nan"), [1, 2])]
    ['0.0001235', '12346', '1e-09', '3', 'True', 'nan', '[1, 2]']
    """
    if is_missing(value):
        return MISSING
    if isinstance(value, str):
        return clean(value)
    if is_float(value):
        return _format_float(float(value), digits)  # type: ignore[arg-type]  # numpy's floats are numbers too
    return clean(str(value))


def format_duration(seconds: float | None) -> str:
    """Seconds as people say them.

    >>> [format_duration(s) for s in (0.0123, 4.2, 63, 7384, 200000)]
    ['12 ms', '4.2s', '1m 03s', '2h 03m', '2d 07h']
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, big, small, part in ((86400, "d", "h", 3600), (3600, "h", "m", 60), (60, "m", "s", 1)):
        if whole >= unit:
            return f"{whole // unit}{big} {whole % unit // part:02d}{small}"
    return f"{whole}s"


def format_age(moment: datetime | None, now: datetime | None) -> str:
    """How long before `now` the moment was; the moment itself, in UTC, when it is older than a month or `now` is None.

    >>> format_age(datetime(2026, 1, 1, 11, 58, tzinfo=UTC), datetime(2026, 1, 1, 12, tzinfo=UTC))
    '2 min ago'
    """
    if moment is None or is_missing(moment):
        return MISSING
    age = (now - moment).total_seconds() if now is not None else math.inf
    if 0 <= age < 45:
        return "just now"
    for limit, unit, name in ((3570, 60, "min"), (84600, 3600, "h"), (30 * 86400, 86400, "days")):
        if 0 <= age < limit:
            count = max(1, round(age / unit))
            return f"{count} {'day' if name == 'days' and count == 1 else name} ago"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def is_missing(value: object) -> bool:
    """None, pandas' NA or NaT; NaN is a number that came out wrong, and is not missing."""
    return value is None or type(value).__name__ in {"NAType", "NaTType"}


def is_float(value: object) -> bool:
    """A float of Python or numpy, told without importing numpy."""
    return isinstance(value, float) or type(value).__name__ in {"float32", "float16"}


def is_nan(value: object) -> bool:
    return is_float(value) and math.isnan(value)  # type: ignore[arg-type]  # numpy's floats are numbers too


def _format_float(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if 10**digits <= abs(value) < 10**7 and digits == 4:
        return f"{value:.0f}"  # 12346 reads better than 1.235e+04
    return f"{value:.{digits}g}"
