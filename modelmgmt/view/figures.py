"""Where plots are drawn: figures with or without pyplot, Axes in and out, and text that any font can show."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from modelmgmt.errors import InvalidValueError
from modelmgmt.view.text import clean

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from numpy.typing import NDArray


def new_figure(size: tuple[float, float]) -> Figure:
    """A figure of (width, height) in inches, known to pyplot only where a user expects to find it there."""
    if _shows_pyplot():
        from matplotlib import pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    return detached_figure(size)


def detached_figure(size: tuple[float, float]) -> Figure:
    """A figure of (width, height) in inches that pyplot never sees: nothing to close, no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _shows_pyplot() -> bool:
    """A notebook shows the figures that pyplot knows; and who imported pyplot expects `plt.show()` to find them."""
    ipython = sys.modules.get("IPython")
    return "matplotlib.pyplot" in sys.modules or (ipython is not None and ipython.get_ipython() is not None)


def given_axes(ax: Any, count: int) -> list[Axes]:
    """The caller's Axes as a list. Raises InvalidValueError unless there are `count`."""
    import numpy as np

    given = list(np.ravel(np.array(ax, dtype=object)))
    if len(given) != count:
        raise InvalidValueError(f"{count} metrics need {count} Axes, and ax holds {len(given)}: give one per metric.")
    return given


def save(axes: Axes | Sequence[Axes] | NDArray[np.object_], path: str | Path, *, dpi: int = 160) -> Path:
    """Write the figure that `axes` belong to, in the format of the suffix (.png, .svg, .pdf), and return its path.

    The picture is complete before the file is opened, so a plot that cannot be drawn leaves no half a file. `dpi` is
    in dots per inch. Raises InvalidValueError for a suffix that cannot be drawn; the folder must exist.
    """
    import io

    target = Path(path)
    figure = figure_of(axes)
    suffix = target.suffix.lower().lstrip(".")
    known = figure.canvas.get_supported_filetypes()
    if suffix not in known:
        raise InvalidValueError(f"{target.name!r} ends in no picture format: use one of .{', .'.join(sorted(known))}.")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=dpi, bbox_inches="tight")
    target.write_bytes(buffer.getvalue())
    return target


def as_array(axes: Sequence[Axes]) -> NDArray[np.object_]:
    """An object array of shape (len(axes),)."""
    import numpy as np

    array = np.empty(len(axes), dtype=object)
    array[:] = axes
    return array


def figure_of(axes: Any) -> Figure:
    """The figure that an Axes, or the first of several, is part of."""
    import numpy as np

    first = np.ravel(np.array(axes, dtype=object))[0]
    return cast("Figure", first.get_figure(root=True))


def plain(legend: Legend) -> None:
    """A dollar sign in a run's name is a dollar sign, not the start of a formula."""
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_parse_math(False)


def printable(text: str, limit: int = 28) -> str:
    """One line, in characters that the figure's font has: a missing one would warn on every drawing."""
    line = clean(text, None)
    if len(line) > limit:
        # The ends are kept: names that begin alike differ in their last characters.
        line = f"{line[: limit // 2]}…{line[len(line) - limit // 2 + 1 :]}"
    if not line.isascii():
        line = "".join(char if char.isascii() or _has_glyph(char) else "\u25a1" for char in line)
    # matplotlib hides what starts with an underscore.
    return f" {line}" if line.startswith("_") else line


def _has_glyph(char: str) -> bool:
    from matplotlib import font_manager as fonts

    families = fonts.FontProperties().get_family()
    files = [fonts.findfont(fonts.FontProperties(family=[name])) for name in families]
    return any(fonts.get_font(file).get_char_index(ord(char)) for file in files)
