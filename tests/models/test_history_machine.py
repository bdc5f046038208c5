"""`at(t)` against a model of a few lines: random histories, with time asked for between any two decisions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import modelmgmt as mm
from modelmgmt.models.registry.history import moment_at
from modelmgmt.models.registry.stages import Stages
from modelmgmt.store.events import Event

STAGES = ("development", "staging", "production", "archived")
number = st.integers(1, 6)


class Histories(RuleBasedStateMachine):
    """One store, a model for each history; beside it, a dict of who is where, and what it was at times in between."""

    store: mm.Store
    digest: str

    @initialize()
    def begin(self):
        self.name = f"m{len(self.store.models)}"
        self.model = self.store.models.create(self.name)
        self.versions, self.aliases, self.stack, self.last = {}, {}, [], 0
        self.asked = []
        for _ in range(3):
            self.register()

    def remember(self):
        """What is so now, and a time that is certainly after it and before what follows."""
        self.asked.append((datetime.now(UTC), dict(self.versions), dict(self.aliases)))

    def move(self, number, to):
        if to == "production":
            for other in [n for n, stage in self.versions.items() if stage == "production" and n != number]:
                del self.versions[other]
                self.versions[other] = "archived"
        self.versions.pop(number, None)
        self.versions[number] = to  # at the end: who entered last

    @rule()
    def register(self):
        version = self.store.models.register(self.name, digest=self.digest, format="raw")
        self.last += 1
        assert version.number == self.last
        self.versions[self.last] = "development"
        self.model.refresh()
        self.remember()

    @rule(number=number, to=st.sampled_from(STAGES))
    def promote(self, number, to):
        if number not in self.versions or self.versions[number] == to:
            with pytest.raises(mm.errors.ModelmgmtError):
                self.model.promote(number, to)
            return
        self.model.promote(number, to)
        self.move(number, to)
        if to == "production" and (not self.stack or self.stack[-1] != number):
            self.stack.append(number)
        self.remember()

    @rule()
    def rollback(self):
        now = next((n for n, stage in self.versions.items() if stage == "production"), None)
        before = self.stack[:-1] if self.stack and self.stack[-1] == now else self.stack
        back = next((n for n in reversed(before) if n in self.versions and n != now), None)
        if back is None:
            with pytest.raises(mm.errors.InvalidValueError):
                self.model.rollback("production")
            return
        assert self.model.rollback("production").number == back
        while self.stack[-1] != back or (now is not None and self.stack[-1] == now):
            self.stack.pop()
        self.move(back, "production")
        self.remember()

    @rule(number=number)
    def archive(self, number):
        if self.versions.get(number) in (None, "archived"):
            with pytest.raises(mm.errors.ModelmgmtError):
                self.model.archive(number)
            return
        self.model.archive(number)
        self.move(number, "archived")
        self.remember()

    @rule(number=number, alias=st.sampled_from(["champion", "shadow"]))
    def alias(self, number, alias):
        if number not in self.versions:
            with pytest.raises(mm.errors.NotFoundError):
                self.model.set_alias(alias, number)
            return
        self.model.set_alias(alias, number)
        self.aliases[alias] = number
        self.remember()

    @rule(number=number)
    def delete(self, number):
        if number not in self.versions:
            return
        # The rows and the event, without the VACUUM that a real deletion ends with.
        from modelmgmt.models.registry.deletion import _delete, _owner, _row

        with self.store.kernel.database.writing() as connection:
            rows = [_row(connection, self.name, number)]
            _delete(connection, _owner(connection, self.name), rows, "", force=True)
        del self.versions[number]
        self.aliases = {alias: kept for alias, kept in self.aliases.items() if kept != number}
        self.model.refresh()
        self.remember()

    @invariant()
    def now_is_so(self):
        if hasattr(self, "model"):
            self.check(self.model.at(), self.versions, self.aliases)
            for stage in ("staging", "production"):
                entered = [n for n, kept in self.versions.items() if kept == stage]
                assert self.model.placed(stage) == (entered[-1] if entered else None)

    def check(self, moment, versions, aliases):
        for stage in STAGES:
            assert moment.stages[stage] == tuple(n for n, kept in versions.items() if kept == stage)
        assert dict(moment.aliases) == aliases

    def teardown(self):
        if hasattr(self, "model"):
            for time, versions, aliases in self.asked:
                self.check(self.model.at(time), versions, aliases)


def run(store, examples):
    Histories.store, Histories.digest = store, store.kernel.objects.put_bytes(b"weights").digest
    options = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    for _ in range(2):  # how long those of one draw are is chance
        run_state_machine_as_test(Histories, settings=options)
        decisions = len(store.audit.events(kind="model"))
        if decisions > 8 * examples:
            break
    assert len(store.models) >= examples
    assert decisions > 8 * examples, "histories of some length: four decisions begin each"
    assert store.audit.verify() == []


def test_random_histories(store):
    run(store, 15)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_random_histories(store):
    run(store, 1_000)


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
    assert churn.at(now)["development"] == 1
    assert churn.at(now.isoformat())["development"] == 1
    with pytest.raises(mm.errors.NotFoundError, match="no model 'churn' at"):
        churn.at(now - timedelta(days=1))
    for wrong, error in (
        ("yesterday", mm.errors.InvalidValueError), (datetime(2026, 1, 1), mm.errors.InvalidValueError),
        ("2026-01-01T00:00:00", mm.errors.InvalidValueError), (5, mm.errors.InvalidTypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            churn.at(wrong)


def test_a_model_that_was_deleted_and_made_again(store, register):
    register()
    store.models["churn"].promote(1, "production")
    before = datetime.now(UTC)
    store.models.delete("churn", force=True)
    gone = datetime.now(UTC)
    register()
    churn = store.models["churn"]
    assert churn.at(before)["production"] == 1
    with pytest.raises(mm.errors.NotFoundError):
        churn.at(gone)
    assert (churn.at()["production"], churn.at()["development"]) == (None, 2)
