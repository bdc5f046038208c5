"""One self-contained HTML page about a collection of runs: to mail, to print, to keep beside the model.

Writes one file, where it is told to. No script and nothing from elsewhere: a strict content policy in the page says so
to the browser as well.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from modelmgmt.errors import InvalidValueError, NotFoundError
from modelmgmt.store.names import among, counted
from modelmgmt.tracking import curves as data
from modelmgmt.tracking.curves import RunCollection
from modelmgmt.view.drawing import lines as plots
from modelmgmt.view.tables import Column, is_alarm, runs_table
from modelmgmt.view.text import clean, format_age, format_duration, format_value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from modelmgmt.tracking.run import Run
    from modelmgmt.view.pictures import Panel

__all__ = ["write_report"]

_ROWS = 1000
_PANELS = 24
_LINES = 20
_FAILURES = 100
_ERROR_CHARS = 20_000
_INK = {"light": ("#1c2024", "#ffffff"), "dark": ("#e6e8ea", "#16191d")}


@dataclass(frozen=True, slots=True)
class _Plot:
    """A drawing of one metric, for a light and for a dark page, as data URIs."""

    key: str
    description: str
    light: str
    dark: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Failure:
    name: str
    run: str
    status: str
    error: str


def write_report(
    runs: RunCollection | Run | Sequence[Run],
    path: str | Path,
    *,
    metrics: Sequence[str] | None = None,
    title: str = "Runs",
    best: tuple[str, str] | None = None,
    smoothing: float = 0.0,
    now: datetime | None = None,
) -> Path:
    """Write the page about `runs` to `path`, whole or not at all, and return the path; its folder is made.

    The page has a table of the runs with the params that differ and the metrics, what is the same in all, a curve of
    every metric that has more than one point, the images and figures that were logged, and the runs that failed, with
    their error. `metrics` limits the table and the curves to those keys. `best` is `(run id, reason)`: that run is
    marked, and the reason is printed; which run is best is never guessed. `now`, with a time zone, is the time of
    writing.

    At most 1,000 runs and 24 metrics are shown, and of images and figures 24 names, 24 of each and 16 MiB in all; the
    page says what it leaves out. An image of more than 256 KiB is shown smaller, and a figure that is a page, as
    plotly's, is a link that saves it. The file is written beside `path`, synced, and renamed: it survives power loss.

    Raises NotFoundError for a metric that no run has or a best run that is not among the runs; InvalidValueError for
    a `now` without a time zone or an impossible `smoothing`.
    """
    now = datetime.now(UTC) if now is None else now
    if now.tzinfo is None:
        raise InvalidValueError(f"now={now.isoformat()} has no time zone: pass datetime.now(UTC).")
    from modelmgmt.tracking.runs import collection

    runs = collection(runs)
    found, left_out = _frame(runs)
    frame = _only(found, metrics)
    keys = [str(name).removeprefix("metrics.") for name in frame.columns if str(name).startswith("metrics.")]
    if best is not None and best[0] not in frame.index:
        raise NotFoundError(f"The best run {best[0]!r} is not one of the {len(frame)} runs in this report.")
    page = _page(runs, frame, keys, left_out, title=title, best=best, now=now, smoothing=smoothing)
    return _write(Path(path), page)


def _frame(runs: RunCollection) -> tuple[pd.DataFrame, list[str]]:
    """The frame, and a sentence for each run that is damaged."""
    from modelmgmt.tracking.runs import Runs

    if not isinstance(runs, Runs):
        return runs.to_frame(), []
    frame, _, left_out = runs._shown_frame([])
    return frame, left_out


def _only(frame: pd.DataFrame, metrics: Sequence[str] | None) -> pd.DataFrame:
    """The frame with the wanted metrics, in the wanted order."""
    if metrics is None:
        return frame
    there = [str(name) for name in frame.columns if str(name).startswith("metrics.")]
    for key in metrics:
        if f"metrics.{key}" not in there:
            known = among(key, (name.removeprefix("metrics.") for name in there), 20)
            raise NotFoundError(f"No run in this report has a metric {key!r}. Their metrics: {known}")
    others = [name for name in frame.columns if str(name) not in there]
    return frame[[*others, *(f"metrics.{key}" for key in metrics)]]


def _page(
    runs: RunCollection,
    frame: pd.DataFrame,
    keys: Sequence[str],
    left_out: list[str],
    *,
    title: str,
    best: tuple[str, str] | None,
    now: datetime,
    smoothing: float,
) -> str:
    import jinja2

    table = runs_table(frame, now=now, max_rows=_ROWS)
    drawn = _plots(runs, keys, best[0] if best else None, smoothing, left_out) if len(runs) else []
    panels, unseen = _pictures(runs)
    failures = _failures(runs)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        title=clean(title, 200),
        written=f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        written_iso=now.astimezone(UTC).isoformat(timespec="seconds"),
        facts=_facts(frame, now),
        best=_best(frame, best),
        best_row=list(frame.index).index(best[0]) if best else -1,
        table=table,
        groups=_groups(table.columns),
        ids=[clean(str(run)) for run in frame.index[: len(table.rows)]],
        notes=[*(note for note in table.note.split("\n") if note), *(clean(note, 500) for note in left_out)],
        is_alarm=is_alarm,
        plots=drawn,
        left_out=max(0, len(keys) - _PANELS) if len(drawn) == _PANELS else 0,
        smoothed=smoothing > 0,
        panels=panels,
        unseen=unseen,
        of_many=len(runs) > 1,
        failures=failures[:_FAILURES],
        failures_left_out=max(0, len(failures) - _FAILURES),
        statuses=("running", "finished", "failed", "interrupted", "crashed"),
    )


def _facts(frame: pd.DataFrame, now: datetime) -> list[tuple[str, str]]:
    """The line of small facts under the title: (what, how much)."""
    counts = frame["status"].value_counts().to_dict() if len(frame) else {}
    facts = [("runs", f"{len(frame):,}"), *((clean(str(status)), f"{count:,}") for status, count in counts.items())]
    if len(frame):
        diverged = int((frame["diverged"] != "").sum()) if "diverged" in frame.columns else 0
        facts += [("diverged", f"{diverged:,}")] if diverged else []
        facts.append(("first started", format_age(frame["started_at"].min(), now)))
        facts.append(("time spent", format_duration(float(frame["duration_s"].astype("float64").sum()))))
    return facts


def _best(frame: pd.DataFrame, best: tuple[str, str] | None) -> dict[str, str] | None:
    if best is None:
        return None
    run, reason = best
    return {"run": clean(run), "name": clean(str(frame.loc[run, "name"]), 200), "reason": clean(reason, 500)}


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Neighbouring columns of one group, for the heading above them: (group, how many columns)."""
    groups: list[tuple[str, int]] = []
    for column in columns:
        if groups and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    return groups


def _pictures(runs: RunCollection) -> tuple[list[Panel], list[str]]:
    from modelmgmt.tracking.runs import Runs
    from modelmgmt.view.pictures import panels_of

    return panels_of(runs[:_ROWS]) if isinstance(runs, Runs) else ([], [])


def _failures(runs: RunCollection) -> list[_Failure]:
    failures = []
    for run in runs:
        if run.status in {"failed", "interrupted", "crashed"}:
            error = str(getattr(run, "error", None) or "")
            cut = f"{error[:_ERROR_CHARS]}\n… cut here" if len(error) > _ERROR_CHARS else error
            text = clean(cut, None, keep_lines=True)
            failures.append(_Failure(clean(run.name, 200), clean(run.id), clean(run.status), text))
    return failures


# ------------------------------------------------------------------------------------------- pictures


def _plots(
    runs: RunCollection, keys: Sequence[str], best: str | None, smoothing: float, left_out: list[str]
) -> list[_Plot]:
    """A picture of each metric with more than one point in some run, in both inks; `left_out` gets what is damaged."""
    panels: list[plots.Panel] = []
    for key in keys:
        panel = _panel(runs, key, best, smoothing, left_out) if len(panels) < _PANELS else None
        if panel is not None:
            panels.append(panel)
    drawn = plots.figures(runs, panels, smoothed=smoothing > 0)
    return [_plot(panel, figure) for panel, figure in zip(panels, drawn, strict=True)]


def _panel(
    runs: RunCollection, key: str, best: str | None, smoothing: float, left_out: list[str]
) -> plots.Panel | None:
    """The first runs, and the best one among them, thinned at once: a report may hold millions of points."""
    from modelmgmt.tracking.runs import Runs

    history, damaged = runs._history(key) if isinstance(runs, Runs) else (runs.history(key), [])
    left_out += damaged
    lines = data.curves(history, smoothing=smoothing)
    if all(len(line) < 2 for line in lines):
        return None
    chosen = lines[:_LINES]
    if best is not None and best not in {line.run for line in chosen}:
        chosen = [*chosen[: _LINES - 1], *(line for line in lines if line.run == best)]
    return plots.Panel(key, [data.thin(line, 2000) for line in chosen], len(lines))


def _plot(panel: plots.Panel, figure: Figure) -> _Plot:
    key = clean(panel.key, 200)
    low, high = _range(panel)
    runs = counted(len(panel.lines), "run")
    steps = f"steps {min(int(line.x[0]) for line in panel.lines)} to {max(int(line.x[-1]) for line in panel.lines)}"
    description = f"Line chart of {key} by step: {runs}, {steps}, values from {low} to {high}."
    width, height = (round(size * 100) for size in figure.get_size_inches())
    return _Plot(key, description, _picture(figure, *_INK["light"]), _picture(figure, *_INK["dark"]), width, height)


def _range(panel: plots.Panel) -> tuple[str, str]:
    import numpy as np

    values = np.concatenate([line.raw for line in panel.lines])
    finite = values[np.isfinite(values)]
    return (format_value(float(finite.min())), format_value(float(finite.max()))) if len(finite) else ("nan", "nan")


def _picture(figure: Figure, ink: str, paper: str) -> str:
    """The figure in these colours, as a data URI."""
    import base64
    import io

    figure.set_facecolor(paper)
    for axis in figure.axes:
        axis.set_facecolor(paper)
        axis.tick_params(which="both", color=ink, labelcolor=ink)
        axis.spines[:].set_color(ink)
        texts = [axis.xaxis.label, axis.yaxis.label, axis.xaxis.get_offset_text(), axis.yaxis.get_offset_text()]
        for text in [*texts, *axis.texts]:
            text.set_color(ink)
        axis.set_title(axis.get_title(loc="left"), loc="left", color=ink, fontsize="medium")
    for legend in figure.legends:
        for text in (*legend.get_texts(), legend.get_title()):
            text.set_color(ink)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


# ------------------------------------------------------------------------------------------- the file


def _write(path: Path, page: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(page.encode("utf-8", errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


def _sync_folder(folder: Path) -> None:
    """So that the rename itself survives power loss; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def __dir__() -> list[str]:
    return __all__
