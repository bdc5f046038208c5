"""Random histories: what was so at any time, and every sentence about a model, against what was really done to it.

The machine keeps its own book: for each decision that it makes, which versions it changed and how, in the words that people
read. Cards, histories, lineage, aliases and stages are held to the book after each history, and at times within it.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import modelmgmt as mm
from modelmgmt.models.registry.history import moment_at
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.events import Event

STAGES = ("development", "staging", "canary", "production", "archived")
LAYOUTS = (
    (("development", "staging", "production", "archived"), ("production",)),
    (("development", "staging", "production", "archived"), ("staging", "production")),
    (("development", "canary", "production", "archived"), ("production",)),
)
number = st.integers(1, 6)


class Book:
    """What was done to one model."""

    def __init__(self, name):
        self.name, self.is_there, self.last = name, False, 0
        self.names, self.single = LAYOUTS[0]
        self.stages = {}  # version -> stage, who entered last at the end
        self.aliases, self.stacks, self.asks = {}, {}, set()
        self.tags, self.results, self.approvals = {}, {}, {}
        self.told, self.kinds, self.asked = {}, [], []

    def forget(self, version):
        for kept in (self.stages, self.tags, self.results, self.approvals, self.told):
            kept.pop(version, None)
        self.aliases = {alias: kept for alias, kept in self.aliases.items() if kept != version}

    def tell(self, kind, version=None, text=None, *, others=()):
        """One decision: its kind and version, what it did to that version, and to others."""
        self.kinds.append((kind, version))
        for changed, said in ((version, text), *others):
            if said is not None and changed in self.stages:
                self.told.setdefault(changed, []).append(said)

    def enter(self, version, to, kind, text, *, displaces):
        start = self.stages.pop(version)
        gone = [n for n, stage in self.stages.items() if stage == to] if displaces else []
        for other in gone:
            del self.stages[other]
            self.stages[other] = "archived"
        self.stages[version] = to
        moved = [(n, f"displaced from {to} to archived by version {version}") for n in gone]
        self.tell(kind, version, f"{text} from {start} to {to}", others=moved)

    def in_place(self, stage):
        return next((n for n in reversed(self.stages) if self.stages[n] == stage), None)


class Histories(RuleBasedStateMachine):
    """One store; for each history a model, and a second one with versions of the same numbers."""

    store: mm.Store
    digest: str
    bundle: Path
    names = itertools.count()

    @initialize()
    def begin(self):
        self.book = Book(f"m{next(self.names)}")
        self.other = Book(f"{self.book.name}-other")
        for _ in range(3):
            self.register()

    @property
    def model(self):
        return self.store.models[self.book.name]

    def remember(self):
        """What is so now, and a time that is certainly after it and before what follows."""
        book = self.book
        state = (dict(book.stages), dict(book.aliases), book.names) if book.is_there else None
        book.asked.append((datetime.now(UTC), state))

    def begin_model(self, book):
        if not book.is_there:
            book.is_there, (book.names, book.single) = True, LAYOUTS[0]
            book.tell("created")

    # ------------------------------------------------------------------------------------------------- what people do

    @rule()
    def register(self):
        version = self.store.models.register(self.book.name, digest=self.digest, format="raw")
        self.registered(self.book, version, "registered", "registered in development")

    def registered(self, book, version, kind, text):
        self.begin_model(book)
        book.last += 1
        assert version.number == book.last
        book.stages[book.last] = "development"
        book.tell(kind, book.last, text)
        self.remember()

    @rule()
    def import_a_bundle(self):
        """Of `m:1` of another store: what was decided about that version there was not decided about one of these."""
        version = self.store.import_model(self.bundle, self.book.name)
        self.registered(self.book, version, "imported", f"imported from {version.origin}, in development")

    @rule(number=number)
    def copy_to_another_model_and_promote(self, number):
        """What is decided about version 1 of another model is nothing that was decided about version 1 of this."""
        if number not in self.book.stages:
            return
        source = f"{self.book.name}:{number}"
        version = self.store.models.register_from(source, self.other.name)
        self.registered(self.other, version, "registered", f"copied from {source}, in development")
        version.promote("production", reason="of the other model")
        self.other.enter(self.other.last, "production", "promoted", "promoted", displaces=True)

    @rule(number=number, to=st.sampled_from(STAGES), force=st.booleans())
    def promote(self, number, to, force):
        book = self.book
        if book.stages.get(number) in (None, to) or to not in book.names:
            with pytest.raises(mm.errors.ModelmgmtError):
                self.model.promote(number, to, reason="r", force=force)
        elif to in book.asks and not book.results.get(number) and not force:
            with pytest.raises(mm.errors.GateError):
                self.model.promote(number, to, reason="early")
            book.tell("refused", number, f"refused for {to}, stayed in {book.stages[number]}")
        else:
            self.model.promote(number, to, reason="r", force=force)
            book.enter(number, to, "promoted", "promoted", displaces=to in book.single)
            stack = book.stacks.setdefault(to, [])
            if not stack or stack[-1] != number:
                stack.append(number)
        self.remember()

    @rule(stage=st.sampled_from(["staging", "production"]))
    def rollback(self, stage):
        book = self.book
        now, stack = book.in_place(stage), book.stacks.get(stage, [])
        before = stack[:-1] if stack and stack[-1] == now else stack
        back = next((n for n in reversed(before) if n in book.stages and n != now), None)
        if back is None or stage not in book.single:
            with pytest.raises((mm.errors.InvalidValueError, mm.errors.NotFoundError)):
                self.model.rollback(stage)
            return
        assert self.model.rollback(stage).number == back
        while stack[-1] != back:
            stack.pop()
        book.enter(back, stage, "rolled_back", "brought back", displaces=True)
        self.remember()

    @rule(number=number)
    def archive(self, number):
        if self.book.stages.get(number) in (None, "archived"):
            with pytest.raises(mm.errors.ModelmgmtError):
                self.model.archive(number)
            return
        self.model.archive(number)
        self.book.enter(number, "archived", "archived", "moved", displaces=False)
        self.remember()

    @rule(number=number, alias=st.sampled_from(["champion", "shadow"]))
    def alias(self, number, alias):
        book = self.book
        if number not in book.stages:
            with pytest.raises(mm.errors.NotFoundError):
                self.model.set_alias(alias, number)
            return
        self.model.set_alias(alias, number)
        was = book.aliases.get(alias, number)
        book.aliases[alias] = number
        if was == number:
            book.tell("aliased", number, f"given the alias {alias}")
        else:
            lost = [(was, f"lost the alias {alias} to version {number}")]
            book.tell("aliased", number, f"given the alias {alias}, which version {was} had", others=lost)
        self.remember()

    @rule(alias=st.sampled_from(["champion", "shadow"]))
    def remove_alias(self, alias):
        if alias in self.book.aliases:
            self.model.remove_alias(alias, reason="retired")
            number = self.book.aliases.pop(alias)
            self.book.tell("unaliased", number, f"lost the alias {alias}")
            self.remember()

    @rule(number=number, value=st.sampled_from(["a", "b"]))
    def tag(self, number, value):
        if number in self.book.stages:
            self.model[number].set_tags(team=value)
            self.book.tags[number] = value
            self.book.tell("tagged", number, f"tagged team={value}")

    @rule(number=number)
    def remove_tag(self, number):
        if self.book.tags.pop(number, None):
            self.model[number].remove_tag("team")
            self.book.tell("untagged", number, "tag team removed")

    @rule(number=number, passed=st.booleans())
    def log_result(self, number, passed):
        if number in self.book.stages:
            self.model[number].log_result("scan", passed)
            self.book.results[number] = passed
            self.book.tell("result_logged", number, f"result scan: {'passed' if passed else 'failed'}")

    @rule(number=number, stage=st.sampled_from(["development", "production", "archived"]))
    def approve(self, number, stage):
        if number in self.book.stages:
            self.model[number].approve(stage, "looked at it")
            self.book.approvals.setdefault(number, set()).add(stage)
            self.book.tell("approved", number, f"approved for {stage}")

    @rule(is_set=st.booleans())
    def policy(self, is_set):
        if self.book.is_there:
            self.model.set_policy("production", results=["scan"] if is_set else [])
            self.book.asks = {"production"} if is_set else set()
            self.book.tell("policy_set")

    @rule(layout=st.sampled_from(LAYOUTS))
    def rename_stages(self, layout):
        book, (names, single) = self.book, layout
        if not book.is_there:
            return
        held = list(book.stages.values())
        if any(stage not in names for stage in held) or any(held.count(stage) > 1 for stage in single):
            with pytest.raises(mm.errors.InvalidValueError):
                self.model.set_stages(names, single=single)
            return
        self.model.set_stages(names, single=single)
        book.names, book.single = names, single
        book.tell("stages_set")
        self.remember()

    @rule(number=number)
    def delete(self, number):
        if number in self.book.stages:
            self.deleted([number])
            self.remember()

    @rule(chance=st.integers(0, 9))
    def delete_the_model(self, chance):
        if chance == 0 and self.book.is_there:
            self.deleted(list(self.book.stages), whole=True)
            self.book.asks, self.book.is_there = set(), False
            self.book.tell("deleted")
            self.remember()

    def deleted(self, numbers, *, whole=False):
        # The rows and the events, without the VACUUM that a real deletion ends with.
        from modelmgmt.models.registry.decisions import decide
        from modelmgmt.models.registry.deletion import _delete, _owner, _row

        name = self.book.name
        with self.store._kernel.database.writing() as connection:
            rows = [_row(connection, name, number) for number in sorted(numbers)]
            _delete(connection, _owner(connection, name), rows, "", force=True)
            if whole:
                decide(connection, "model.deleted", name, {"reason": "", "versions": sorted(numbers)})
        for number in sorted(numbers):
            self.book.tell("version_deleted", number)
            self.book.forget(number)

    # --------------------------------------------------------------------------------------------------- what is read

    @invariant()
    def now_is_so(self):
        if hasattr(self, "book") and self.book.is_there:
            book = self.book
            self.check_moment(self.model.as_of(), book.stages, book.aliases, book.names)
            for stage in book.names:
                assert self.model.current(stage) == book.in_place(stage)

    def check_moment(self, moment, stages, aliases, names):
        assert list(moment.stages) == list(names)
        for stage in names:
            assert moment.stages[stage] == tuple(n for n, kept in stages.items() if kept == stage)
        assert dict(moment.aliases) == aliases

    @rule()
    def read_every_sentence(self):
        for book in (self.book, self.other):
            if book.is_there:
                self.check_sentences(book)

    def check_sentences(self, book):
        model = self.store.models[book.name]
        assert [(found.kind, found.version) for found in model.history()] == book.kinds
        assert {version.number: version.stage for version in model} == book.stages
        places = {}
        for version in model:
            n = version.number
            told = book.told.get(n, [])
            assert [found.changes[n] for found in version.history()] == told
            card = sections(version.card())
            assert [row[2] for row in card.get("Decisions", [])] == told
            about = {row[0]: row[1] for row in card[""]}
            aliases = sorted(alias for alias, kept in book.aliases.items() if kept == n)
            assert about["stage"] == book.stages[n]
            assert about.get("aliases", "") == ", ".join(aliases)
            assert about.get("tag team") == book.tags.get(n)
            answer = {True: "passed", False: "failed"}
            assert [row[1] for row in card.get("Results", [])] == [
                answer[p] for p in [book.results.get(n)] if p is not None
            ]
            assert {row[0] for row in card.get("Approvals", [])} == book.approvals.get(n, set())
            stage = book.stages[n]
            if stage in book.names[1:-1]:
                places[n, f"{book.name}@{stage}"] = "is" if book.in_place(stage) == n else "also in"
            places |= {(n, f"{book.name}@{alias}"): "is" for alias in aliases}
        found = self.store.lineage(book.name, direction="down")
        deployed = [edge for edge in found.edges if found.nodes[edge.end].kind == "deployment"]
        own = {(int(e.start.split(":")[1]), e.end): e.role for e in deployed if e.start.split(":")[0] == book.name}
        assert own == places

    def teardown(self):
        if hasattr(self, "book"):
            self.read_every_sentence()
            for time, state in self.book.asked:
                if state is not None:
                    self.check_moment(
                        self.store.models[self.book.name].as_of(time), *state
                    ) if self.book.is_there else None


def sections(card):
    """The tables of a card by the title of their section: "" has the facts above the first title."""
    found, title = {}, ""
    for line in card.splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| ---"):
            cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
            found.setdefault(title, []).append([cell.replace("\\", "") for cell in cells])
    return {title: rows[1:] if title else rows for title, rows in found.items()}


def run(store, digest, folder, examples):
    with mm.Store(folder / "elsewhere") as elsewhere:
        with elsewhere.start_run("elsewhere") as run:
            run.log_model({"w": np.zeros(1)}, "net", register_as="m")
        elsewhere.models["m"].promote(1, "production", reason="of the other store")
        Histories.bundle = elsewhere.export_model("m:1", folder / "m.zip")
    Histories.store, Histories.digest = store, digest
    options = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    for _ in range(2):  # how long those of one draw are is chance
        run_state_machine_as_test(Histories, settings=options)
        decisions = len(store.audit.events(kind="model"))
        if decisions > 8 * examples:
            break
    assert decisions > 8 * examples, "histories of some length: four decisions begin each"
    assert store.audit.verify() == []


def test_random_histories(store, package, tmp_path):
    run(store, package(), tmp_path, 15)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_random_histories(store, package, tmp_path):
    run(store, package(), tmp_path, 1_000)


def event(number, kind, time, **detail):
    return Event(number, time, "a", "h", f"model.{kind}", "m", json.dumps(detail), "", "")


def test_a_clock_that_was_set_back():
    """The order is that of the numbers: what was recorded before an event had happened before it."""
    at = lambda minute: f"2026-01-01T00:{minute:02d}:00.000000Z"
    moves = {"displaced": [], "displaced_to": "archived", "from": "development"}
    package = {"run": None, "artifact": None, "digest": "", "format": "", "description": ""}
    log = [
        event(1, "created", at(0), description="", stages=Stages().encode(), policy="{}", last_number=0),
        event(2, "registered", at(1), version=1, stage="development", **package),
        event(3, "promoted", at(50), version=1, to="staging", **moves),  # the clock was an hour fast
        event(4, "promoted", at(10), version=1, to="production", **moves),
        event(5, "archived", at(20), version=1, to="archived", **moves),
    ]  # fmt: skip
    stage = lambda minute: next(s for s, n in moment_at(log, "m", at(minute)).stages.items() if n)
    assert [stage(minute) for minute in (1, 9, 10, 19, 20, 59)] == [
        "development", "development", "production", "production", "archived", "archived",
    ]  # fmt: skip
    assert moment_at([replace(log[0])], "m", None).stages["production"] == ()


def test_times_that_are_none(store, register):
    register()
    churn = store.models["churn"]
    now = datetime.now(UTC)
    assert churn.as_of(now)["development"] == 1
    assert churn.as_of(now.isoformat())["development"] == 1
    with pytest.raises(mm.errors.NotFoundError, match="no model 'churn' at"):
        churn.as_of(now - timedelta(days=1))
    for wrong, error in (
        ("yesterday", mm.errors.InvalidValueError), (datetime(2026, 1, 1), mm.errors.InvalidValueError),
        ("2026-01-01T00:00:00", mm.errors.InvalidValueError), (5, mm.errors.InvalidTypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            churn.as_of(wrong)


def test_a_model_that_was_deleted_and_made_again(store, register):
    register()
    store.models["churn"].promote(1, "production")
    before = datetime.now(UTC)
    store.models.delete("churn", force=True)
    gone = datetime.now(UTC)
    register()
    churn = store.models["churn"]
    assert churn.as_of(before)["production"] == 1
    with pytest.raises(mm.errors.NotFoundError):
        churn.as_of(gone)
    assert (churn.as_of()["production"], churn.as_of()["development"]) == (None, 2)
