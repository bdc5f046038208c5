"""modelmgmt models: registered models, their versions, stages, aliases and decisions; and whose models are trusted."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelmgmt.cli.base import DONE, NO, Group, Shown, answer, confirmed, made_store, open_store
from modelmgmt.errors import ConflictError, GateError, InvalidValueError, NotFoundError
from modelmgmt.models.exports import KINDS
from modelmgmt.models.registry.history import Decision
from modelmgmt.models.registry.model import Model
from modelmgmt.models.registry.promotion import Expected
from modelmgmt.models.registry.versions import ModelVersion
from modelmgmt.store.names import counted

if TYPE_CHECKING:
    from modelmgmt.models.trust.opcodes import Inspection, Pickle

_BOUND = re.compile(r"(?P<name>.+?)\s*(?P<sign>>=|<=)\s*(?P<value>[^<>=]+)").fullmatch
_SHOWN_CALLS = 20

reason_option = click.option("--reason", metavar="TEXT", default="", help="Why; kept in the log.")


@click.group("models", cls=Group, default="list", subcommand_metavar="[COMMAND | FILTER] [ARGS]...")
def command() -> None:
    """Registered models. Without a command it lists them, as 'models list' does.

    VERSION is churn:3, churn@production, churn@latest or churn@ALIAS.

    \b
    modelmgmt models list
    modelmgmt models show churn
    modelmgmt models promote churn:3 production --reason "better on the holdout"
    modelmgmt models rollback churn production --reason "complaints"
    """


# -- looking ----------------------------------------------------------------------------------------------------------


@command.command("list")
@click.argument("filter", default="")
@click.option("--model", "-m", metavar="NAME", help="List the versions of this model.")
@click.option("--stage", "-s", metavar="STAGE", help="List the versions in this stage.")
@click.option("--tag", "-t", "tags", multiple=True, metavar="KEY=VALUE", help="List the versions with this tag.")
@click.option("--text", metavar="TEXT", default="", help="List the versions with this in a name or description.")
def list_(filter: str, model: str | None, stage: str | None, tags: tuple[str, ...], text: str) -> int:  # noqa: A002
    """List the registered models; with a FILTER or an option, versions, newest first.

    FILTER is about the runs that made the versions, as for 'modelmgmt runs'. Exits
    with 1 when nothing is found.

    \b
    modelmgmt models list
    modelmgmt models list "metrics.acc > 0.9" --stage staging
    """
    from modelmgmt.view.models import models_table, versions_table

    store = open_store()
    if not (filter or model or stage or tags or text):
        return answer(
            lambda: [_model(model) for model in store.models.values()],
            lambda: models_table(store.models.values(), None),
            DONE if len(store.models) else NO,
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = store.models.search(filter, model=model, stage=stage, tags=dict(map(_pair, tags)), text=text)
    code = answer(
        lambda: [_version(version) for version in found],
        lambda: versions_table(found, None),
        DONE if found else NO,
    )
    for warning in caught:
        click.echo(str(warning.message), err=True)
    return code


@command.command("show")
@click.argument("reference")
@click.option("--card", is_flag=True, help="Print the model card of a version, in Markdown.")
def show(reference: str, card: bool) -> int:
    """Show a model, or one of its versions.

    \b
    modelmgmt models show churn
    modelmgmt models show churn@production
    modelmgmt models show churn:3 --card
    """
    from modelmgmt.view.models import model_table, version_table, versions_table

    store = open_store()
    if reference in store.models:
        model = store.models[reference]
        return answer(
            lambda: _whole_model(model),
            lambda: [model_table(model), *([versions_table(model.versions)] if len(model) else [])],
        )
    version = store.models.version(reference)
    if card:
        return answer(lambda: {"card": version.card()}, version.card)
    metrics = {} if version.run is None else store.runs[version.run].metrics
    return answer(lambda: _whole_version(version, metrics), lambda: version_table(version, metrics))


@command.command("history")
@click.argument("model")
@click.option("--kind", metavar="KIND", help="Only decisions of this kind: promoted, refused, rolled_back, ...")
def history(model: str, kind: str | None) -> int:
    """Show every decision about MODEL, oldest first: who, when, what, why.

    \b
    modelmgmt models history churn
    modelmgmt models history churn --kind promoted
    """
    from modelmgmt.view.models import history_table

    decisions = open_store().models[model].history(kind)
    return answer(lambda: [_decision(decision) for decision in decisions], lambda: history_table(decisions))


@command.command("as-of")
@click.argument("model")
@click.argument("time", required=False)
def as_of(model: str, time: str | None) -> int:
    """Show which versions of MODEL were in which stage at TIME; default: now.

    TIME is written 2026-01-31T12:00:00Z. The answer comes from the log of decisions,
    and includes versions that were deleted since.
    """
    from modelmgmt.view.models import facts_table

    moment = open_store().models[model].as_of(time)
    stages = {stage: list(numbers) for stage, numbers in moment.stages.items()}
    digests = {number: moment.digests[number] for numbers in stages.values() for number in numbers}
    return answer(
        lambda: {
            "model": model, "time": moment.time, "stages": stages, "aliases": dict(moment.aliases), "digests": digests
        },
        lambda: facts_table({**stages, **{f"@{alias}": number for alias, number in moment.aliases.items()}}),
    )  # fmt: skip


@command.command("compare")
@click.argument("model")
@click.argument("a")
@click.argument("b")
@click.option("--all", "all_rows", is_flag=True, help="Also show what is the same.")
def compare(model: str, a: str, b: str, all_rows: bool) -> int:
    """Show what differs between the versions A and B of MODEL.

    Each is a number, a stage or an alias.

    \b
    modelmgmt models compare churn 3 production
    """
    from modelmgmt.view.details import differences_table

    first, second = (int(text) if text.isdecimal() else text for text in (a, b))
    comparison = open_store().models[model].compare(first, second)
    return answer(comparison.to_dict, lambda: differences_table(comparison, all_rows=all_rows))


# -- deciding ---------------------------------------------------------------------------------------------------------


@command.command("register")
@click.argument("model")
@click.argument("reference")
@click.option("--description", metavar="TEXT", default="", help="What it is.")
@click.option("--tag", "-t", "tags", multiple=True, metavar="KEY=VALUE", help="A tag of the version; may be repeated.")
def register(model: str, reference: str, description: str, tags: tuple[str, ...]) -> int:
    """Make the next version of MODEL from a model that a run logged.

    REFERENCE is run:ID/NAME. The model is made when it is not there yet.
    """
    version = open_store().models.register_from(
        reference, model, description=description, tags=dict(map(_pair, tags))
    )  # fmt: skip
    return answer(lambda: _version(version), lambda: f"{version.reference} is in {version.stage}.")


@command.command("promote")
@click.argument("version")
@click.argument("stage")
@reason_option
@click.option("--expected", metavar="NUMBER", help="Only if this version is in the stage now; 'none': if it is empty.")
@click.option(
    "--force", is_flag=True, help="Even if the policy is not met, or the version does not load; needs --reason."
)
@click.option("--dry-run", is_flag=True, help="Only say what the policy asks for, and whether it is met.")
def promote(version: str, stage: str, reason: str, expected: str | None, force: bool, dry_run: bool) -> int:
    """Move VERSION to STAGE, if the policy is met.

    Exits with 1 when the policy is not met, or when another version was promoted
    meanwhile.

    \b
    modelmgmt models promote churn:3 staging
    modelmgmt models promote churn@staging production --reason "better on the holdout"
    """
    found = open_store().models.version(version)
    if dry_run:
        from modelmgmt.view.models import conditions_table

        asked = found.check_policy(stage)
        return answer(
            lambda: [{"asked": each.what, "is_met": each.is_met, "found": each.found} for each in asked],
            lambda: conditions_table(asked),
            DONE if all(each.is_met for each in asked) else NO,
        )
    try:
        found.promote(stage, reason=reason, expected=_expected(expected), force=force)
    except (ConflictError, GateError) as error:
        click.echo(f"modelmgmt: {error}", err=True)
        return NO
    return answer(lambda: _version(found), lambda: f"{found.reference} is in {stage}.")


def _expected(text: str | None) -> Expected:
    if text is None:
        return "seen"
    if text.lower() == "none":
        return None
    if not text.isdecimal():
        raise click.UsageError(f"--expected is the number of a version, or 'none', and {text!r} was given.")
    return int(text)


@command.command("rollback")
@click.argument("model")
@click.argument("stage", default="production")
@reason_option
@click.option("--force", is_flag=True, help="Without loading the version first; needs --reason.")
def rollback(model: str, stage: str, reason: str, force: bool) -> int:
    """Bring back the version that was in STAGE of MODEL before.

    STAGE is production unless given. Again, it goes one further back. Of the policy
    only one thing is checked: that the version loads, where the stage asks for it.
    Exits with 1 when it does not, or when another version was promoted meanwhile.
    """
    try:
        version = open_store().models[model].rollback(stage, reason=reason, force=force)
    except (ConflictError, GateError) as error:
        click.echo(f"modelmgmt: {error}", err=True)
        return NO
    return answer(lambda: _version(version), lambda: f"{version.reference} is in {stage}.")


@command.command("archive")
@click.argument("version")
@reason_option
def archive(version: str, reason: str) -> int:
    """Move VERSION to the last stage of its model. Nothing is deleted."""
    store = open_store()
    found = store.models.version(version)
    store.models[found.model].archive(found, reason=reason)
    return answer(lambda: _version(found), lambda: f"{found.reference} is in {found.stage}.")


@command.command("approve")
@click.argument("version")
@click.argument("stage")
@click.option("--reason", metavar="TEXT", required=True, help="What you looked at; kept in the log.")
def approve(version: str, stage: str, reason: str) -> int:
    """Approve that VERSION may enter STAGE, under the name of your account.

    This does not move the version there.
    """
    found = open_store().models.version(version)
    found.approve(stage, reason)
    return answer(
        lambda: [asdict(approval) for approval in found.approvals],
        lambda: [
            f"{found.reference} for {approval.stage}: {approval.actor}, {approval.reason}"
            for approval in found.approvals
        ],
    )


@command.command("policy")
@click.argument("model")
@click.option("--stage", "-s", metavar="STAGE", help="Set what this stage asks for, in place of what it did.")
@click.option("--result", "-r", "results", multiple=True, metavar="NAME", help="A scan or test that must have passed.")
@click.option("--metric", "-m", "metrics", multiple=True, metavar="'NAME>=X'", help="A bound for a metric of the run.")
@click.option("--no-worse", multiple=True, metavar="NAME=MARGIN", help="How much worse losses may be than now.")
@click.option("--confidence", default=0.95, show_default=True, help="Of the interval for --no-worse.")
@click.option("--signature", is_flag=True, help="Callers of the current version must need no change.")
@click.option("--approvals", default=0, show_default=True, help="How many people other than the author must approve.")
@click.option(
    "--loadable/--no-loadable", default=None, help="Whether the version must load on the machine that promotes."
)
@reason_option
def policy(
    model: str,
    stage: str | None,
    results: tuple[str, ...],
    metrics: tuple[str, ...],
    no_worse: tuple[str, ...],
    confidence: float,
    signature: bool,
    approvals: int,
    loadable: bool | None,
    reason: str,
) -> int:
    """Show what each stage of MODEL asks for; with --stage, set it.

    With --stage alone the stage asks for nothing any more, but that production
    asks for a version that loads unless --no-loadable is given.

    \b
    modelmgmt models policy churn
    modelmgmt models policy churn --stage production --result scan --metric 'acc>=0.9' --no-worse holdout=0.01
    """
    from modelmgmt.view.models import policy_table

    found = open_store().models[model]
    if stage is not None:
        found.set_policy(
            stage, results=results, metrics=_bounds(metrics), no_worse=_margins(no_worse), confidence=confidence,
            signature="compatible" if signature else "any", approvals=approvals, loadable=loadable,
            reason=reason,
        )  # fmt: skip
    elif results or metrics or no_worse or signature or approvals or loadable is not None:
        raise click.UsageError("Name the stage that asks for this, with --stage.")
    return answer(
        lambda: {name: rule.to_dict() for name, rule in found.policy.items()}, lambda: policy_table(found.policy)
    )


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
        raise click.UsageError(f"{text!r} is not a number.") from error


@command.command("alias")
@click.argument("version")
@click.argument("alias")
@click.option("--remove", is_flag=True, help="Remove the alias from the version.")
@reason_option
def alias(version: str, alias: str, remove: bool, reason: str) -> int:
    """Give VERSION another name: it is then found as MODEL@ALIAS.

    An alias that another version has moves to this one.
    """
    store = open_store()
    found = store.models.version(version)
    model = store.models[found.model]
    if remove:
        if model.aliases.get(alias) not in (None, found.number):
            raise click.UsageError(f"{alias!r} is version {model.aliases[alias]}, not {found.number}.")
        model.remove_alias(alias, reason=reason)
    else:
        model.set_alias(alias, found, reason=reason)
    return answer(
        lambda: {"model": model.name, "aliases": model.aliases},
        lambda: [f"{model.name}@{name} is {model.name}:{number}" for name, number in model.aliases.items()],
    )


@command.command("tag")
@click.argument("reference")
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", "-r", multiple=True, metavar="KEY", help="Remove this tag; may be repeated.")
@click.option("--describe", metavar="TEXT", help="Set the description.")
def tag(reference: str, tags: tuple[str, ...], remove: tuple[str, ...], describe: str | None) -> int:
    """Set tags and the description of a model or a version; show its tags.

    REFERENCE is a model, as churn, or a version, as churn:3.

    \b
    modelmgmt models tag churn team=a --describe "who will leave"
    modelmgmt models tag churn:3 checked=yes --remove draft
    """
    store = open_store()
    found = store.models[reference] if reference in store.models else store.models.version(reference)
    if tags:
        found.set_tags(dict(map(_pair, tags)))
    for key in remove:
        found.remove_tag(key)
    if describe is not None:
        found.set_description(describe)
    return answer(
        lambda: {"reference": reference, "tags": found.tags, "description": found.description},
        lambda: [f"{key}={value}" for key, value in found.tags.items()],
    )


@command.command("delete")
@click.argument("reference")
@click.option("--force", is_flag=True, help="Even if it is in a stage, has an alias, or its run is pinned.")
@reason_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(reference: str, force: bool, reason: str, yes: bool) -> int:
    """Delete a version, as churn:3, or a model with all its versions, as churn.

    The log keeps that it was deleted. A model that its run logged stays with the run.
    Exits with 1 when you say no.
    """
    store = open_store()
    version = None if reference in store.models else store.models.version(reference)
    what = (
        f"the model {reference} with {counted(len(store.models[reference]), 'version')}"
        if version is None
        else str(version)
    )
    if not yes and not confirmed(f"Delete {what} for good?"):
        return NO
    if version is None:
        deleted = store.models.delete(reference, reason=reason, force=force)
    else:
        deleted = store.models[version.model].delete(version, reason=reason, force=force)
    return answer(
        lambda: asdict(deleted),
        lambda: f"Deleted {what}: {counted(len(deleted.objects), 'object')}, {deleted.bytes:,} bytes.",
    )


# -- in and out -------------------------------------------------------------------------------------------------------


@command.command("export")
@click.argument("reference")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "kind", type=click.Choice(KINDS), default="bundle", show_default=True, help="The form.")
@click.option("--trust", is_flag=True, help="Run the model's own code where the conversion needs it.")
@click.option("--vendor", is_flag=True, help="Put a wheel of this library into the MLflow folder.")
def export(reference: str, path: Path, kind: str, trust: bool, vendor: bool) -> int:
    """Write the model REFERENCE to the new file or folder PATH.

    REFERENCE is churn:3, churn@production or run:ID/NAME. Forms: a bundle that
    'models import' reads, an MLflow folder, an ONNX file.
    """
    written = open_store().export_model(reference, path, kind, trust=trust or None, vendor=vendor)  # type: ignore[arg-type]
    return answer(lambda: {"path": str(written.resolve()), "kind": kind}, lambda: f"{written}: {reference} as {kind}.")


@command.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="MODEL", help="The model that gets the version; default: the exported one.")
def import_(path: Path, name: str | None) -> int:
    """Make the next version of a model from the bundle PATH.

    Nothing in it is executed. The store is made when there is none.
    """
    version = made_store().import_model(path, name)
    return answer(
        lambda: {"reference": version.reference, "digest": version.digest, "format": version.format},
        lambda: f"{version.reference} is in {version.stage}: {version.format}, sha256:{version.digest[:16]}...",
    )


@command.command("inspect")
@click.argument("what", metavar="REFERENCE|PATH")
@click.option("--allow", multiple=True, metavar="NAME", help="A class that you trust, module.Class; may be repeated.")
def inspect(what: str, allow: tuple[str, ...]) -> int:
    """Show what the pickles in a model, file or folder would import and call.

    Nothing is imported or called. An existing path is read as a path, anything else
    as a model in the store. Exits with 1 when loading it could be harmful.

    \b
    modelmgmt models inspect download.pkl
    modelmgmt models inspect churn@production --json
    """
    from modelmgmt.models.trust.decision import check_type_name
    from modelmgmt.models.trust.opcodes import read_opcodes

    names = [check_type_name(name) for name in allow]
    found = {name: read_opcodes(data, names) for name, data in _files(what)}

    def content() -> dict[str, Any]:
        files = {name: {**asdict(each), "names": each.names, "reasons": each.reasons} for name, each in found.items()}
        return {"what": what, "files": files}

    return answer(
        content,
        lambda: (part for name, each in found.items() for part in _inspection(name, each)),
        NO if any(inspection.reasons for inspection in found.values()) else DONE,
    )


def _files(what: str) -> Iterator[tuple[str, bytes]]:
    path = Path(what)
    if path.is_file():
        yield what, path.read_bytes()
    elif path.is_dir():
        for inner in sorted(path.rglob("*")):
            if inner.is_file() and not inner.is_symlink():
                yield str(inner.relative_to(path)), inner.read_bytes()
    else:
        yield from _files_of_model(what)


def _files_of_model(reference: str) -> Iterator[tuple[str, bytes]]:
    from modelmgmt.models.registry.reference import resolve
    from modelmgmt.store.trees import Trees

    try:
        kernel = open_store()._kernel
        digest = resolve(kernel, reference).digest
    except (NotFoundError, InvalidValueError) as error:
        raise NotFoundError(f"{reference!r} is neither a file here nor a model in the store: {error}") from error
    for name, entry in Trees(kernel.objects).get(digest).items():
        if entry.mode != "link":
            yield name, kernel.objects.get(entry.digest)


def _inspection(name: str, inspection: Inspection) -> Iterator[Shown]:
    kinds = ", ".join(inspection.kinds) or "no pickle is found in it"
    yield f"{ascii(name)[1:-1]}: {inspection.bytes:,} bytes, {kinds}"
    for pickle in inspection.pickles:
        yield from _pickle(pickle)
    yield from (f"  ! {reason}" for reason in inspection.reasons)
    if inspection.pickles and not inspection.reasons:
        yield "  All the names in it are known to be harmless: it would be loaded."
    yield ""


def _pickle(pickle: Pickle) -> Iterator[Shown]:
    from modelmgmt.models.trust.allowed import listed_names
    from modelmgmt.view.tables import Column, Table

    where = f"{pickle.where}: " if pickle.where else ""
    extra = " (data: only code that reads it would load it)" if pickle.is_data else ""
    yield (
        f"  {where}pickle of protocol {pickle.protocol} at byte {pickle.start:,}, "
        f"{pickle.operations:,} instructions{extra}"
    )
    if not pickle.imports:
        yield "    imports nothing, calls nothing"
        return
    listed, calls = listed_names(), Counter(call.callee for call in pickle.calls)
    imports = Counter(found.full_name for found in pickle.imports)
    rows = tuple(
        (ascii(name)[1:-1][:120], str(count), str(calls[name]), "harmless" if name in listed else "UNKNOWN")
        for name, count in sorted(imports.items())
    )
    columns = (Column("would import"), Column("times", right=True), Column("called", right=True), Column("known"))
    yield Table(columns, rows)
    others = [call for call in pickle.calls if call.callee not in imports]
    for call in others[:_SHOWN_CALLS]:
        yield f"    calls {call.callee}({call.arguments}) by {call.instruction} at byte {call.position:,}"
    if len(others) > _SHOWN_CALLS:
        yield f"    and {len(others) - _SHOWN_CALLS:,} more calls; --json shows all of them"


# -- trust ------------------------------------------------------------------------------------------------------------


@command.group("trust")
def trust() -> None:
    """Show and change whose executable models are loaded.

    These are your own key, and the keys of others that you trust. The list is yours,
    in ~/.config/modelmgmt (or $MODELMGMT_CONFIG), and holds for every store.

    \b
    modelmgmt models trust key
    modelmgmt models trust add FINGERPRINT --name "build server" --reason "signs the nightly models"
    modelmgmt models trust list
    modelmgmt models trust remove "build server"
    """


@trust.command("list")
def trust_list() -> int:
    """List the keys that you trust, your own first."""
    from modelmgmt.models.trust import keys
    from modelmgmt.view.tables import Column, Table

    own = [_key(key) for key in keys.own_keys()]
    trusted = [asdict(key) for key in keys.trusted_keys().values()]
    rows = [(key["fingerprint"], "(your own)", key["algorithm"], key["created_at"][:10]) for key in own]
    rows += [(key["fingerprint"], key["name"], key["reason"], key["added_at"][:10]) for key in trusted]
    columns = (Column("fingerprint", is_whole=True), Column("name"), Column("why", rank=1), Column("since", rank=2))
    return answer(
        lambda: {"folder": str(keys.config_folder()), "own": own, "trusted": trusted},
        lambda: Table(columns, tuple(rows), "" if rows else "No key yet: one is made when you log a model."),
    )


@trust.command("key")
def trust_key() -> int:
    """Print the fingerprint of your own key: others add it to trust you.

    The key is made when there is none.
    """
    from modelmgmt.models.trust import keys

    key = keys.own_key()
    assert key is not None  # noqa: S101 - it was made
    code = answer(lambda: _key(key), lambda: key.fingerprint)
    if key.public is None:
        click.echo(
            "It is an HMAC key, which nobody else can check: pip install 'modelmgmt[models]' for Ed25519.", err=True
        )
    return code


@trust.command("add")
@click.argument("fingerprint")
@click.option("--name", metavar="TEXT", required=True, help="What you call the key.")
@click.option("--reason", metavar="TEXT", default="", help="Why you trust it.")
def trust_add(fingerprint: str, name: str, reason: str) -> int:
    """Trust models signed with the key that has this FINGERPRINT, 64 digits."""
    from modelmgmt.models.trust import keys

    added = keys.trust_key(fingerprint, name, reason)
    return answer(
        lambda: asdict(added),
        lambda: f"You now trust what {added.name} ({fingerprint[:16]}...) signs, in every store.",
    )


@trust.command("remove")
@click.argument("key")
def trust_remove(key: str) -> int:
    """Stop trusting KEY: its fingerprint, or the name you gave it."""
    from modelmgmt.models.trust import keys

    keys.distrust_key(key)
    return answer(lambda: {"removed": key}, lambda: f"You no longer trust {key}. Models loaded already stay loaded.")


# -- values for JSON --------------------------------------------------------------------------------------------------


def _pair(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not mark:
        raise click.UsageError(f"A tag is written KEY=VALUE, and {text!r} was given.")
    return key, value


def _key(key: Any) -> dict[str, Any]:
    return {"fingerprint": key.fingerprint, "algorithm": key.algorithm, "created_at": key.created_at}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "event": decision.number, "time": decision.time, "actor": decision.actor, "host": decision.host,
        "kind": decision.kind, "version": decision.version, "reason": decision.reason, "commit": decision.commit,
        "library": decision.library, "detail": dict(decision.detail),
    }  # fmt: skip


def _model(model: Model) -> dict[str, Any]:
    stages = model.stages
    placed = {stage: [_entry(version) for version in model.in_stage(stage)] for stage in stages.names[1:-1]}
    return {
        "name": model.name, "versions": len(model), "newest": model._row_now.last_number if len(model) else None,
        "in_use": next(iter(placed.get(stages.main or "", [])), None), "placed": placed, "aliases": model.aliases,
        "description": model.description, "tags": model.tags,
    }  # fmt: skip


def _entry(version: ModelVersion) -> dict[str, Any]:
    entered = version.entered
    return {
        "version": version.number, "stage": version.stage, "since": entered and entered.time,
        "by": entered and entered.actor, "reason": entered and entered.reason,
    }  # fmt: skip


def _version(version: ModelVersion) -> dict[str, Any]:
    row = version._row_now
    return {
        "model": row.model, "number": row.number, "stage": row.stage, "aliases": version.aliases, "format": row.format,
        "run": row.run, "artifact": row.artifact, "digest": row.digest, "description": row.description,
        "created_at": row.created_at, "created_by": row.created_by, "tags": version.tags,
    }  # fmt: skip


def _whole_model(model: Model) -> dict[str, Any]:
    stages = model.stages
    return {
        **_model(model),
        "stages": {stage: [version.number for version in model.in_stage(stage)] for stage in stages.names},
        "single": list(stages.single),
        "transitions": "any" if stages.transitions is None else {key: list(v) for key, v in stages.transitions.items()},
        "policy": {stage: rule.to_dict() for stage, rule in model.policy.items()},
        "created_at": model._row_now.created_at,
        "created_by": model.created_by,
    }


def _whole_version(version: ModelVersion, metrics: Mapping[str, float]) -> dict[str, Any]:
    results = {name: {**asdict(result), "logged_at": result.logged_at} for name, result in version.results.items()}
    return {
        **_version(version),
        "entered": _entry(version),
        "needs": None if version.needs is None else asdict(version.needs),
        "metrics": metrics,
        "signature": version.signature,
        "results": results,
        "approvals": [asdict(approval) for approval in version.approvals],
    }
