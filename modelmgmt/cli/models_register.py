"""modelmgmt models register: make a version of a model that a run has logged."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.models_list import describe_version, pair
from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("register")
@click.argument("model")
@click.argument("reference")
@click.option("--description", default="", help="What it is.")
@click.option("--tag", "-t", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of the version.")
@store_option
@json_option
def command(
    model: str, reference: str, description: str, tags: tuple[str, ...], store_path: Path | None, as_json: bool
) -> int:
    """Make the next version of MODEL from REFERENCE, as run:ID/NAME; the model is made when it is not there yet."""
    store = open_store(store_path)
    version = store.models.register_from(reference, model, description=description, tags=dict(map(pair, tags)))
    if as_json:
        print_json(describe_version(version))
    else:
        click.echo(f"{version.reference} is in {version.stage}.")
    return DONE
