"""The command line: one file per noun; each command parses, calls and prints. The only room that prints or exits.

Exit codes: 0 done, 1 the answer is no (damage found, nothing found), 2 the question was wrong.
"""

from __future__ import annotations

import sys
from importlib import import_module
from io import TextIOWrapper

import click

from modelmgmt.cli.base import Group
from modelmgmt.errors import ModelmgmtError

_NOUNS = {
    "demo": "Train a few models on real data and look at what is kept.",
    "runs": "Runs: list, show, compare, report, reproduce, delete.",
    "models": "Registered models: versions, stages, aliases, decisions.",
    "data": "Versions of data: list, show, compare, write to a file.",
    "predictions": "Predictions of deployed models: list, show, delete.",
    "lineage": "Show what a model, run, data set or commit came from, and what it led to.",
    "audit": "The log of decisions: list, verify, export, anchor.",
    "store": "The store itself: check, stats, backup, merge, gc.",
}


class _Root(Group):
    """Loads the file of a noun when it is used: --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _NOUNS:
            return None
        command: click.Command = import_module(f"modelmgmt.cli.{cmd_name}").command
        return command

    def sentence(self, ctx: click.Context, name: str) -> str:
        del ctx
        return _NOUNS[name]

    def elsewhere(self, ctx: click.Context, name: str) -> str:
        nouns = ((noun, self.get_command(ctx, noun)) for noun in _NOUNS)
        found = [repr(f"{noun} {name}") for noun, group in nouns if isinstance(group, Group) and name in group.commands]
        return f" Did you mean {' or '.join(found)}?" if found else ""


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelmgmt")
def cli() -> None:
    """Everything about your machine-learning models, kept in one local folder.

    The store is $MODELMGMT_STORE, else .modelmgmt here or in the nearest parent
    folder; --store names another, before or after the command.

    \b
    First steps:
      modelmgmt demo                        train a few models and keep them
      modelmgmt runs                        list the runs
      modelmgmt runs "metrics.acc > 0.9"    list those that a filter finds
      modelmgmt runs show calm-otter-17     show one run
    """


def main() -> None:
    """The console script, and `python -m modelmgmt`."""
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
