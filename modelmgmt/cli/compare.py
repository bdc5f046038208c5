"""modelmgmt compare: what differs between runs."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option
from modelmgmt.errors import NotFoundError
from modelmgmt.front import Comparison


@click.command("compare")
@click.argument("runs", nargs=-1, required=True)
@click.option("--all", "all_rows", is_flag=True, help="Show what is the same, too.")
@click.option("--code", is_flag=True, help="Print how the code differs, as a unified diff, after the table.")
@store_option
@json_option
def command(runs: tuple[str, ...], all_rows: bool, code: bool, store_path: Path | None, as_json: bool) -> int:
    """Show what differs between two or more RUNS: params, metrics, tags, artifacts, code, data, environment.

    \b
    modelmgmt compare calm-otter-17 keen-fox-18
    modelmgmt compare calm-otter-17 keen-fox-18 --code
    modelmgmt compare calm-otter-17 keen-fox-18 --json
    """
    comparison = open_store(store_path).compare(*runs)
    if as_json:
        diffs = {"code_diff": _diffs(comparison)} if code else {}
        print_json({**comparison.to_dict(), **diffs})
        return DONE
    from modelmgmt.view.comparisons import comparison_tables

    for table in comparison_tables(comparison, all_rows=all_rows):
        print_table(table)
    if code:
        for text in _diffs(comparison).values():
            click.echo(text.encode("utf-8", "backslashreplace").decode())
    return DONE


def _diffs(comparison: Comparison) -> dict[str, str]:
    """By the id of the run that is compared with the first one."""
    found = {}
    for place, run in enumerate(comparison.ids[1:], start=1):
        try:
            found[run] = comparison.code_diff(place)
        except NotFoundError as error:
            found[run] = str(error)
    return found
