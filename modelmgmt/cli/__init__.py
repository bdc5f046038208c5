"""The command line: one file per noun, each parses, calls and prints. The only room that prints or exits.

Exit codes: 0 done, 1 the answer is no (damage found, nothing found), 2 the question was wrong.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

import click

from modelmgmt.cli.groups import LazyGroup
from modelmgmt.errors import ModelmgmtError

_COMMANDS = {
    "demo": "Train a few models on real data and look at what is kept.",
    "runs": "List runs: filter, sort, limit.",
    "run": "Show one run, or one of its metrics or artifacts.",
    "compare": "Show what differs between runs.",
    "data": "Versions of data: list, show, compare, write out.",
    "by-commit": "Show a metric by git commit: which change moved it.",
    "steps": "Show the pipeline steps of a run.",
    "models": "Registered models: versions, stages, aliases, decisions.",
    "predictions": "What deployed models predicted: list, show one, delete old ones.",
    "env": "Show the environment of a run, or what differs between two.",
    "reproduce": "Do a run again, and say whether it came out the same.",
    "lineage": "Show what a model, run, data or commit came from, and where it went.",
    "audit": "The log of decisions: list, verify, export, anchor.",
    "report": "Write an HTML report of runs.",
    "check": "Check that everything in the store is as it was written.",
    "stats": "Show what the store holds, in bytes, and what was lost.",
    "backup": "Copy the store while it is in use.",
    "merge": "Take in the runs of another store.",
    "delete": "Delete a run for real.",
    "gc": "Remove files that nothing names.",
}


class _Group(LazyGroup):
    COMMANDS = _COMMANDS
    FILES = "modelmgmt.cli."

    def elsewhere(self) -> list[str]:
        from modelmgmt.cli.models import COMMANDS

        return [f"models {name}" for name in COMMANDS]


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelmgmt")
def cli() -> None:
    """Everything about your machine-learning models, kept in one local folder.

    The store is $MODELMGMT_STORE, else .modelmgmt here or in the nearest parent folder; --store names another.

    \b
    First steps:
      modelmgmt demo                        train a few models and keep them
      modelmgmt runs                        list what is there
      modelmgmt runs "metrics.acc > 0.9"    filter it
      modelmgmt run calm-otter-17           all about one run
    """


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is no reason to stop
    try:
        sys.exit(cli.main(standalone_mode=False, prog_name="modelmgmt") or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(2)
    except (ModelmgmtError, OSError) as error:
        click.echo(f"modelmgmt: {error}", err=True)
        sys.exit(2)
