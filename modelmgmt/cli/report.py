"""modelmgmt report: an HTML page of runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, store_option


@click.command("report")
@click.argument("filter", default="")
@click.option("--output", "-o", default="report.html", show_default=True, type=click.Path(path_type=Path))
@click.option("--metric", "-m", "metrics", multiple=True, metavar="KEY", help="Draw only these metrics.")
@click.option("--title", default="Runs", show_default=True)
@click.option("--limit", "-n", default=100, show_default=True, type=click.IntRange(1), help="At most so many runs.")
@store_option
@json_option
def command(
    filter: str,  # noqa: A002
    output: Path,
    metrics: tuple[str, ...],
    title: str,
    limit: int,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """Write one self-contained HTML file about the runs for which FILTER is true: table, curves, failures.

    Exits with 1 when no run is found.
    """
    from modelmgmt.view.report import write_report

    runs = open_store(store_path).runs(filter, limit=limit)
    if not len(runs):
        click.echo("No run is found: nothing was written.", err=True)
        return NO
    path = write_report(runs, output, metrics=list(metrics) or None, title=title, now=datetime.now(UTC))
    if as_json:
        print_json({"path": str(path), "runs": runs.ids})
    else:
        click.echo(f"{path}: {len(runs)} runs")
    return DONE
