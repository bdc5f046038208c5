"""modelmgmt stats: what a store holds, and what could not be kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option

_SIZES = ("journal", "table", "object", "temporary", "set_aside")


@click.command("stats")
@store_option
@json_option
def command(store_path: Path | None, as_json: bool) -> int:
    """Show how many bytes a store holds of each kind, how many points were folded, and how many were lost.

    The times that Store.stats() has are those of the process that asks, so that they say little here.
    """
    store = open_store(store_path)
    found = store.stats()
    if as_json:
        print_json({"store": str(store.path), "is_shared": store.kernel.is_shared, **asdict(found)})
        return DONE
    click.echo(f"{store.path}{' (shared)' if store.kernel.is_shared else ''}")
    for name in _SIZES:
        click.echo(f"  {name.replace('_', ' ') + ' bytes':18}{getattr(found, name + '_bytes'):>18,}")
    click.echo(f"  {'objects':18}{found.object_files:>18,}")
    click.echo(f"  {'journal files':18}{found.journal_files:>18,}")
    click.echo(f"  {'folded records':18}{found.folded_records:>18,}")
    click.echo(f"  {'lost points':18}{found.lost_points:>18,}")
    return DONE
