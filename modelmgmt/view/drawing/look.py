"""How things look in every plot: colours, dashes, axes, what an unknown value looks like, hints for wrong names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from modelmgmt.store.names import among
from modelmgmt.tracking.scales import OTHER, is_nothing
from modelmgmt.view.figures import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

    from modelmgmt.tracking.curves import RunCollection
    from modelmgmt.tracking.scales import Scale

# Okabe and Ito, "Color universal design" (2008): told apart with any colour vision. Their yellow is too pale for a
# line on white, and their black would vanish on a dark figure: a grey stands in for both.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
UNKNOWN = "#9A9A9A"
COLOURMAP = "viridis"

__all__ = [
    "COLOURMAP",
    "DASHES",
    "PALETTE",
    "UNKNOWN",
    "dress",
    "dress_axis",
    "is_nothing",
    "is_number",
    "look_of",
    "short_words",
    "suggest",
    "whole_ticks",
]


def suggest(runs: RunCollection, prefix: str, key: str) -> str:
    """What to try instead of a name that no run has."""
    known = [str(name)[len(prefix) :] for name in runs.to_frame().columns if str(name).startswith(prefix)]
    if not known:
        return f"They have no {prefix[:-1]} at all."
    return f"They have: {among(key, sorted(known))}"


def look_of(place: int) -> dict[str, Any]:
    """Seven colours, then the same with dashes: 28 lines that can be told apart."""
    return {"color": PALETTE[place % len(PALETTE)], "linestyle": DASHES[place // len(PALETTE) % len(DASHES)]}


def is_number(value: object) -> bool:
    from numbers import Real

    return isinstance(value, Real) and not isinstance(value, bool)


def short_words(words: Sequence[str], limit: int) -> list[str]:
    """Words cut to `limit` characters so that they stay apart: what all begin and end with goes first.

    >>> short_words(["the data set of 2023, cleaned", "the data set of 2024, cleaned"], 12)
    ['…3…', '…4…']
    """
    shown = [printable(word, limit) for word in words]
    if len(set(shown)) == len(set(words)) or len(words) < 2:
        return shown
    named = [word for word in words if word != OTHER]
    head = _shared(named)
    tail = _shared([word[head:][::-1] for word in named])
    return [
        word if word == OTHER
        else printable(f"{'…' if head else ''}{word[head : len(word) - tail]}{'…' if tail else ''}", limit)
        for word in words
    ]  # fmt: skip


def _shared(words: Sequence[str]) -> int:
    """How many characters all begin with: as many as the first and the last of them in order do."""
    first, last = min(words), max(words)
    return next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def dress(axis: Axes, *, grid: Literal["x", "y", "both"] | None = "y") -> None:
    """The plain look of a figure of our own; Axes that were given keep theirs."""
    axis.spines[["top", "right"]].set_visible(False)
    if grid:
        axis.grid(visible=True, axis=grid, alpha=0.25, linewidth=0.7)
    axis.set_axisbelow(True)


def whole_ticks() -> Locator:
    """Where the ticks of whole numbers stand: at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10])


def dress_axis(axis: Axes, which: Literal["x", "y"], scale: Scale, label: str) -> None:
    """Name an axis and its ticks: words at their places, powers of ten for logarithms, whole numbers at whole numbers."""
    from matplotlib import ticker

    line = axis.xaxis if which == "x" else axis.yaxis
    (axis.set_xlabel if which == "x" else axis.set_ylabel)(printable(label, 60), parse_math=False)
    if scale.kind == "words":
        words = short_words(scale.words, 24)
        rotation = 40 if which == "x" and sum(map(len, words)) > 60 else 0
        line.set_ticks(range(len(words)), words)
        for text in line.get_ticklabels():
            text.set(
                parse_math=False, rotation=rotation, ha="right" if rotation else "center" if which == "x" else "right"
            )
    elif scale.is_whole:
        line.set_major_locator(whole_ticks())
    elif scale.is_extreme:
        line.set_major_formatter(lambda power, _: f"1e{power:.0f}")
    elif scale.kind == "log":
        (axis.set_xscale if which == "x" else axis.set_yscale)("log")
        line.set_major_formatter(ticker.LogFormatterSciNotation(minor_thresholds=(1.5, 0.4)))
