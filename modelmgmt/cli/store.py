"""modelmgmt store: check the store, say what it holds, back it up, merge another, free space."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.base import DONE, NO, Group, answer, open_store, seconds, store_path
from modelmgmt.errors import CorruptDataError
from modelmgmt.store.integrity import Problem
from modelmgmt.store.names import counted
from modelmgmt.tracking.gone import declare_gone
from modelmgmt.tracking.repair import rescue


@click.group("store", cls=Group)
def command() -> None:
    """The store itself: is it sound, what does it hold, back it up.

    \b
    modelmgmt store check --deep
    modelmgmt store stats
    modelmgmt store backup /mnt/backups/monday
    modelmgmt store merge /mnt/laptop/.modelmgmt
    modelmgmt store gc --grace 1d
    """


@command.command("check")
@click.option("--deep", is_flag=True, help="Also hash every object and recompute every summary.")
@click.option("--repair", is_flag=True, help="Save what is intact, set the rest aside, then check.")
@click.option("--gone", metavar="HOST:PID", help="First declare that this process has ended.")
def check(repair: bool, deep: bool, gone: str | None) -> int:
    """Check that everything is as it was written.

    Checks the tables, the checksum of every chunk, every journal, and that every
    artifact is there. Without --repair and --gone it changes nothing. Exits with 1
    when something is damaged or missing, and names it.

    Whether a process on another machine or in another container has ended cannot be
    seen from here. With --gone you say so: its points are kept, its runs become
    'crashed', and its lock on a shared store is released.
    """
    path = Path(store_path())
    if gone is not None:
        taken = declare_gone(path, gone)
        runs = f"; crashed: {', '.join(taken.runs)}" if taken.runs else ""
        lock = "; its lock is released" if taken.had_turn else ""
        click.echo(f"{taken.process}: {counted(taken.journals, 'journal')} read{runs}{lock}.", err=True)
    if repair:
        try:
            repaired = open_store().repair()
        except CorruptDataError:
            repaired = rescue(path)
            open_store().repair()  # what only the rooms above the tables can say: the registry, predictions
        deep = True
        click.echo(f"{counted(len(repaired.problems), 'problem')} found; set aside in {path / 'set-aside'}.", err=True)
    try:
        problems = open_store().check(deep=deep)
    except CorruptDataError as error:  # that a store cannot be opened is an answer, too
        problems = [Problem("store.db", str(error))]
    count = f"{counted(len(problems), 'problem')} in {path}."
    return answer(
        lambda: {"store": str(path), "deep": deep, "problems": [asdict(problem) for problem in problems]},
        lambda: (
            [*(f"{problem.where}: {problem.what}" for problem in problems), count]
            if problems
            else f"{path}: everything is as it was written{' (every object hashed)' if deep else ''}."
        ),
        NO if problems else DONE,
    )


@command.command("stats")
def stats() -> int:
    """Show how many bytes the store holds of each kind, and how many points were lost."""
    store = open_store()
    found, is_shared = store.stats(), store._kernel.is_shared
    counts = {
        **{f"{name.replace('_', ' ')} bytes": getattr(found, f"{name}_bytes")
           for name in ("journal", "table", "object", "temporary", "set_aside")},
        "objects": found.object_files, "journal files": found.journal_files,
        "folded records": found.folded_records, "lost points": found.lost_points,
    }  # fmt: skip
    return answer(
        lambda: {"store": str(store.path), "is_shared": is_shared, **asdict(found)},
        lambda: [
            f"{store.path}{' (shared)' if is_shared else ''}",
            *(f"  {name:18}{count:>18,}" for name, count in counts.items()),
        ],
    )


@command.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
def backup(folder: Path) -> int:
    """Copy the store, as it is now, to the new FOLDER.

    The copy is a store of its own. Other processes may go on writing meanwhile.
    """
    path = open_store().backup(folder)
    return answer(
        lambda: {"path": str(path)},
        lambda: f"{path}: a copy of the store; 'modelmgmt store check --deep --store {path}' checks it.",
    )


@command.command("merge")
@click.argument("other", type=click.Path(path_type=Path))
def merge(other: Path) -> int:
    """Add what the store OTHER has to this one: runs, models, predictions.

    Runs that are here already get what is new. Merging again changes nothing, and
    merging the other way round gives the same.
    """
    merged = open_store().merge(other)
    runs = f"{counted(len(merged.runs), 'new run')}, {len(merged.updated):,} updated"
    rest = f"{counted(merged.chunks, 'chunk')}, {counted(merged.objects, 'object')}"
    lines = [f"{runs}, {rest}, {counted(merged.predictions, 'prediction')}."]
    if merged.erased:
        lines.append(f"Deleted {counted(merged.erased, 'prediction')}, by id, as in the other store.")
    return answer(lambda: asdict(merged), lambda: lines)


@command.command("gc")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@click.option(
    "--grace",
    metavar="DURATION",
    callback=seconds,
    default="1h",
    show_default=True,
    help="Keep what is younger: 90s, 15m, 1h, 7d.",
)
def gc(dry_run: bool, grace: float) -> int:
    """Remove objects that nothing refers to, and temporary files of killed processes.

    Safe while other processes write to the store.
    """
    collected = open_store().gc(grace_s=grace, dry_run=dry_run)
    count, files = len(collected.digests), collected.temporary_files
    return answer(
        lambda: {**asdict(collected), "dry_run": dry_run},
        lambda: (
            f"{'Would remove' if dry_run else 'Removed'} {counted(count, 'object')} ({collected.bytes:,} bytes) "
            f"and {counted(files, 'temporary file')}."
        ),
    )
