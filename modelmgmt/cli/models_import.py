"""modelmgmt models import: take in a bundle of another store."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, print_json, store_option
from modelmgmt.front import Store


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--name", metavar="MODEL", help="Of which model it becomes a version; by default the one it was exported from."
)
@store_option
@json_option
def command(path: Path, name: str | None, store_path: Path | None, as_json: bool) -> int:
    """Take in the bundle PATH as the next version of a model. Nothing of it is executed. Makes the store if need be."""
    version = Store(store_path).import_model(path, name)
    if as_json:
        print_json({"reference": version.reference, "digest": version.digest, "format": version.format})
    else:
        click.echo(f"{version.reference}, in {version.stage}: {version.format}, digest {version.digest[:16]}...")
    return DONE
