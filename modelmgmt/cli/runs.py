"""modelmgmt runs: list runs, show one, compare, report, reproduce, delete."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from modelmgmt.cli.base import DONE, NO, Group, Shown, answer, confirmed, is_json, open_store
from modelmgmt.errors import CorruptDataError, NotFoundError
from modelmgmt.front import Comparison, Run, Runs, Store
from modelmgmt.store.names import counted
from modelmgmt.tracking.artifacts import Artifact
from modelmgmt.tracking.table_file import records
from modelmgmt.versions.environment import Environment
from modelmgmt.view.text import clean, format_exact


@click.group("runs", cls=Group, default="list", subcommand_metavar="[COMMAND | FILTER] [ARGS]...")
def command() -> None:
    """Runs. Without a command it lists them, as 'runs list' does.

    \b
    modelmgmt runs
    modelmgmt runs "params.lr < 0.01" --order-by -metrics.acc
    modelmgmt runs show calm-otter-17
    modelmgmt runs compare calm-otter-17 keen-fox-18
    modelmgmt runs report --output runs.html

    RUN is an id, the beginning or end of one, or a name.
    """


@command.command("list")
@click.argument("filter", default="")
@click.option("--order-by", multiple=True, metavar="FIELD", help="Sort by this field; -FIELD sorts descending.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(0), help="Show at most this many.")
@click.option(
    "--columns", multiple=True, metavar="FIELD", help="Show this column; may be repeated. Otherwise, what differs."
)
def list_(filter: str, order_by: tuple[str, ...], limit: int, columns: tuple[str, ...]) -> int:  # noqa: A002
    """List the runs that FILTER finds, newest first.

    \b
    modelmgmt runs list
    modelmgmt runs list "params.lr < 0.01 and metrics.acc > 0.9"
    modelmgmt runs list "run.status = 'failed' and tags.team in ('a', 'b')"
    modelmgmt runs list "metrics.val/loss.min < 0.2" --order-by -metrics.acc
    modelmgmt runs list --columns params.lr,metrics.val/loss.min,run.user

    In a terminal, what FILTER and the order name stays where there is little room. Exits with 1 when no run is found.
    """
    store = open_store()
    runs = Runs._query(store._kernel, Run, filter, list(order_by) or None)
    code = answer(
        lambda: [found for run in runs[:limit] for found in readable(run)],
        lambda: runs._table(limit, [name for text in columns for name in text.split(",")] or None),
        DONE if len(runs) else NO,
    )
    for sentence in runs.unknown:
        click.echo(sentence, err=True)
    return code


def readable(run: Run) -> Iterator[dict[str, Any]]:
    """The run for JSON; one that is damaged costs nothing but itself, and is named."""
    try:
        yield describe(run)
    except CorruptDataError as error:
        click.echo(f"The run {run.name} ({run.id}) is left out: {error}", err=True)


def describe(run: Run) -> dict[str, Any]:
    """A run for JSON."""
    record = run._row_now
    return {
        "id": record.id,
        "name": record.name,
        "experiment": record.experiment,
        "status": record.true_status,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "duration_s": record.duration_s,
        "parent": record.parent,
        "group": record.group_name,
        "params": run.params,
        "metrics": run.metrics,
        "tags": run.tags,
    }


def named(store: Store, reference: str) -> Run:
    """The run of an id or name; a line on standard error says when other runs have the name, too."""
    found = store.runs[reference]
    others = found._namesakes() if reference == found.name else ""
    if others:
        click.echo(f"{reference} is {found.id}, {others}.", err=True)
    return found


@command.command("show")
@click.argument("run")
@click.option("--metric", "-m", metavar="KEY", help="Print the points of this metric: step, value, time.")
@click.option("--artifact", "-a", metavar="NAME", help="Print this artifact; into a pipe, its bytes.")
@click.option("--output", "-o", metavar="PATH", type=click.Path(path_type=Path), help="Save --artifact to this file.")
def show(run: str, metric: str | None, artifact: str | None, output: Path | None) -> int:
    """Show everything about RUN, or one of its metrics or artifacts.

    \b
    modelmgmt runs show calm-otter-17
    modelmgmt runs show calm-otter-17 --metric loss
    modelmgmt runs show calm-otter-17 --artifact roc.png --output roc.png
    """
    if output is not None and artifact is None:
        raise click.UsageError("--output is where to save an artifact: name it with --artifact.")
    found = named(open_store(), run)
    if metric is not None:
        return _show_metric(found, metric)
    if artifact is not None:
        return _show_artifact(found.artifact(artifact), output)
    from modelmgmt.view.details import run_table

    return answer(lambda: _whole(found), lambda: run_table(found))


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
        "command": run.command,
        "user": run.user,
    }


def _show_metric(run: Run, metric: str) -> int:
    series = run.series(metric)

    def content() -> list[dict[str, Any]]:
        times = [f"{time}Z" for time in series.times]
        rows = zip(series.steps.tolist(), series.points.values.tolist(), times, strict=True)
        return [{"step": step, "value": value, "time": time} for step, value, time in rows]

    return answer(content, lambda: series.to_frame().to_string(index=False, float_format=format_exact, na_rep="nan"))


def _show_artifact(kept: Artifact, output: Path | None) -> int:
    if output is not None:
        path = str(kept.save(output))
        return answer(lambda: {"path": path}, lambda: path)
    if not is_json() and not (kept.kind == "table" and sys.stdout.isatty()):
        sys.stdout.buffer.write(kept.read_bytes())
        return DONE
    from modelmgmt.view.details import frame_table

    return answer(lambda: _content(kept), lambda: frame_table(kept.load()))


def _content(kept: Artifact) -> Any:
    """Text as text, a dict as it is, a table as one object a row. Raises UsageError for what JSON has no form for."""
    if kept.kind not in ("text", "dict", "table"):
        raise click.UsageError(f"The artifact {kept.name!r} is a {kept.kind}, and JSON has none: use --output PATH.")
    content = kept.load()
    return records(content) if kept.kind == "table" else content


@command.command("compare")
@click.argument("runs", nargs=-1, required=True)
@click.option("--all", "all_rows", is_flag=True, help="Also show what is the same.")
@click.option("--code", is_flag=True, help="Also print how the code differs, as a unified diff.")
def compare(runs: tuple[str, ...], all_rows: bool, code: bool) -> int:
    """Show what differs between two or more RUNS.

    Compares params, metrics, tags, artifacts, code, data and environment, then
    the curves.

    \b
    modelmgmt runs compare calm-otter-17 keen-fox-18
    modelmgmt runs compare calm-otter-17 keen-fox-18 --code
    modelmgmt runs compare calm-otter-17 keen-fox-18 --json
    """
    from modelmgmt.view.comparisons import comparison_tables

    store = open_store()
    comparison = store.compare(*(named(store, run) for run in runs))
    diffs = _code_diffs(comparison) if code else {}
    return answer(
        lambda: {**comparison.to_dict(), **({"code_diff": diffs} if code else {})},
        lambda: [*comparison_tables(comparison, all_rows=all_rows), *diffs.values()],
    )


def _code_diffs(comparison: Comparison) -> dict[str, str]:
    """By the id of the run that is compared with the first one."""
    found = {}
    for place, run in enumerate(comparison.ids[1:], start=1):
        try:
            found[run] = comparison.code_diff(place)
        except NotFoundError as error:
            found[run] = str(error)
    return found


@command.command("by-commit")
@click.argument("metric")
@click.option("--best", type=click.Choice(["max", "min"]), default="max", show_default=True, help="Which is better.")
@click.option(
    "--value", type=click.Choice(["last", "min", "max", "mean", "first"]), default="last", show_default=True,
    help="Which value of a run counts.",
)  # fmt: skip
@click.option("--filter", "filter_", default="", metavar="FILTER", help="Only the runs that this filter finds.")
def by_commit(
    metric: str, best: Literal["max", "min"], value: Literal["last", "min", "max", "mean", "first"], filter_: str
) -> int:
    """Show the best value of METRIC at each git commit.

    \b
    modelmgmt runs by-commit acc
    modelmgmt runs by-commit val/loss --best min --value min
    """
    from modelmgmt.view.comparisons import commits_table

    history = open_store().by_commit(metric, best=best, value=value, filter=filter_)
    return answer(history.to_dict, lambda: commits_table(history))


@command.command("report")
@click.argument("filter", default="")
@click.option(
    "--output", "-o", metavar="PATH", default="report.html", show_default=True, type=click.Path(path_type=Path),
    help="Where to write the page.",
)  # fmt: skip
@click.option("--metric", "-m", "metrics", multiple=True, metavar="KEY", help="Draw only this metric; may be repeated.")
@click.option("--title", metavar="TEXT", default="Runs", show_default=True, help="The heading of the page.")
@click.option("--limit", "-n", default=100, show_default=True, type=click.IntRange(1), help="Show at most this many.")
def report(filter: str, output: Path, metrics: tuple[str, ...], title: str, limit: int) -> int:  # noqa: A002
    """Write an HTML page about the runs that FILTER finds.

    The page is one file that needs no other: table, curves, pictures, failures. Exits with 1
    when no run is found.
    """
    from modelmgmt.view.report import write_report

    runs = open_store().runs(filter, limit=limit)
    if not len(runs):
        click.echo("No run was found, and no page was written.", err=True)
        return NO
    path = write_report(runs, output, metrics=list(metrics) or None, title=title)
    return answer(lambda: {"path": str(path), "runs": runs.ids}, lambda: f"{path}: {counted(len(runs), 'run')}")


@command.command("steps")
@click.argument("run")
def steps(run: str) -> int:
    """Show the pipeline steps of RUN.

    Shows what each step took and returned, and whether it ran or was found in the
    cache. Exits with 1 when the run has no steps.

    \b
    modelmgmt runs steps calm-otter-17
    """
    from modelmgmt.view.steps import steps_table

    found = named(open_store(), run).steps
    return answer(lambda: [asdict(step) for step in found], lambda: steps_table(found), DONE if found else NO)


@command.command("env")
@click.argument("run")
@click.option("--requirements", is_flag=True, help="Print it as a requirements.txt.")
@click.option("--pylock", is_flag=True, help="Print it as a pylock.toml; needs uv and the network.")
@click.option("--diff", "other", metavar="OTHER", help="Print how the environment of the run OTHER differs.")
def env(run: str, requirements: bool, pylock: bool, other: str | None) -> int:
    """Show the environment of RUN.

    Shows Python, platform, hardware, and every installed distribution. With --diff
    it exits with 1 when the two differ.

    \b
    modelmgmt runs env calm-otter-17
    modelmgmt runs env calm-otter-17 --requirements > requirements.txt
    modelmgmt runs env calm-otter-17 --diff keen-fox-18
    """
    if sum((requirements, pylock, other is not None)) > 1:
        raise click.UsageError("Give one of --requirements, --pylock and --diff.")
    store = open_store()
    found = _environment(store, run)
    if other is not None:
        changes = found.diff(_environment(store, other))
        return answer(
            lambda: [asdict(change) for change in changes],
            lambda: [
                f"{change.section:<14}{change.name}: {_or_none(change.before)} -> {_or_none(change.after)}"
                for change in changes
            ],
            NO if changes else DONE,
        )
    if requirements or pylock:
        text = found.requirements() if requirements else found.pylock()
        return answer(lambda: {"requirements" if requirements else "pylock": text}, lambda: text)
    return answer(found.to_dict, lambda: _environment_lines(found))


def _environment(store: Store, reference: str) -> Environment:
    run = named(store, reference)
    found = run.environment
    if found is None:
        raise NotFoundError(f"The environment of the run {run.name} ({run.id}) was not captured.")
    return found


def _environment_lines(environment: Environment) -> Iterator[str]:
    about = {"python": environment.python, **environment.platform, **environment.hardware}
    for key, value in about.items():
        text = ", ".join(value) or "none" if isinstance(value, list) else value
        yield f"{key:<16}{text}"
    yield f"{'distributions':<16}{len(environment.distributions)}"
    for each in environment.distributions:
        yield f"  {each.name}=={each.version}{f'  from {each.origin}' if each.origin else ''}"


def _or_none(value: object) -> str:
    return "none" if value is None else str(value)


@command.command("reproduce")
@click.argument("run")
@click.option(
    "--output", "-o", metavar="PATH", type=click.Path(path_type=Path),
    help="A new folder for code and data; default: a temporary one.",
)  # fmt: skip
@click.option(
    "--from-folder", metavar="PATH", type=click.Path(path_type=Path),
    help="Run the code in this copy of the project, as it is now.",
)  # fmt: skip
@click.option("--install", is_flag=True, help="Build the recorded environment first.")
@click.option("--tolerance", type=float, default=0.0, metavar="REL", help="The relative difference that is allowed.")
@click.option("--metric", "-m", "keys", multiple=True, metavar="KEY", help="Compare only this metric; may be repeated.")
@click.option("--siblings", is_flag=True, help="Run the whole script again, and keep all runs that it starts.")
def reproduce(
    run: str,
    output: Path | None,
    from_folder: Path | None,
    install: bool,
    tolerance: float,
    keys: tuple[str, ...],
    siblings: bool,
) -> int:
    """Run RUN again and compare the results.

    The new run has the same code, data, command and seeds; the two are compared
    metric by metric. Of a script that starts many runs, it does what comes before
    RUN, keeps RUN only, and ends the script after it. Exits with 0 when every metric is equal or within the
    tolerance, with 1 when not, and with 2 when it could not be run.

    \b
    modelmgmt runs reproduce calm-otter-17
    modelmgmt runs reproduce calm-otter-17 --tolerance 1e-6 --output again
    modelmgmt runs reproduce calm-otter-17 --from-folder .
    """
    from modelmgmt.view.details import reproduction_table

    store = open_store()
    found = store.reproduce(
        named(store, run), into=output, from_folder=from_folder, install=install, tolerance=tolerance, keys=keys,
        siblings=siblings, output=sys.stderr.fileno(),
    )  # fmt: skip

    def shown() -> Iterator[Shown]:
        yield f"{found.folder}: {shlex.join(found.command)}"
        yield from (f"  {clean(note, 300)}" for note in found.notes)
        yield reproduction_table(found)
        yield from (f"{cause.kind}: {clean(cause.detail, 300)}" for cause in found.causes)
        verdict = "is reproduced" if found.is_reproduced else "is not reproduced"
        yield f"The run {found.run} {verdict} by {found.new_run}."

    return answer(
        lambda: {**asdict(found), "folder": str(found.folder), "is_reproduced": found.is_reproduced},
        shown,
        DONE if found.is_reproduced else NO,
    )


@command.command("redact")
@click.argument("runs", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
def redact(runs: tuple[str, ...], yes: bool) -> int:
    """Take secrets out of what is kept of RUNS; without RUNS, of all that have ended.

    Looks through code, cells, uncommitted changes, params, tags, notes, errors and
    commands. Artifacts, data and models stay as they are. Exits with 1 when you
    say no.
    """
    store = open_store()
    chosen = [store._find(run) for run in runs]
    what = ", ".join(run.name for run in chosen) or "all runs that have ended"
    if not yes and not confirmed(f"Take secrets out of {what} for good?"):
        return NO
    parts = [store.redact(run) for run in chosen] if chosen else [store.redact()]
    found = {run: what for part in parts for run, what in part.runs.items()}
    objects = [digest for part in parts for digest in part.objects]
    leftovers = list(dict.fromkeys(str(path) for part in parts for path in part.leftovers))
    return answer(
        lambda: {"runs": found, "objects": objects, "leftovers": leftovers},
        lambda: [
            *(f"{run}: {clean(', '.join(what), 2_000)}" for run, what in found.items()),
            f"Took secrets out of {counted(len(found), 'run')}; {counted(len(objects), 'file')} removed.",
            *(f"Not touched, and may hold a copy: {path}" for path in leftovers),
        ],
    )


@command.command("delete")
@click.argument("run")
@click.option("--children", is_flag=True, help="Also delete its child runs.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(run: str, children: bool, reason: str, yes: bool) -> int:
    """Delete RUN for good.

    Deletes its rows, its points, and the files that no other run shares; the log
    keeps that it was deleted. A pinned or running run is refused. Exits with 1 when
    you say no.
    """
    store = open_store()
    found = store._find(run)
    if not yes and not confirmed(f"Delete {found.experiment}/{found.name} ({found.id}) for good?"):
        return NO
    deletion = store.delete_run(found, children=children, reason=reason)
    return answer(
        lambda: {**asdict(deletion), "leftovers": [str(path) for path in deletion.leftovers]},
        lambda: [
            f"Deleted {', '.join(deletion.runs)}: {counted(len(deletion.objects), 'object')}, {deletion.bytes:,} bytes.",
            *(f"Not touched, and may hold a copy: {path}" for path in deletion.leftovers),
        ],
    )
