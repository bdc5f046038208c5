"""modelmgmt models compare: what differs between two versions."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option


@click.command("compare")
@click.argument("model")
@click.argument("a")
@click.argument("b")
@click.option("--all", "all_rows", is_flag=True, help="Show what is the same, too.")
@store_option
@json_option
def command(model: str, a: str, b: str, all_rows: bool, store_path: Path | None, as_json: bool) -> int:
    """Show what differs between the versions A and B of MODEL, each a number, a stage or an alias.

    \b
    modelmgmt models compare churn 3 production
    """
    comparison = open_store(store_path).models[model].compare(which(a), which(b))
    if as_json:
        print_json(comparison.to_dict())
    else:
        from modelmgmt.view.details import differences_table

        print_table(differences_table(comparison, all_rows=all_rows))
    return DONE


def which(text: str) -> int | str:
    """A number, or a label."""
    return int(text) if text.isdecimal() else text
