"""modelmgmt lineage: what something came from, and where it went."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option
from modelmgmt.view.text import clean


@click.command("lineage")
@click.argument("reference")
@click.option(
    "--direction", default="both", show_default=True, type=click.Choice(["both", "up", "down"]),
    help="What went in (up), what came of it (down).",
)  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), metavar="PATH", help="Draw it, too: .png, .svg or .pdf.")
@store_option
@json_option
def command(reference: str, direction: str, plot: Path | None, store_path: Path | None, as_json: bool) -> int:
    """Show what REFERENCE came from, and where it went: data, code, environment, runs, versions, stages, predictions.

    \b
    modelmgmt lineage churn@production
    modelmgmt lineage data:customers:2 --direction down
    modelmgmt lineage code:1a2b3c
    modelmgmt lineage prediction:order-17
    """
    found = open_store(store_path).lineage(reference, direction=direction)  # type: ignore[arg-type]  # click has checked
    if plot is not None:
        from modelmgmt.view.plots import save

        save(found.plot(), plot)
    if as_json:
        print_json(found.to_dict())
    else:
        for line in found.lines():
            click.echo(clean(line, 300))
    return DONE
