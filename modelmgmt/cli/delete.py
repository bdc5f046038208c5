"""modelmgmt delete: delete a run for real."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, NO, confirmed, json_option, open_store, print_json, store_option


@click.command("delete")
@click.argument("run")
@click.option("--children", is_flag=True, help="Delete the runs below it, too.")
@click.option("--reason", default="", help="Kept with the event that remains.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def command(run: str, children: bool, reason: str, yes: bool, store_path: Path | None, as_json: bool) -> int:
    """Delete RUN: its rows, points, files that no other run shares, free pages and write-ahead log.

    An event remains that says so. A pinned or running run is refused. Exits with 1 when the answer is no.
    """
    store = open_store(store_path)
    found = store.run(run)
    if not yes and not confirmed(f"Delete {found.experiment}/{found.name} ({found.id}) for good?"):
        return NO
    deletion = store.delete(found, children=children, reason=reason)
    if as_json:
        print_json({**asdict(deletion), "leftovers": [str(path) for path in deletion.leftovers]})
        return DONE
    click.echo(f"Deleted {', '.join(deletion.runs)}: {len(deletion.objects)} objects, {deletion.bytes:,} bytes.")
    for path in deletion.leftovers:
        click.echo(f"Not touched, and may hold a copy: {path}")
    return DONE
