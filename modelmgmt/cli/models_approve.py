"""modelmgmt models approve: say that a version may enter a stage."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, store_option


@click.command("approve")
@click.argument("version")
@click.argument("stage")
@click.option("--reason", required=True, help="What was looked at; kept with the event.")
@store_option
@json_option
def command(version: str, stage: str, reason: str, store_path: Path | None, as_json: bool) -> int:
    """Say, under the name of this account, that VERSION may enter STAGE. It does not move it there."""
    found = open_store(store_path).models.version(version)
    found.approve(stage, reason)
    if as_json:
        print_json([asdict(approval) for approval in found.approvals])
    else:
        for approval in found.approvals:
            click.echo(f"{found.reference} for {approval.stage}: {approval.actor}, {approval.reason}")
    return DONE
