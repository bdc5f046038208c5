"""modelmgmt models rollback: bring back who was in a stage before."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.models_list import describe_version
from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, store_option
from modelmgmt.errors import ConflictError


@click.command("rollback")
@click.argument("model")
@click.argument("stage", default="production")
@click.option("--reason", default="", help="Why; kept with the event.")
@store_option
@json_option
def command(model: str, stage: str, reason: str, store_path: Path | None, as_json: bool) -> int:
    """Bring back the version that was in STAGE of MODEL before; again, one further back. The policy is not asked.

    Exits with 1 when somebody else was faster.
    """
    try:
        version = open_store(store_path).models[model].rollback(stage, reason=reason)
    except ConflictError as error:
        click.echo(f"modelmgmt: {error}", err=True)
        return NO
    if as_json:
        print_json(describe_version(version))
    else:
        click.echo(f"{version.reference} is in {stage}.")
    return DONE
