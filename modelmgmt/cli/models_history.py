"""modelmgmt models history: every decision about a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option
from modelmgmt.models.registry.history import Decision


@click.command("history")
@click.argument("model")
@click.option("--kind", metavar="KIND", help="Only decisions of one kind, as promoted or refused.")
@store_option
@json_option
def command(model: str, kind: str | None, store_path: Path | None, as_json: bool) -> int:
    """Show every decision about MODEL, oldest first: who, when, what, why, from which commit."""
    decisions = open_store(store_path).models[model].history(kind)
    if as_json:
        print_json([describe(decision) for decision in decisions])
    else:
        from modelmgmt.view.models import history_table

        print_table(history_table(decisions))
    return DONE


def describe(decision: Decision) -> dict[str, Any]:
    """A decision for JSON."""
    return {
        "event": decision.number, "time": decision.time, "actor": decision.actor, "host": decision.host,
        "kind": decision.kind, "version": decision.version, "reason": decision.reason, "commit": decision.commit,
        "library": decision.library, "detail": dict(decision.detail),
    }  # fmt: skip
