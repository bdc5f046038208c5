"""modelmgmt predictions: what deployed models predicted - list, show one, delete."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelmgmt.cli.options import DONE, NO, confirmed, json_option, open_store, print_json, print_table, store_option
from modelmgmt.store.times import to_iso, to_us
from modelmgmt.view.text import clean

if TYPE_CHECKING:
    from modelmgmt.observe.deletion import DeletedPredictions


@click.group("predictions")
def command() -> None:
    """Predictions that services logged with store.monitor(...).log(...).

    \b
    modelmgmt predictions list churn@production --since 2026-01-31T00:00:00Z
    modelmgmt predictions show order-17
    modelmgmt predictions delete churn --before 2025-01-01T00:00:00Z
    modelmgmt predictions delete churn --id order-17
    """


@command.command("list")
@click.argument("reference")
@click.option("--since", metavar="TIME", help="Not before this time, as 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Before this time.")
@click.option("--id", "ids", metavar="ID", multiple=True, help="Only of this id; may be repeated.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="The newest so many.")
@store_option
@json_option
def list_(
    reference: str,
    since: str | None,
    until: str | None,
    ids: tuple[str, ...],
    limit: int,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """List what REFERENCE (churn@production, churn:3, churn, run:ID/NAME) predicted; exit code 1 when there is nothing."""
    from modelmgmt.view.predictions import predictions_table

    found = open_store(store_path).monitor(reference).predictions(since, until, list(ids) or None)
    newest = found.newest(limit)
    if as_json:
        print_json([_described(one) for one in newest])
    else:
        print_table(predictions_table(newest.to_frame(), total=len(found)))
    return DONE if len(found) else NO


@command.command("show")
@click.argument("id_", metavar="ID")
@store_option
@json_option
def show(id_: str, store_path: Path | None, as_json: bool) -> int:
    """Show one prediction: what was asked, what was said, and what made it."""
    from modelmgmt.view.models import facts_table

    found = open_store(store_path).prediction(id_)
    lineage = found.lineage()
    if as_json:
        print_json({**_described(found), "lineage": lineage.to_dict()})
        return DONE
    print_table(facts_table(_described(found)))
    for line in lineage.lines():
        click.echo(clean(line, 300))
    return DONE


@command.command("delete")
@click.argument("reference")
@click.option("--before", metavar="TIME", help="What was predicted before this time.")
@click.option("--id", "ids", metavar="ID", multiple=True, help="What has this id; may be repeated.")
@click.option("--reason", default="", help="Kept with the event that remains: without ids.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def delete(
    reference: str,
    before: str | None,
    ids: tuple[str, ...],
    reason: str,
    yes: bool,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """Delete what REFERENCE predicted before a time, or the predictions with these ids.

    An event remains. By id nothing of them is in the store's files any more; by time 'modelmgmt gc' frees the files. Exits
    with 1 when the answer is no, and when an id is not there.
    """
    if (before is None) == (not ids):
        raise click.UsageError("Say what to delete: --before TIME, or --id ID.")
    monitor = open_store(store_path).monitor(reference)
    meant = f"the prediction {clean(ids[0], 60)}" if len(ids) == 1 else f"the predictions of {len(ids):,} ids"
    what = f"what {monitor.name} predicted before {before}" if before else f"{meant} of {monitor.name}"
    if not yes and not confirmed(f"Delete {what} for good?"):
        return NO
    deleted = monitor.delete(before, ids=list(ids) or None, reason=reason)
    if as_json:
        print_json({"monitor": monitor.name, **asdict(deleted)})
    else:
        _say(monitor.name, deleted)
    return NO if deleted.missing else DONE


def _say(name: str, deleted: DeletedPredictions) -> None:
    noun = "prediction" if deleted.predictions == 1 else "predictions"
    click.echo(f"Deleted {deleted.predictions:,} {noun} of {name}.")
    for one in deleted.missing:
        click.echo(f"Not there: {clean(one, 300)}")
    for path in deleted.leftovers:
        click.echo(f"Something of them may still be in {clean(str(path), 300)}")


def _described(one: Any) -> dict[str, Any]:
    """A prediction for JSON; what JSON has no word for is text."""
    return {part.name: _plain(getattr(one, part.name)) for part in fields(one) if not part.name.startswith("_")}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime) and value.tzinfo is not None:
        return to_iso(to_us(value.isoformat()))  # as all times of the command line
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
