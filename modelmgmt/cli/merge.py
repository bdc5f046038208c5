"""modelmgmt merge: take in the runs of another store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("merge")
@click.argument("other", type=click.Path(path_type=Path))
@store_option
@json_option
def command(other: Path, store_path: Path | None, as_json: bool) -> int:
    """Take in every run of the store OTHER that is not here, what is new of those that are, and what they predicted.

    By content: merging again, or the other way round, gives the same.
    """
    merged = open_store(store_path).merge(other)
    if as_json:
        print_json(asdict(merged))
    else:
        runs = f"{len(merged.runs)} new runs, {len(merged.updated)} updated"
        rest = f"{merged.chunks} chunks, {merged.objects} objects and {merged.predictions:,} predictions"
        click.echo(f"{runs}, {rest}.")
        if merged.erased:
            click.echo(f"{merged.erased:,} predictions were erased there by their ids, and are now erased here.")
    return DONE
