"""`python -m benchmarks [name ...] [--json FILE] [--quick] [--folder FOLDER]`: measure, and print one table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import (
    bulk,
    code,
    compare,
    data,
    imports,
    log_call,
    many,
    models,
    objects,
    predictions,
    query,
    read,
    registry,
    runs,
    size,
    steps,
)
from benchmarks.measure import FULL, QUICK, Figure, Scale

SUBJECTS: dict[str, tuple[Callable[[Path, Scale], list[Figure]], str]] = {
    "imports": (imports.run, imports.BASELINE),
    "log_call": (log_call.run, log_call.BASELINE),
    "many": (many.run, many.BASELINE),
    "bulk": (bulk.run, bulk.BASELINE),
    "read": (read.run, read.BASELINE),
    "size": (size.run, size.BASELINE),
    "runs": (runs.run, runs.BASELINE),
    "code": (code.run, code.BASELINE),
    "objects": (objects.run, objects.BASELINE),
    "query": (query.run, query.BASELINE),
    "compare": (compare.run, compare.BASELINE),
    "steps": (steps.run, steps.BASELINE),
    "data": (data.run, data.BASELINE),
    "models": (models.run, models.BASELINE),
    "registry": (registry.run, registry.BASELINE),
    "predictions": (predictions.run, predictions.BASELINE),
}
WIDTH = 200  # columns, where the output is no terminal


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = _parser().parse_args(arguments)
    scale = QUICK if chosen.quick else FULL
    measured: dict[str, list[Figure]] = {}
    for name in dict.fromkeys(chosen.names or SUBJECTS):
        measure, _ = SUBJECTS[name]
        # A line, not a spinner: its thread would take turns with what is measured.
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        measured[name] = measure(chosen.folder, scale)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.print(_table(measured))
    for name in measured:
        console.print(f"[bold]{name}[/]: {SUBJECTS[name][1]}", highlight=False)
    console.print(", ".join(f"{what} {value}" for what, value in _machine().items()), style="dim", highlight=False)
    if chosen.json:
        figures = [
            {"subject": name, **asdict(f), "is_met": f.is_met} for name, group in measured.items() for f in group
        ]
        chosen.json.write_text(json.dumps({"machine": _machine(), "figures": figures}, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition(": ")[2])
    parser.add_argument("names", nargs="*", choices=[*SUBJECTS, []], metavar="name", help=", ".join(SUBJECTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file as well")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="the disk to measure; default %(default)s"
    )
    return parser


def _table(measured: dict[str, list[Figure]]) -> Table:
    table = Table("what", "measured ratio", "to reach", "met", "medians", title="modelmgmt / baseline")
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, figures in measured.items():
        table.add_section()
        for figure in figures:
            met = {True: "[green]yes[/]", False: "[red]no[/]", None: "-"}[figure.is_met]
            table.add_row(f"{name}: {figure.name}", _ratio(figure.ratio), _target(figure), met, figure.detail)
    return table


def _target(figure: Figure) -> str:
    if figure.target is None:
        return "-"
    return f"{'at least' if figure.better == 'higher' else 'at most'} {_ratio(figure.target)}"


def _ratio(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _machine() -> dict[str, str]:
    return {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}",
    }


if __name__ == "__main__":
    main()
