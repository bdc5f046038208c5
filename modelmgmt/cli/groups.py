"""Groups of commands: one that does not exist is answered with those that are called alike."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click

from modelmgmt.store.names import did_you_mean


class Group(click.Group):
    """A group that knows its commands by name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            elsewhere = [full for full in self.elsewhere() if full.split()[-1] == name]
            asked, there = (elsewhere[0], elsewhere) if elsewhere else (name, self.list_commands(ctx))
            ctx.fail(f"No such command {name!r}.{did_you_mean(asked, there)}")
        return super().resolve_command(ctx, args)

    def elsewhere(self) -> list[str]:
        """Commands of other groups, as they would be typed here: `models promote`."""
        return []


class LazyGroup(Group):
    """Loads the file of a command when it is used: --help stays fast."""

    COMMANDS: ClassVar[Mapping[str, str]]
    """Names, and what --help says of them."""
    FILES: ClassVar[str]
    """The beginning of the names of their modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in self.COMMANDS:
            return None
        command: click.Command = import_module(f"{self.FILES}{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self.COMMANDS.items()))
