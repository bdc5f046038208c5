"""modelmgmt models promote: move a version to a stage."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.models_list import describe_version
from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option
from modelmgmt.errors import ConflictError, GateError
from modelmgmt.models.registry.promotion import Expected


@click.command("promote")
@click.argument("version")
@click.argument("stage")
@click.option("--reason", default="", help="Why; kept with the event.")
@click.option("--expected", metavar="NUMBER", help="Only if this version is in the stage now; 'none' for nobody.")
@click.option("--force", is_flag=True, help="Past the policy; needs --reason, and the event says what was not met.")
@click.option("--dry-run", is_flag=True, help="Only say what the policy asks for, and whether it is met.")
@store_option
@json_option
def command(
    version: str,
    stage: str,
    reason: str,
    expected: str | None,
    force: bool,
    dry_run: bool,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """Move VERSION, as churn:3 or churn@staging, to STAGE.

    Exits with 1 when the policy of the model is not met, or somebody else was faster.
    """
    found = open_store(store_path).models.version(version)
    if dry_run:
        asked = found.gate(stage)
        if as_json:
            print_json([{"asked": each.what, "is_met": each.is_met, "found": each.found} for each in asked])
        else:
            from modelmgmt.view.models import conditions_table

            print_table(conditions_table(asked))
        return DONE if all(each.is_met for each in asked) else NO
    try:
        found.promote(stage, reason=reason, expected=_expected(expected), force=force)
    except (ConflictError, GateError) as error:
        click.echo(f"modelmgmt: {error}", err=True)
        return NO
    if as_json:
        print_json(describe_version(found))
    else:
        click.echo(f"{found.reference} is in {stage}.")
    return DONE


def _expected(text: str | None) -> Expected:
    if text is None:
        return "seen"
    if text.lower() == "none":
        return None
    if not text.isdecimal():
        raise click.UsageError(f"--expected is the number of a version, or none: {text!r} was given.")
    return int(text)
