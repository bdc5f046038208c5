"""What all commands share: the options --store and --json, the two forms of an answer, and nouns that list by themselves."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from modelmgmt.errors import InvalidValueError, printable
from modelmgmt.front import Store, existing_store
from modelmgmt.store.kernel import default_path
from modelmgmt.store.names import did_you_mean
from modelmgmt.store.times import seconds_of, to_iso, to_us
from modelmgmt.view.tables import Table, as_rich, screen_width

DONE, NO = 0, 1
_STORE, _JSON = "modelmgmt.store", "modelmgmt.json"


def _shared_options() -> list[click.Parameter]:
    """--store and --json, which are taken before a command as well as after it; the last one given counts."""

    def keep_store(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta[_STORE] = value

    def keep_json(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.meta[_JSON] = True

    return [
        click.Option(
            ["--store"], type=click.Path(), metavar="PATH", expose_value=False, callback=keep_store,
            help="The folder of the store.",
        ),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=keep_json, help="Print JSON, for programs."),
    ]  # fmt: skip


class Command(click.Command):
    """A verb: it finds its store with `open_store()` and ends with `return answer(...)`."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _shared_options()


class Group(click.Group):
    """A noun. With `default`, that verb is meant where no verb is typed: `runs`, `runs --limit 5`, `runs "params.lr < 1"`."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, default: str | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _shared_options()
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.default is not None and not ctx.resilient_parsing:
            place = 0
            while place < len(args) and re.fullmatch("--json|--store(=.*)?", args[place], re.DOTALL):
                place += 2 if args[place] == "--store" else 1
            first = args[place] if place < len(args) else None
            is_option = first is not None and first.startswith("-") and first not in ctx.help_option_names
            if first is None or is_option or _is_filter(first):
                args = [*args[:place], self.default, *args[place:]]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            hint = self.elsewhere(ctx, name) or did_you_mean(name, self.list_commands(ctx))
            path = ctx.command_path
            if self.get_command(ctx, "show") is not None:
                hint += f" To show what has this name: '{path} show {shlex.quote(name)}'."
            if self.default is not None and "filter" in (parameter.name for parameter in self._default(ctx).params):
                hint += f" A filter is written like this: '{path} \"metrics.loss < 0.5\"'."
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the file, not of the alphabet."""
        del ctx
        return list(self.commands)

    def elsewhere(self, ctx: click.Context, name: str) -> str:
        """A hint at the nouns that have a verb of this name; only the root knows them."""
        del ctx, name
        return ""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with the whole first sentence of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.sentence(ctx, name)) for name in self.list_commands(ctx)])

    def sentence(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        assert command is not None  # noqa: S101 - it is listed
        return " ".join(re.split(r"(?<=\.)\s|\n\n", command.help or "")[0].split())

    def _default(self, ctx: click.Context) -> click.Command:
        command = self.get_command(ctx, self.default or "")
        assert command is not None  # noqa: S101 - the group has it
        return command


def _is_filter(word: str) -> bool:
    """No name of a command looks like that: a filter compares something with something."""
    return not word or re.search(r"[\s<>=!~()]", word) is not None


def seconds(_: click.Context, parameter: click.Parameter, text: str) -> float:
    """The callback of an option for a duration, written with units: 90s, 15m, 1h, 1.5d, 1h30m. Raises BadParameter."""
    try:
        return seconds_of(text)
    except InvalidValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


def store_path() -> str | Path:
    """What --store named, else the default store's folder."""
    named: str | None = click.get_current_context().meta.get(_STORE)
    return default_path() if named is None else named


def open_store() -> Store:
    """The store that is there: looking never makes one. Raises NotFoundError."""
    return existing_store(store_path())


def made_store() -> Store:
    """The store, which is made when there is none."""
    return Store(click.get_current_context().meta.get(_STORE))


def is_json() -> bool:
    """Whether the answer is to be JSON."""
    return bool(click.get_current_context().meta.get(_JSON))


Shown = str | Table


_ODD = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]").sub
"""Characters that JSON takes as they are, and that no terminal should."""


def answer(content: Callable[[], object], shown: Callable[[], Shown | Iterable[Shown]], code: int = DONE) -> int:
    """Print one of the two forms of an answer, and return the exit code: JSON for programs, lines and tables for people."""
    if is_json():
        text = json.dumps(_plain(content()), indent=2, ensure_ascii=False)
        click.echo(_ODD(lambda match: f"\\u{ord(match[0]):04x}", text))
        return code
    parts = shown()
    for part in [parts] if isinstance(parts, (str, Table)) else parts:
        if isinstance(part, str):
            click.echo(printable(part).removesuffix("\n"))
        else:
            from rich.console import Console

            # Into a file or a pipe goes all of it, each row on one line.
            width = screen_width()
            Console(highlight=False, width=width or sys.maxsize).print(as_rich(part, width), crop=False)
    return code


def confirmed(question: str) -> bool:
    """Ask at the terminal. Raises UsageError where nobody can answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("Not a terminal: pass --yes to confirm.") from error


def _plain(value: Any) -> Any:
    """For JSON: NaN, which it has not, is null, infinities are text, arrays are lists, times are UTC."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, datetime):
        return to_iso(to_us(value.isoformat())) if value.tzinfo is not None else value.isoformat()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
