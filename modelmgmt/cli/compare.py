"""modelmgmt compare: what differs between runs."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option


@click.command("compare")
@click.argument("runs", nargs=-1, required=True)
@click.option("--all", "all_rows", is_flag=True, help="Show what is the same, too.")
@store_option
@json_option
def command(runs: tuple[str, ...], all_rows: bool, store_path: Path | None, as_json: bool) -> int:
    """Show what differs between two or more RUNS: params, metrics, tags, artifacts.

    \b
    modelmgmt compare calm-otter-17 keen-fox-18
    modelmgmt compare calm-otter-17 keen-fox-18 --json
    """
    comparison = open_store(store_path).compare(*runs)
    if as_json:
        print_json(comparison.to_dict())
    else:
        from modelmgmt.view.details import differences_table

        print_table(differences_table(comparison, all_rows=all_rows))
    return DONE
