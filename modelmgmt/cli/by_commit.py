"""modelmgmt by-commit: a metric by git commit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option


@click.command("by-commit")
@click.argument("metric")
@click.option(
    "--best", type=click.Choice(["max", "min"]), default="max", show_default=True, help="Which value is better."
)
@click.option(
    "--value", type=click.Choice(["last", "min", "max", "mean", "first"]), default="last", show_default=True,
    help="Which value of a run counts.",
)  # fmt: skip
@click.option("--filter", "filter_", default="", metavar="FILTER", help="Only runs for which this is true.")
@store_option
@json_option
def command(
    metric: str,
    best: Literal["max", "min"],
    value: Literal["last", "min", "max", "mean", "first"],
    filter_: str,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """Show the best value of METRIC at each git commit, to see which change moved it.

    \b
    modelmgmt by-commit acc
    modelmgmt by-commit val/loss --best min --value min
    """
    history = open_store(store_path).by_commit(metric, best=best, value=value, filter=filter_)
    if as_json:
        print_json(history.to_dict())
    else:
        from modelmgmt.view.comparisons import commits_table

        print_table(commits_table(history))
    return DONE
