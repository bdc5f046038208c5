"""modelmgmt models: one file per subcommand, `cli/models_NAME.py`, loaded when it is used."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "list": "List models, or the versions that are searched for.",
    "inspect": "Look into a model or a file: what it would import and call.",
    "trust": "Show and change whose executable models are loaded.",
}


class _Group(click.Group):
    """As the outer one: --help loads nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"modelmgmt.cli.models_{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group("models", cls=_Group)
def command() -> None:
    """Registered models: versions, stages, aliases, decisions.

    \b
    modelmgmt models list
    modelmgmt models show churn
    modelmgmt models promote churn:3 production --reason "better on the holdout"
    modelmgmt models rollback churn production --reason "complaints"
    """
