"""modelmgmt gc: free what nothing names."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, remove nothing.")
@click.option(
    "--grace-s",
    default=3600.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Keep what is younger than so many seconds.",
)
@store_option
@json_option
def command(dry_run: bool, grace_s: float, store_path: Path | None, as_json: bool) -> int:
    """Remove objects that no run names, and temporary files of processes that were killed.

    Safe while others write to the store.
    """
    collected = open_store(store_path).gc(grace_s=grace_s, dry_run=dry_run)
    if as_json:
        print_json({**asdict(collected), "dry_run": dry_run})
    else:
        verb = "Would remove" if dry_run else "Removed"
        count, files = len(collected.digests), collected.temporary_files
        click.echo(f"{verb} {count} objects ({collected.bytes:,} bytes) and {files} temporary files.")
    return DONE
