"""modelmgmt check: is everything as it was written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, store_option
from modelmgmt.errors import CorruptDataError
from modelmgmt.store.integrity import Problem
from modelmgmt.store.kernel import default_path
from modelmgmt.tracking.gone import declare_gone
from modelmgmt.tracking.repair import Repaired, rescue


@click.command("check")
@click.option("--repair", is_flag=True, help="Save all that is intact, set the rest aside, then check again.")
@click.option("--deep", is_flag=True, help="Hash every object again and recompute every summary.")
@click.option("--gone", metavar="HOST:PID", help="First take in what this process left: you know that it has ended.")
@store_option
@json_option
def command(repair: bool, deep: bool, gone: str | None, store_path: Path | None, as_json: bool) -> int:
    """Check the tables, every chunk's checksum, every journal, and that every artifact is there.

    Without --repair and --gone it changes nothing. Exits with 1 when something is damaged or missing, and names it.

    A process of another machine or container can not be seen to be dead from here: with --gone you say so. Its points are
    folded, its runs have crashed, and the turn that it had at a shared store is free.
    """
    path = store_path if store_path is not None else default_path()
    if gone is not None:
        _take_in(path, gone)
    if repair:
        repaired = _repaired(path)
        deep = True
        click.echo(f"{len(repaired.problems)} problems found; set aside in {path / 'set-aside'}.", err=True)
    problems = _problems(path, deep=deep)
    if as_json:
        print_json({"store": str(path), "deep": deep, "problems": [asdict(problem) for problem in problems]})
    elif not problems:
        click.echo(f"{path}: everything is as it was written{' (every object hashed)' if deep else ''}.")
    else:
        for problem in problems:
            click.echo(f"{problem.where}: {problem.what}")
        click.echo(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {path}.")
    return NO if problems else DONE


def _take_in(path: Path, gone: str) -> None:
    taken = declare_gone(path, gone)
    runs = f"; crashed: {', '.join(taken.runs)}" if taken.runs else ""
    turn = "; its turn is free" if taken.had_turn else ""
    click.echo(f"{taken.process}: {taken.journals} journals taken in{runs}{turn}.", err=True)


def _repaired(path: Path) -> Repaired:
    try:
        return open_store(path).repair()
    except CorruptDataError:
        rescued = rescue(path)
        open_store(path).repair()  # what only the rooms above the tables can say: the registry, predictions
        return rescued


def _problems(path: Path, *, deep: bool) -> list[Problem]:
    """That a store can not be opened is an answer, too."""
    try:
        return open_store(path).check(deep=deep)
    except CorruptDataError as error:
        return [Problem("store.db", str(error))]
