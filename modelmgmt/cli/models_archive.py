"""modelmgmt models archive: put a version out of use."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.models_list import describe_version
from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("archive")
@click.argument("version")
@click.option("--reason", default="", help="Why; kept with the event.")
@store_option
@json_option
def command(version: str, reason: str, store_path: Path | None, as_json: bool) -> int:
    """Move VERSION, as churn:3, to the last stage of its model. Nothing is deleted."""
    store = open_store(store_path)
    found = store.models.version(version)
    store.models[found.model].archive(found, reason=reason)
    if as_json:
        print_json(describe_version(found))
    else:
        click.echo(f"{found.reference} is in {found.stage}.")
    return DONE
