"""modelmgmt models at: who was in which stage at a time."""

from __future__ import annotations

from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option


@click.command("at")
@click.argument("model")
@click.argument("time", required=False)
@store_option
@json_option
def command(model: str, time: str | None, store_path: Path | None, as_json: bool) -> int:
    """Show who was in which stage of MODEL at TIME, as 2026-01-31T12:00:00Z; without a time, now.

    The answer comes from the log of decisions, and holds whatever became of the versions since.
    """
    moment = open_store(store_path).models[model].at(time)
    stages = {stage: list(numbers) for stage, numbers in moment.stages.items()}
    if as_json:
        digests = {number: moment.digests[number] for numbers in stages.values() for number in numbers}
        time_text = None if moment.time is None else moment.time.isoformat()
        print_json(
            {"model": model, "time": time_text, "stages": stages, "aliases": dict(moment.aliases), "digests": digests}
        )
    else:
        from modelmgmt.view.models import facts_table

        print_table(
            facts_table(
                {**stages, **{f"@{alias}": number for alias, number in moment.aliases.items()}},
            )
        )
    return DONE
