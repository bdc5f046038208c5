"""Columns of runs as positions on an axis: numbers, numbers of many sizes, words, and what is missing. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Kind = Literal["linear", "log", "words"]

_LOG_FROM = 30  # times larger than the smallest
_MOST_WORDS = 24
OTHER = "other"
"""Where rare words stand together."""
_DRAWN_POWERS = 100  # of ten, up and down


@dataclass(frozen=True, eq=False)
class Scale:
    """One column. `places` are numbers, their logarithms (base 10), or 0, 1, 2, ... for words; NaN where one is missing."""

    name: str
    kind: Kind
    places: Floats
    words: tuple[str, ...]
    """What stands at 0, 1, 2, ..., for words."""
    missing: int

    @property
    def is_constant(self) -> bool:
        """Whether no two runs differ in it."""
        known = self.places[~_isnan(self.places)]
        return len(known) == 0 or (bool((known == known[0]).all()) and not self.missing)

    @property
    def is_extreme(self) -> bool:
        """Whether a logarithmic axis would reach numbers beyond what can be drawn."""
        import numpy as np

        return self.kind == "log" and bool(np.nanmax(np.abs(self.places)) > _DRAWN_POWERS)

    @property
    def is_whole(self) -> bool:
        """Whether it is made of whole numbers, such as depths and counts: between two there is nothing."""
        known = self.places[~_isnan(self.places)]
        return self.kind == "linear" and len(known) > 0 and bool((known == known.round()).all())

    def unit(self) -> Floats:
        """The places between 0 and 1; a column of one value in the middle."""
        import numpy as np

        known = self.places[~np.isnan(self.places)]
        if not len(known) or known.min() == known.max():
            return np.where(np.isnan(self.places), np.nan, 0.5)
        return np.asarray((self.places - known.min()) / (known.max() - known.min()))


def scale(name: str, cells: Sequence[Any], *, kind: Kind | None = None) -> Scale:
    """Cells, `(n_runs,)`, on an axis. Numbers get a logarithmic one when all are above zero, differ 30 times or more, and
    would be crowded at the low end of a plain one.

    Of more than 24 different words, the rarest stand together under "other". Infinities count as missing.

    >>> found = scale("lr", [0.001, 0.1, None])
    >>> found.kind, found.places.tolist(), found.missing
    ('log', [-3.0, -1.0, nan], 1)
    """
    import numpy as np

    numbers = as_numbers(cells)
    if numbers is None or kind == "words":
        return _words(name, cells)
    finite = numbers[np.isfinite(numbers)]
    places = np.where(np.isfinite(numbers), numbers, np.nan)
    missing = len(numbers) - len(finite)
    if kind == "log" or (kind is None and _are_of_many_sizes(finite)):
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.log10(places)
        places = np.where(np.isfinite(places), places, np.nan)
        return Scale(name, "log", places, (), int(np.isnan(places).sum()))
    return Scale(name, "linear", places, (), missing)


def _are_of_many_sizes(finite: Floats) -> bool:
    """All above zero, far apart, and crowded at the low end of an axis of plain numbers."""
    import numpy as np

    if not len(finite) or finite.min() <= 0 or finite.max() / _LOG_FROM < finite.min():
        return False
    distinct = np.unique(finite)
    middle = (np.median(distinct) - distinct[0]) / (distinct[-1] - distinct[0])
    return len(distinct) == 2 or bool(middle < 0.2)


def _words(name: str, cells: Sequence[Any]) -> Scale:
    import numpy as np

    texts = [None if is_nothing(cell) else _text(cell) for cell in cells]
    counts: dict[str, int] = {}
    for text in texts:
        if text is not None:
            counts[text] = counts.get(text, 0) + 1
    shown = sorted(counts, key=lambda text: (-counts[text], text))
    other = len(shown) > _MOST_WORDS
    shown = sorted(shown[: _MOST_WORDS - 1] if other else shown, key=_natural)
    words = (*shown, OTHER) if other else tuple(shown)
    place = {text: float(at) for at, text in enumerate(shown)}
    places = np.array([math.nan if text is None else place.get(text, float(len(shown))) for text in texts], np.float64)
    return Scale(name, "words", places, words, sum(text is None for text in texts))


def _natural(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _text(cell: Any) -> str:
    return f"{cell:g}" if isinstance(cell, float) and float(f"{cell:g}") == cell else str(cell)


def as_numbers(cells: Iterable[Any]) -> Floats | None:
    """As numbers, NaN where there is none; None when some are no numbers: words, true and false."""
    import numpy as np

    cells = list(cells)
    known = [cell for cell in cells if not is_nothing(cell)]
    if not known or not all(isinstance(cell, Real) and not isinstance(cell, (bool, np.bool_)) for cell in known):
        return None
    return np.array([math.nan if is_nothing(cell) else float(cell) for cell in cells])


def is_nothing(cell: Any) -> bool:
    """None, NaN, NA, NaT."""
    import pandas as pd

    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def _isnan(values: Floats) -> NDArray[np.bool_]:
    import numpy as np

    return np.isnan(values)
