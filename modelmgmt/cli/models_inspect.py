"""modelmgmt models inspect: what a file would import and call, before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelmgmt.cli.options import DONE, NO, json_option, open_store, print_json, print_table, store_option
from modelmgmt.errors import InvalidValueError, NotFoundError

if TYPE_CHECKING:
    from modelmgmt.models.trust.opcodes import Inspection, Pickle

_SHOWN_CALLS = 20


@click.command("inspect")
@click.argument("what", metavar="REF|PATH")
@click.option(
    "--allow", multiple=True, metavar="NAME", help="A class that you know to be harmless, module.Class; again for more."
)
@store_option
@json_option
def command(what: str, allow: tuple[str, ...], store_path: Path | None, as_json: bool) -> int:
    """Look into a model, a file or a folder: what its pickles would import and call. Nothing is imported or called.

    Exits with 1 when something speaks against reading it as it is. A path that exists is taken for a path, all else for a
    reference to a model in the store.

    \b
    modelmgmt models inspect download.pkl
    modelmgmt models inspect churn@production --json
    """
    from modelmgmt.models.trust.decision import check_type_name
    from modelmgmt.models.trust.opcodes import read_opcodes

    names = [check_type_name(name) for name in allow]
    found = {name: read_opcodes(data, names) for name, data in _files(what, store_path)}
    if as_json:
        print_json({"what": what, "files": {name: _whole(inspection) for name, inspection in found.items()}})
    else:
        for name, inspection in found.items():
            _tell(name, inspection)
    return NO if any(inspection.reasons for inspection in found.values()) else DONE


def _files(what: str, store_path: Path | None) -> Iterator[tuple[str, bytes]]:
    path = Path(what)
    if path.is_file():
        yield what, path.read_bytes()
    elif path.is_dir():
        for inner in sorted(path.rglob("*")):
            if inner.is_file() and not inner.is_symlink():
                yield str(inner.relative_to(path)), inner.read_bytes()
    else:
        yield from _files_of_model(what, store_path)


def _files_of_model(reference: str, store_path: Path | None) -> Iterator[tuple[str, bytes]]:
    from modelmgmt.models.registry.reference import resolve
    from modelmgmt.store.trees import Trees

    try:
        kernel = open_store(store_path).kernel
        digest = resolve(kernel, reference).digest
    except (NotFoundError, InvalidValueError) as error:
        raise NotFoundError(f"{reference!r} is neither a file here nor a model in the store: {error}") from error
    for name, entry in Trees(kernel.objects).get(digest).items():
        if entry.mode != "link":
            yield name, kernel.objects.get(entry.digest)


def _whole(inspection: Inspection) -> dict[str, Any]:
    return {**asdict(inspection), "names": inspection.names, "reasons": inspection.reasons}


def _tell(name: str, inspection: Inspection) -> None:
    kinds = ", ".join(inspection.kinds) or "no pickle is found in it"
    click.echo(f"{ascii(name)[1:-1]}: {inspection.bytes:,} bytes, {kinds}")
    for pickle in inspection.pickles:
        _tell_pickle(pickle)
    for reason in inspection.reasons:
        click.echo(f"  ! {reason}")
    if inspection.pickles and not inspection.reasons:
        click.echo("  Everything that it names is in the list of harmless things: the restricted reader would take it.")
    click.echo()


def _tell_pickle(pickle: Pickle) -> None:
    from modelmgmt.models.trust.allowed import listed_names
    from modelmgmt.view.tables import Column, Table

    where = f"{pickle.where}: " if pickle.where else ""
    extra = " (data: only code that reads it would load it)" if pickle.is_data else ""
    click.echo(
        f"  {where}pickle of protocol {pickle.protocol} at byte {pickle.start:,}, {pickle.operations:,} instructions{extra}"
    )
    if not pickle.imports:
        click.echo("    imports nothing, calls nothing")
        return
    listed, calls = listed_names(), _counted(call.callee for call in pickle.calls)
    imports = _counted(found.full_name for found in pickle.imports)
    rows = tuple(
        (
            ascii(name)[1:-1][:120],
            str(count),
            str(calls.get(name, 0)),
            "harmless" if name in listed else "NOT in the list",
        )
        for name, count in imports.items()
    )
    columns = (Column("would import"), Column("times", right=True), Column("called", right=True), Column("known"))
    print_table(Table(columns, rows))
    others = [call for call in pickle.calls if call.callee not in imports]
    for call in others[:_SHOWN_CALLS]:
        click.echo(f"    calls {call.callee}({call.arguments}) by {call.instruction} at byte {call.position:,}")
    if len(others) > _SHOWN_CALLS:
        click.echo(f"    and {len(others) - _SHOWN_CALLS:,} more calls; --json has all of them")


def _counted(names: Iterator[str]) -> dict[str, int]:
    from collections import Counter

    return dict(sorted(Counter(names).items()))
