"""modelmgmt lineage: what something came from, and what it led to."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.base import Command, answer, open_store
from modelmgmt.view.text import clean


@click.command("lineage", cls=Command)
@click.argument("reference")
@click.option(
    "--direction", default="both", show_default=True, type=click.Choice(["both", "up", "down"]),
    help="Where from (up), what it led to (down).",
)  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="PATH", help="Also draw it: .png, .svg or .pdf."
)
def command(reference: str, direction: str, output: Path | None) -> int:
    """Show what REFERENCE came from, and what it led to.

    Follows data, code, environments, runs, versions, stages and predictions.

    \b
    modelmgmt lineage churn@production
    modelmgmt lineage run:calm-otter-17
    modelmgmt lineage data:customers:2 --direction down
    modelmgmt lineage code:1a2b3c
    modelmgmt lineage prediction:order-17
    """
    found = open_store().lineage(reference, direction=direction)  # type: ignore[arg-type]  # click has checked
    if output is not None:
        from modelmgmt.view.plots import save

        save(found.plot(), output)
    return answer(found.to_dict, lambda: [clean(line, 300) for line in found.lines()])
