"""modelmgmt models tag: tags and descriptions of a model or a version."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.models_list import pair
from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("tag")
@click.argument("reference")
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", "-r", multiple=True, metavar="KEY", help="Remove a tag.")
@click.option("--describe", metavar="TEXT", help="Set the description.")
@store_option
@json_option
def command(
    reference: str,
    tags: tuple[str, ...],
    remove: tuple[str, ...],
    describe: str | None,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """Set tags of a model, as churn, or of a version, as churn:3; show them when there is nothing to set."""
    store = open_store(store_path)
    found = store.models[reference] if reference in store.models else store.models.version(reference)
    if tags:
        found.set_tags(dict(map(pair, tags)))
    for key in remove:
        found.remove_tag(key)
    if describe is not None:
        found.describe(describe)
    if as_json:
        print_json({"reference": reference, "tags": found.tags, "description": found.description})
    else:
        for key, value in found.tags.items():
            click.echo(f"{key}={value}")
    return DONE
