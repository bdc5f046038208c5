"""modelmgmt predictions: what deployed models predicted - list, show one, delete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

import click

from modelmgmt.cli.base import DONE, NO, Group, Shown, answer, confirmed, open_store
from modelmgmt.store.names import counted
from modelmgmt.view.text import clean


@click.group("predictions", cls=Group)
def command() -> None:
    """Predictions that services logged with store.monitor(...).log(...).

    REFERENCE is churn (every version), churn:3, churn@production or run:ID/NAME. A
    time is written 2026-01-31T12:00:00Z.

    \b
    modelmgmt predictions list churn@production --since 2026-01-31T00:00:00Z
    modelmgmt predictions show order-17
    modelmgmt predictions delete churn --before 2025-01-01T00:00:00Z
    modelmgmt predictions delete churn --id order-17
    """


@command.command("list")
@click.argument("reference")
@click.option("--since", metavar="TIME", help="Only predictions at this time or later.")
@click.option("--until", metavar="TIME", help="Only predictions before this time.")
@click.option("--id", "ids", metavar="ID", multiple=True, help="Only the prediction with this id; may be repeated.")
@click.option(
    "--limit", "-n", default=20, show_default=True, type=click.IntRange(min=0), help="Show at most this many."
)
def list_(reference: str, since: str | None, until: str | None, ids: tuple[str, ...], limit: int) -> int:
    """List the newest predictions of REFERENCE, oldest first.

    Exits with 1 when there are none.
    """
    from modelmgmt.view.predictions import predictions_table

    found = open_store().monitor(reference).predictions(since, until, list(ids) or None)
    newest = found.newest(limit)
    return answer(
        lambda: [_described(one) for one in newest],
        lambda: predictions_table(newest._shown_frame(), total=len(found)),
        DONE if len(found) else NO,
    )


@command.command("show")
@click.argument("id_", metavar="ID")
def show(id_: str) -> int:
    """Show one prediction: inputs, output, and what made it."""
    from modelmgmt.view.models import facts_table

    found = open_store().predictions[id_]
    lineage = found.lineage()
    return answer(
        lambda: {**_described(found), "lineage": lineage.to_dict()},
        lambda: [facts_table(_described(found)), *(clean(line, 300) for line in lineage.lines())],
    )


@command.command("delete")
@click.argument("reference")
@click.option("--before", metavar="TIME", help="Delete the predictions before this time.")
@click.option("--id", "ids", metavar="ID", multiple=True, help="Delete the prediction with this id; may be repeated.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the log, which keeps no ids.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(reference: str, before: str | None, ids: tuple[str, ...], reason: str, yes: bool) -> int:
    """Delete predictions of REFERENCE, by time or by id.

    The log keeps that predictions were deleted. By id, nothing of them is left in the
    store's files; by time, 'modelmgmt store gc' frees the files later. Exits with 1
    when you say no, and when an id is not found.
    """
    if (before is None) == (not ids):
        raise click.UsageError("Say what to delete: either --before TIME or --id ID.")
    monitor = open_store().monitor(reference)
    meant = f"the prediction {clean(ids[0], 60)}" if len(ids) == 1 else f"the predictions with {len(ids):,} ids"
    what = f"what {monitor.name} predicted before {before}" if before else f"{meant} of {monitor.name}"
    if not yes and not confirmed(f"Delete {what} for good?"):
        return NO
    deleted = monitor.delete(before, ids=list(ids) or None, reason=reason)

    def shown() -> Iterator[Shown]:
        yield f"Deleted {counted(deleted.predictions, 'prediction')} of {monitor.name}."
        yield from (f"Not found: {clean(one, 300)}" for one in deleted.missing)
        yield from (f"Not touched, and may hold a copy: {clean(str(path), 300)}" for path in deleted.leftovers)

    return answer(lambda: {"monitor": monitor.name, **asdict(deleted)}, shown, NO if deleted.missing else DONE)


def _described(one: Any) -> dict[str, Any]:
    return {part.name: getattr(one, part.name) for part in fields(one) if not part.name.startswith("_")}
