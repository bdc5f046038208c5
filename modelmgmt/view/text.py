"""Values as text that is safe to show: numbers, durations, ages, and whatever names, params and tags hold.

Two rules for numbers. A param is exact: `format_exact` gives the shortest text that reads back as the same value. A metric
is rounded by `format_value`; where values stand beside one another, `format_all` gives them as many digits as it takes
for different values to look different.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime

from modelmgmt.errors import printable

MISSING = "–"  # noqa: RUF001 - an en dash reads as "nothing here"; a hyphen reads as a minus
_DIGITS = (4, 6, 9)  # significant digits to try, before all of them


def clean(text: str, limit: int | None = 40, *, keep_lines: bool = False) -> str:
    r"""One harmless line: control, escape and bidirectional characters are spelled out, the end is cut at `limit`.

    >>> clean("two\nlines and \x1b[31mred")
    'two\\nlines and \\x1b[31mred'
    """
    kept = "\n\t" if keep_lines else ""
    # Cut before the loop as well, since a tag may be megabytes long.
    head = text if limit is None else text[: limit + 1]
    line = "".join(char if char in kept else ascii(char)[1:-1] if char in "\n\t" else char for char in printable(head))
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def format_value(value: object, digits: int = 4) -> str:
    """A metric, or another value to be looked at, as one short line; floats rounded to `digits` significant digits.

    >>> [format_value(v) for v in (0.00012345678, 12345.678, 1e-9, 3, True, float("nan"), [1, 2])]
    ['0.0001235', '12346', '1e-09', '3', 'True', 'nan', '[1, 2]']
    """
    if is_missing(value):
        return MISSING
    if isinstance(value, str):
        return clean(value)
    if is_float(value):
        return _rounded(float(value), digits)  # type: ignore[arg-type]  # numpy's floats are numbers too
    return _exact_number(value) or clean(str(value))


def format_exact(value: object, limit: int | None = 80) -> str:
    """A param as it was given: numbers in the shortest form that reads back as the same value, whatever their size.

    Text that would read as something else is in quotes. What is neither number nor text is cut at `limit` characters.

    >>> [format_exact(v) for v in (0.1, 1e22, -0.0, 10**25, True, None, "0.1", "adam", [0.1, "a"])]
    ['0.1', '1e+22', '-0.0', '10000000000000000000000000', 'True', 'None', "'0.1'", 'adam', "[0.1, 'a']"]
    """
    if value is None:
        return "None"
    if is_missing(value):
        return MISSING
    if isinstance(value, str):
        text = clean(value, limit)
        return f"'{text}'" if _reads_as_other(value) else text
    return _exact_number(value) or clean(str(value), limit)


def format_all(values: Sequence[object], *, is_exact: bool = False, fill: bool = False) -> list[str]:
    """Values that stand beside one another: with as many digits as it takes for different ones to look different.

    `is_exact` is for params, and gives all digits. `fill` keeps zeros at the end, so that a column of metrics lines up.

    >>> format_all([0.5, 0.25, 0.123456]), format_all([0.1, 0.10000001])
    (['0.5', '0.25', '0.1235'], ['0.1', '0.10000001'])
    """
    if is_exact:
        return told_apart(values, [format_exact(value) for value in values], lambda value: format_exact(value, None))
    wanted = len({identity(value) for value in values})
    numbers = [float(value) for value in values if is_float(value) and math.isfinite(value)]  # type: ignore[arg-type]
    if fill and all(number.is_integer() and abs(number) < 10**7 for number in numbers):
        # Counts stay whole.
        return [f"{value:.0f}" if is_float(value) else format_value(value) for value in values]
    cells: list[str] = []
    for digits in _DIGITS:
        cells = [_filled(value, digits) if fill else format_value(value, digits) for value in values]
        if len(set(cells)) >= wanted:
            return cells
    cells = [format_exact(value) if is_float(value) else cell for value, cell in zip(values, cells, strict=True)]
    return told_apart(values, cells, lambda value: clean(str(value), None))


def told_apart(values: Sequence[object], cells: Sequence[str], whole: Callable[[object], str]) -> list[str]:
    """The cells; those that are cut so that different values look alike begin shortly before the first difference.

    >>> told_apart(["x" * 50 + "1", "x" * 50 + "2"], ["xxx…", "xxx…"], str)
    ['…xxxxxxxx1', '…xxxxxxxx2']
    """
    alike: dict[str, dict[Hashable, str]] = {}
    for value, cell in zip(values, cells, strict=True):
        alike.setdefault(cell, {}).setdefault(identity(value), whole(value))
    result = list(cells)
    for place, (value, cell) in enumerate(zip(values, cells, strict=True)):
        texts = alike[cell].values()
        if len(texts) > 1:
            pairs = zip(min(texts), max(texts), strict=False)
            differ = next((at for at, (a, b) in enumerate(pairs) if a != b), min(map(len, texts)))
            start = max(0, differ - 8)
            result[place] = ("…" if start else "") + clean(alike[cell][identity(value)][start:])
    return result


def identity(value: object) -> Hashable:
    """Equal for values that a reader would call the same: 1 and 1.0 are, 1 and True and "1" are not; NaN is NaN."""
    from numbers import Number

    if value is None:
        return "None"
    if is_missing(value):
        return None
    if type(value) is not bool and isinstance(value, Number):
        return "nan" if is_nan(value) else ("number", value)
    return (type(value).__name__, value if isinstance(value, str) else repr(value))


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
    return isinstance(value, float) or type(value).__name__ in {"float32", "float16", "longdouble"}


def is_nan(value: object) -> bool:
    return is_float(value) and math.isnan(value)  # type: ignore[arg-type]  # numpy's floats are numbers too


def _exact_number(value: object) -> str:
    """All digits that the number's own type needs, 0.1 for a float32 of 0.1; empty for what is no number."""
    if isinstance(value, float):
        return float.__repr__(value)
    if is_float(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return int.__str__(value)
        except ValueError:
            return f"{value:#x}"  # Python writes no more than 4,300 decimal digits
    return ""


def _reads_as_other(text: str) -> bool:
    """Whether text, without quotes, would look like nothing, a number, a bool, a list or text in quotes."""
    if text != text.strip() or text in {"", MISSING, "-", "True", "False", "None", "NaN"} or text[0] in "'\"[{(":
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rounded(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if 10**digits <= abs(value) < 10**7 and digits == 4:
        return f"{value:.0f}"  # 12346 reads better than 1.235e+04
    return f"{value:.{digits}g}"


def _filled(value: object, digits: int) -> str:
    """With the zeros at the end, where the number is of an everyday size: 0.9300 over 0.9121."""
    if is_float(value) and 1e-4 <= abs(value) < 10**digits:  # type: ignore[arg-type]
        return f"{value:#.{digits}g}".removesuffix(".")
    return format_value(value, digits)
