"""modelmgmt check: is everything as it was written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, store_option


@click.command("check")
@click.option("--repair", is_flag=True, help="Save all that is intact, set the rest aside, then check again.")
@click.option("--deep", is_flag=True, help="Hash every object again and recompute every summary.")
@store_option
@json_option
def command(repair: bool, deep: bool, store_path: Path | None, as_json: bool) -> int:
    """Check the tables, every chunk's checksum, every journal, and that every artifact is there.

    Without --repair it changes nothing. Exits with 1 when something is damaged or missing, and names it.
    """
    store = open_store(store_path)
    if repair:
        repaired = store.repair()
        deep = True
        click.echo(f"{len(repaired.problems)} problems found; set aside in {store.path / 'set-aside'}.", err=True)
    problems = store.check(deep=deep)
    if as_json:
        print_json({"store": str(store.path), "deep": deep, "problems": [asdict(problem) for problem in problems]})
    elif not problems:
        click.echo(f"{store.path}: everything is as it was written{' (every object hashed)' if deep else ''}.")
    else:
        for problem in problems:
            click.echo(f"{problem.where}: {problem.what}")
        click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {store.path}.")
    return NO if problems else DONE
