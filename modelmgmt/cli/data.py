"""modelmgmt data: versions of data - list, show, compare, write to a file, and which runs used them."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.base import DONE, NO, Group, answer, open_store
from modelmgmt.cli.runs import readable
from modelmgmt.versions.data.record import DatasetVersion


@click.group("data", cls=Group, default="list")
def command() -> None:
    """Versions of data that runs logged with log_dataset.

    VERSION is train:3, or train for the newest. Without a command it lists them, as
    'data list' does.

    \b
    modelmgmt data list
    modelmgmt data show train:3
    modelmgmt data diff train:2 train:3 --key id
    modelmgmt data save train:3 train.csv
    modelmgmt data runs train:3
    """


@command.command("list")
@click.argument("name", required=False)
def list_(name: str | None) -> int:
    """List the versions of every data set, or of the one called NAME.

    Exits with 1 when there are none.
    """
    from modelmgmt.view.data import versions_table

    store = open_store()
    latest = store.datasets.values() if name is None else [store.datasets[name]]
    found = [version for newest in latest for version in newest.versions]
    return answer(
        lambda: [_described(version) for version in found],
        lambda: versions_table(found, now=datetime.now(UTC)),
        DONE if found else NO,
    )


@command.command("show")
@click.argument("version")
def show(version: str) -> int:
    """Show what VERSION holds, column by column."""
    from modelmgmt.view.data import version_table

    found = open_store().datasets[version]

    def content() -> dict[str, Any]:
        profile = found.profile
        columns = [asdict(column) for column in profile.columns]
        files = {path: {"size_bytes": size, "sha256": digest} for path, (size, digest) in profile.files.items()}
        return {**_described(found), "profile": columns, "files": files, "notes": profile.notes}

    return answer(content, lambda: version_table(found))


@command.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--key", "-k", metavar="COLUMN", multiple=True, help="Match rows by this column; may be repeated.")
@click.option("--rows", type=click.IntRange(min=0), default=20, help="Show the cells of at most this many rows.")
def diff(a: str, b: str, key: tuple[str, ...], rows: int) -> int:
    """Show how version B differs from version A: columns, rows and cells.

    Without --key rows are matched by a kept index, else by position. Exits with 1 when the two differ.
    """
    from modelmgmt.view.data import data_diff_table

    store = open_store()
    found = store.datasets[a].diff(store.datasets[b], list(key) or None, max_rows=max(rows, 1_000))
    return answer(
        lambda: {**found.to_dict(), "moved": [one.column for one in found.moved]},
        lambda: data_diff_table(found, max_rows=rows),
        DONE if found.is_same else NO,
    )


@command.command("save")
@click.argument("version")
@click.argument("path", type=click.Path(path_type=Path))
def save(version: str, path: Path) -> int:
    """Write the content of VERSION to the new file or folder PATH.

    A table is written as .csv, .parquet, .json, .npy or .npz, by the suffix of PATH;
    files are written as they were.
    """
    found = open_store().datasets[version]
    written = found.save(path)
    return answer(lambda: {**_described(found), "path": str(written)}, lambda: str(written))


@command.command("runs")
@click.argument("version")
def runs(version: str) -> int:
    """List the runs that used VERSION."""
    found = open_store().datasets[version].runs()
    return answer(
        lambda: [one for run in found for one in readable(run)],
        lambda: found._table(len(found)),
    )


def _described(version: DatasetVersion) -> dict[str, Any]:
    return {one.name: getattr(version, one.name) for one in fields(DatasetVersion)}
