"""modelmgmt audit: the log of decisions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.base import DONE, NO, Group, answer, open_store
from modelmgmt.errors import NotFoundError
from modelmgmt.models.registry.audit import verify_exported
from modelmgmt.store import anchors
from modelmgmt.store.names import counted


@click.group("audit", cls=Group, default="list")
def command() -> None:
    """The log of decisions: who decided what, when, where and why.

    Each event carries the hash of the one before, so that a change to the log shows.
    Without a command it lists the newest events, as 'audit list' does.

    \b
    modelmgmt audit list --model churn
    modelmgmt audit verify --anchor anchors.jsonl
    modelmgmt audit export events.jsonl
    modelmgmt audit anchor anchors.jsonl
    """


@command.command("list")
@click.option("--model", "-m", metavar="NAME", help="Only events of this model.")
@click.option("--kind", metavar="KIND", help="Only events of this kind: model, model.promoted, run.")
@click.option("--limit", "-n", default=50, show_default=True, type=click.IntRange(0), help="Show at most this many.")
def list_(model: str | None, kind: str | None, limit: int) -> int:
    """List the newest events, oldest first.

    Exits with 1 when there are none.
    """
    from modelmgmt.view.models import events_table

    found = open_store().audit.events(model=model, kind=kind)
    shown = found[max(0, len(found) - limit) :]
    return answer(
        lambda: [asdict(event) for event in shown],
        lambda: events_table(shown, total=len(found)),
        DONE if found else NO,
    )


@command.command("verify")
@click.option(
    "--anchor", type=click.Path(path_type=Path), metavar="FILE", help="Compare with the anchors in this file."
)
@click.option("--file", "exported", type=click.Path(path_type=Path), metavar="FILE", help="Verify an export instead.")
def verify(anchor: Path | None, exported: Path | None) -> int:
    """Check that no event was changed, removed or moved.

    Also names every row of the registry that contradicts the events. Without an
    anchor, removing the newest events does not show. Exits with 1 when something is
    wrong.
    """
    anchored = anchors.read_file(anchor) if anchor is not None else []
    if exported is not None:
        if not exported.is_file():
            raise NotFoundError(f"There is no file {exported}.")
        faults = verify_exported(exported.read_text("utf-8").splitlines(), anchored)
    else:
        faults = open_store().audit.verify(anchored=anchored)
    sound = "Every event is as it was written, and follows the one before."
    return answer(lambda: {"faults": faults}, lambda: faults or sound, NO if faults else DONE)


@command.command("export")
@click.argument("path", type=click.Path(path_type=Path))
def export(path: Path) -> int:
    """Write every event to the new file PATH, one JSON object a line.

    'modelmgmt audit verify --file PATH' verifies it without the store.
    """
    count = open_store().audit.export(path)
    return answer(lambda: {"path": str(path), "events": count}, lambda: f"{counted(count, 'event')} in {path}.")


@command.command("anchor")
@click.argument("path", required=False, type=click.Path(path_type=Path))
def anchor(path: Path | None) -> int:
    """Append the number and hash of the newest event to the file PATH.

    Without PATH it is printed. Keep it where nobody can change both
    it and the store.
    """
    audit = open_store().audit
    head = audit.anchor(path) if path is not None else audit.head
    return answer(lambda: asdict(head), lambda: head.line)
