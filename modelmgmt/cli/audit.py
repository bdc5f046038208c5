"""modelmgmt audit: the log of decisions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.groups import Group
from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option
from modelmgmt.errors import NotFoundError
from modelmgmt.models.registry.audit import verify_exported
from modelmgmt.store import anchors


@click.group("audit", cls=Group)
def command() -> None:
    """Who decided what, when, on which host, from which code, and why: a log in which a change shows.

    \b
    modelmgmt audit list --model churn
    modelmgmt audit verify --anchor anchors.jsonl
    modelmgmt audit export events.jsonl
    modelmgmt audit anchor anchors.jsonl
    """


@command.command("list")
@click.option("--model", "-m", metavar="NAME", help="Only events about one model.")
@click.option("--kind", metavar="KIND", help="Only events whose kind begins so: model, model.promoted, run.")
@click.option("--limit", "-n", default=50, show_default=True, type=click.IntRange(0), help="The newest so many.")
@store_option
@json_option
def list_(model: str | None, kind: str | None, limit: int, store_path: Path | None, as_json: bool) -> int:
    """List events, oldest first."""
    found = open_store(store_path).audit.events(model=model, kind=kind)
    shown = found[max(0, len(found) - limit) :]
    if as_json:
        print_json([asdict(event) for event in shown])
    else:
        from modelmgmt.view.models import events_table

        print_table(events_table(shown, total=len(found)))
    return DONE if found else NO


@command.command("verify")
@click.option("--anchor", "anchor_file", type=click.Path(path_type=Path), metavar="FILE", help="Anchors to hold it to.")
@click.option("--git-notes", is_flag=True, help="Hold it to the anchors in the git notes of the working folder.")
@click.option("--file", "exported", type=click.Path(path_type=Path), metavar="FILE", help="Verify an export instead.")
@store_option
@json_option
def verify(
    anchor_file: Path | None, git_notes: bool, exported: Path | None, store_path: Path | None, as_json: bool
) -> int:
    """Name the first event that was changed, dropped or moved, and every row of the registry that contradicts them.

    Without an anchor, dropping the newest events does not show. Exits with 1 when something is wrong.
    """
    anchored = anchors.read_file(anchor_file) if anchor_file is not None else []
    if exported is not None:
        if git_notes:
            raise click.UsageError("--git-notes is for the log of a store, not for a file.")
        if not exported.is_file():
            raise NotFoundError(f"There is no file {exported}.")
        faults = verify_exported(exported.read_text("utf-8").splitlines(), anchored)
    else:
        audit = open_store(store_path).audit
        faults = audit.verify(anchored=anchored, git_notes=Path() if git_notes else None)
    if as_json:
        print_json({"faults": faults})
    else:
        for fault in faults or ["Every event is as it was written, and follows the one before."]:
            click.echo(fault)
    return NO if faults else DONE


@command.command("export")
@click.argument("path", type=click.Path(path_type=Path))
@store_option
@json_option
def export(path: Path, store_path: Path | None, as_json: bool) -> int:
    """Write every event to the new file PATH, one a line of JSON: all that it takes to verify them elsewhere."""
    count = open_store(store_path).audit.export(path)
    if as_json:
        print_json({"path": str(path), "events": count})
    else:
        click.echo(f"{count} events in {path}.")
    return DONE


@command.command("anchor")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--git-note", is_flag=True, help="In a git note of the commit that is checked out here.")
@store_option
@json_option
def anchor(path: Path | None, git_note: bool, store_path: Path | None, as_json: bool) -> int:
    """Append the newest event's number and hash to the file PATH, or to a git note; without either, print it.

    Keep it where nobody can change both it and the store.
    """
    audit = open_store(store_path).audit
    head = audit.anchor(path) if path is not None else audit.head
    if git_note:
        head = audit.anchor_in_git()
    if as_json:
        print_json(asdict(head))
    else:
        click.echo(head.line)
    return DONE
