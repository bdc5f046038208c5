"""modelmgmt steps: the pipeline steps of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option


@click.command("steps")
@click.argument("run")
@store_option
@json_option
def command(run: str, store_path: Path | None, as_json: bool) -> int:
    """Show the steps of RUN: what each took in and gave, and why it ran or did not have to.

    \b
    modelmgmt steps calm-otter-17

    Exits with 1 when the run has no steps.
    """
    steps = open_store(store_path).run(run).steps
    if as_json:
        print_json([asdict(step) for step in steps])
    else:
        from modelmgmt.view.steps import steps_table

        print_table(steps_table(steps))
    return DONE if steps else NO
