"""modelmgmt backup: copy a store that is in use."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@store_option
@json_option
def command(folder: Path, store_path: Path | None, as_json: bool) -> int:
    """Copy the store, as of now, to a new FOLDER: a store of its own. Others may go on writing meanwhile."""
    path = open_store(store_path).backup(folder)
    if as_json:
        print_json({"path": str(path)})
    else:
        click.echo(f"{path}: a copy of the store; 'modelmgmt check --deep --store {path}' checks it.")
    return DONE
