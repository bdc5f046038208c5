"""modelmgmt runs: list runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option
from modelmgmt.front import Run, Runs


@click.command("runs")
@click.argument("filter", default="")
@click.option("--order-by", "-o", multiple=True, metavar="FIELD", help="Sort by a field; -FIELD sorts downwards.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(0), help="Show at most so many.")
@store_option
@json_option
def command(filter: str, order_by: tuple[str, ...], limit: int, store_path: Path | None, as_json: bool) -> int:  # noqa: A002
    """List the runs for which FILTER is true, the newest first.

    \b
    modelmgmt runs
    modelmgmt runs "params.lr < 0.01 and metrics.acc > 0.9" --order-by -metrics.acc
    modelmgmt runs "run.status = 'failed' and tags.team in ('a', 'b')"
    modelmgmt runs 'metrics.`val/loss`.min < 0.2' --json

    Exits with 1 when no run is found.
    """
    store = open_store(store_path)
    runs = Runs.query(store.kernel, Run, filter, list(order_by) or None)
    shown = runs[:limit]
    if as_json:
        print_json([describe(run) for run in shown])
    else:
        from modelmgmt.view.tables import runs_table

        print_table(runs_table(shown.to_frame(), now=datetime.now(UTC), max_rows=None, total=len(runs)))
    for sentence in runs.unknown:
        click.echo(sentence, err=True)
    return DONE if len(runs) else NO


def describe(run: Run) -> dict[str, Any]:
    """A run for JSON."""
    record = run.record
    return {
        "id": record.id,
        "name": record.name,
        "experiment": record.experiment,
        "status": record.true_status,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "duration_s": record.duration_s,
        "parent": record.parent,
        "group": record.group_name,
        "params": run.params,
        "metrics": run.metrics,
        "tags": run.tags,
    }
