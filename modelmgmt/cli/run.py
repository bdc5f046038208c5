"""modelmgmt run: show one run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option
from modelmgmt.cli.runs import describe
from modelmgmt.front import Run


@click.command("run")
@click.argument("run")
@click.option("--metric", "-m", metavar="KEY", help="Print the points of one metric: step, value, time.")
@click.option("--artifact", "-a", metavar="NAME", help="Write one artifact to --output, or to standard output.")
@click.option("--output", metavar="PATH", type=click.Path(path_type=Path), help="Where --artifact goes.")
@store_option
@json_option
def command(
    run: str, metric: str | None, artifact: str | None, output: Path | None, store_path: Path | None, as_json: bool
) -> int:
    """Show all about RUN: an id, the beginning or end of one, or a name.

    \b
    modelmgmt run calm-otter-17
    modelmgmt run calm-otter-17 --metric loss
    modelmgmt run calm-otter-17 --artifact roc.png --output roc.png
    """
    found = open_store(store_path).run(run)
    if metric is not None:
        _print_metric(found, metric, as_json=as_json)
    elif artifact is not None:
        _write_artifact(found, artifact, output)
    elif as_json:
        print_json(_whole(found))
    else:
        from modelmgmt.view.details import run_table

        print_table(run_table(found))
    return DONE


def _whole(run: Run) -> dict[str, Any]:
    artifacts = {
        name: {"kind": kept.kind, "digest": kept.digest, "size_bytes": kept.size}
        for name, kept in run.artifacts.items()
    }
    data = [
        {"role": role, "name": version.name, "number": version.number, "fingerprint": version.fingerprint}
        for role, versions in run.datasets_by_role().items()
        for version in versions
    ]
    return {
        **describe(run),
        "data": data,
        "summaries": {key: asdict(summary) for key, summary in run.summaries.items()},
        "artifacts": artifacts,
        "notes": [asdict(note) for note in run.notes],
        "error": run.error,
        "command": run.record.command,
        "user": run.record.user,
    }


def _print_metric(run: Run, metric: str, *, as_json: bool) -> None:
    series = run.series(metric)
    if as_json:
        times = [f"{time}Z" for time in series.times]
        rows = zip(series.steps.tolist(), series.points.values.tolist(), times, strict=True)
        print_json([{"step": step, "value": value, "time": time} for step, value, time in rows])
    else:
        click.echo(series.to_frame().to_string(index=False))


def _write_artifact(run: Run, name: str, output: Path | None) -> None:
    kept = run.artifact(name)
    if output is None:
        sys.stdout.buffer.write(kept.read_bytes())
    else:
        click.echo(kept.save(output))
