"""modelmgmt models policy: what must hold before a version may enter a stage."""

from __future__ import annotations

import re
from pathlib import Path

import click

from modelmgmt.cli.options import DONE, json_option, open_store, print_json, print_table, store_option

_BOUND = re.compile(r"(?P<name>.+?)\s*(?P<sign>>=|<=)\s*(?P<value>[^<>=]+)").fullmatch


@click.command("policy")
@click.argument("model")
@click.option("--stage", "-s", metavar="STAGE", help="Set what is asked for before this stage, in place of what was.")
@click.option("--result", "-r", "results", multiple=True, metavar="NAME", help="A scan or test that must have passed.")
@click.option("--metric", "-m", "metrics", multiple=True, metavar="'NAME>=X'", help="A bound for a metric of the run.")
@click.option("--no-worse", multiple=True, metavar="NAME=MARGIN", help="Losses, against the version in place.")
@click.option("--confidence", default=0.95, show_default=True, help="Of the interval for --no-worse.")
@click.option("--signature", is_flag=True, help="Callers of the version in place must be able to go on unchanged.")
@click.option("--approvals", default=0, show_default=True, help="By so many people other than the author.")
@click.option("--reason", default="", help="Why; kept with the event.")
@store_option
@json_option
def command(
    model: str,
    stage: str | None,
    results: tuple[str, ...],
    metrics: tuple[str, ...],
    no_worse: tuple[str, ...],
    confidence: float,
    signature: bool,
    approvals: int,
    reason: str,
    store_path: Path | None,
    as_json: bool,
) -> int:
    """Show the policy of MODEL; with --stage, set what is asked for there. A stage alone asks for nothing any more.

    \b
    modelmgmt models policy churn
    modelmgmt models policy churn --stage production --result scan --metric 'acc>=0.9' --no-worse holdout=0.01
    """
    found = open_store(store_path).models[model]
    if stage is not None:
        found.require(
            stage, results=results, metrics=_bounds(metrics), no_worse=_margins(no_worse), confidence=confidence,
            signature="compatible" if signature else "any", approvals=approvals, reason=reason,
        )  # fmt: skip
    elif results or metrics or no_worse or signature or approvals:
        raise click.UsageError("Say before which stage this is asked for, with --stage.")
    policy = {name: rule.to_dict() for name, rule in found.policy.items()}
    if as_json:
        print_json(policy)
    else:
        from modelmgmt.view.models import policy_table

        print_table(policy_table(found.policy))
    return DONE


def _bounds(texts: tuple[str, ...]) -> dict[str, tuple[float | None, float | None]]:
    bounds: dict[str, tuple[float | None, float | None]] = {}
    for text in texts:
        match = _BOUND(text)
        if match is None:
            raise click.UsageError(f"A bound is written 'NAME>=X' or 'NAME<=X', and {text!r} was given.")
        least, most = bounds.get(match["name"], (None, None))
        value = _number(match["value"])
        bounds[match["name"]] = (value, most) if match["sign"] == ">=" else (least, value)
    return bounds


def _margins(texts: tuple[str, ...]) -> dict[str, float]:
    pairs = (text.rpartition("=") for text in texts)
    return {name: _number(value) for name, _, value in pairs}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no number.") from error
