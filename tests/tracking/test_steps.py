"""Steps: calls as nodes of a graph, and work that is skipped only when nothing has changed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.errors import InvalidTypeError


class Model:
    def __init__(self, weight):
        self.weight = weight

    @mm.step(cache=True)
    def scaled(self, x):
        return self.weight * x


class Opaque:
    def __init__(self):
        self.lock = threading.Lock()


@pytest.fixture
def in_runs(store):
    """Call something, each time in a run of its own; gives the results and the steps."""

    def call(*functions):
        results, steps = [], []
        for function in functions:
            with store.start_run("steps") as run:
                results.append(function())
            steps.append(run.steps)
        return results, steps

    return call


def counted(body=lambda x: x, **options):
    """A step that counts how often it runs, in a list that its code does not see."""
    seen = Opaque()
    seen.calls = 0

    @mm.step(**{"cache": True, **options})
    def work(x):
        seen.calls += 1
        return body(x)

    return work, seen


def test_the_same_call_is_not_done_again(store, in_runs):
    work, seen = counted(lambda x: x * 2)
    begin = time.perf_counter()
    results, [[first], [second]] = in_runs(lambda: work(21), lambda: work(21))
    took_s = time.perf_counter() - begin
    assert results == [42, 42]
    assert seen.calls == 1
    assert (first.status, first.reason) == ("ran", "first call")
    assert (second.status, second.reason) == ("cached", f"from run {first.run}")
    assert second.cached_run == first.run
    assert (second.cache_key, second.output_fingerprint) == (first.cache_key, first.output_fingerprint)
    assert 0 < first.duration_s + second.duration_s < took_s
    assert str(second) == f"1. work: cached: from run {first.run}"
    assert repr(second) == f"<Step {second}>"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2), (1, 1.0), (0.0, -0.0), ("a", b"a"), ([1], (1,)), ({"a": 1}, {"a": 2}), (True, 1), (None, 0),
        (np.arange(3), np.arange(3.0)), (np.zeros((2, 3)), np.zeros((3, 2))), ({1, 2}, {1, 3}),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (pd.DataFrame({"a": [1]}, index=[0]), pd.DataFrame({"a": [1]}, index=[1])),
        (pd.DataFrame({"a": pd.array([1, None], "Int64")}), pd.DataFrame({"a": pd.array([1, 0], "Int64")})),
        (pd.Series(["a", None]), pd.Series(["a", "None"])),
        (pd.date_range("2020", periods=2), pd.date_range("2020", periods=2, tz="UTC")),
        (pd.Categorical(["a", "b"]), pd.Categorical(["a", "b"], ordered=True)),
        (Model(1), Model(2)), (len, max), (partial(int, base=2), partial(int, base=3)),
        (np.random.default_rng(0), np.random.default_rng(1)), (np.float32(1), np.float64(1)),
    ],
)  # fmt: skip
def test_another_input_is_another_call(in_runs, one, other):
    work, seen = counted(lambda x: "done")
    _, steps = in_runs(lambda: work(one), lambda: work(other), lambda: work(one))
    assert seen.calls == 2
    assert steps[1][0].status == "ran"
    assert steps[1][0].reason.startswith("input 'x'")
    assert steps[2][0].status == "cached"


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 10**30, 0.1, float("nan"), -float("inf"), "text", "\ud800", b"\0bytes", [1, [2, (3, None)]], {}, set(),
        {"a": {1: (2.5, frozenset({1}))}}, np.arange(6).reshape(2, 3), np.float32(0.1), np.array(["a", "bc"]),
        np.array(["2020-01-01"], "datetime64[D]"), (np.zeros(3), {"w": np.ones((2, 2), order="F")}),
        pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": ["x", None], "d": pd.Categorical(["u", "v"])}),
        pd.DataFrame({"i": pd.array([1, None], "Int64"), "t": pd.date_range("2020", periods=2, tz="Europe/Berlin")}),
        pd.DataFrame([[1, 2]], columns=["same", "same"], index=pd.Index(["row"], name="id")),
        pd.DataFrame(), pd.DataFrame({"o": pd.Series([1, "a", (2,)], dtype=object)}), pd.DataFrame(index=[1, 2]),
        pd.Series([1.5, 2.5], name="s", index=[3, 4]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_kept_result_is_what_was_returned(in_runs, value):
    from modelmgmt.tracking.steps.fingerprint import fingerprint

    work, seen = counted(lambda x: value)
    (first, second), steps = in_runs(lambda: work(1), lambda: work(1))
    assert [step.status for [step] in steps] == ["ran", "cached"], steps
    assert seen.calls == 1
    assert type(second) is type(first)
    assert fingerprint(second) == fingerprint(value)


def test_frames_that_can_not_be_kept_run_again(in_runs):
    frame = pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)]))
    work, seen = counted(lambda x: frame)
    _, steps = in_runs(lambda: work(1), lambda: work(1))
    assert seen.calls == 2
    assert "kept as a pickle only" in steps[0][0].reason
    assert "pickle=True" in steps[1][0].reason


def test_a_model_needs_the_word_pickle(in_runs):
    work, seen = counted(Model)
    _, steps = in_runs(lambda: work(1), lambda: work(1))
    assert seen.calls == 2
    assert "pickle=True" in steps[0][0].reason
    work, seen = counted(Model, pickle=True)
    (_, model), steps = in_runs(lambda: work(1), lambda: work(1))
    assert seen.calls == 1
    assert model.weight == 1
    assert steps[1][0].status == "cached"


def test_a_pickle_is_not_read_by_a_step_that_does_not_allow_it(store, in_runs, monkeypatch):
    import cloudpickle

    careless, _ = counted(Model, pickle=True)
    in_runs(lambda: careless(1))
    monkeypatch.setattr(cloudpickle, "loads", lambda data: pytest.fail("a pickle was read"))
    with store._kernel.database.reading() as connection:
        [key] = connection.execute("SELECT cache_key FROM steps").fetchone()
    with store.start_run("steps") as run:
        from modelmgmt.tracking.steps import call

        monkeypatch.setattr(call, "_key", lambda code, inputs: key)
        careful, seen = counted(lambda x: 5)
        assert careful(1) == 5
    assert seen.calls == 1
    assert "pickle=True" in run.steps[0].reason


def test_a_pickle_of_another_account_is_not_read(in_runs, monkeypatch):
    work, seen = counted(Model, pickle=True)
    in_runs(lambda: work(1))
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.warns(UserWarning, match="stored without a signature"):  # nor are the keys of that account its own
        _, [[step]] = in_runs(lambda: work(1))
    assert seen.calls == 2
    assert "another account" in step.reason


def test_a_pickle_is_read_only_under_a_key_that_is_trusted(store, in_runs, tmp_path, monkeypatch):
    """Another user of the same store and account, with other keys."""
    import cloudpickle

    from modelmgmt.models.trust import keys, signing

    work, seen = counted(Model, pickle=True)
    _, [[mine]] = in_runs(lambda: work(1))
    [signature] = signing.verify(store._kernel, mine.output_digest)
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "theirs"))
    with monkeypatch.context() as patched:
        patched.setattr(cloudpickle, "loads", lambda data: pytest.fail("a pickle was read"))
        _, [[theirs]] = in_runs(lambda: work(1))
    assert seen.calls == 2
    assert theirs.status == "ran"
    assert signature.key in theirs.reason
    assert "a key that you do not trust" in theirs.reason

    keys.trust_key(signature.key, "a colleague")
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "third"))
    in_runs(lambda: work(1))
    keys.trust_key(signature.key, "a colleague")
    _, [[again]] = in_runs(lambda: work(1))
    assert seen.calls == 3
    assert again.status == "cached"


def test_a_pickle_that_nobody_signed_is_not_read(store, in_runs, monkeypatch):
    """As it is kept by an earlier version, or put in its place by whoever can write to the store."""
    import cloudpickle

    work, seen = counted(Model, pickle=True)
    in_runs(lambda: work(1))
    with store._kernel.database.writing() as connection:
        connection.execute("DELETE FROM signatures")
    with monkeypatch.context() as patched:
        patched.setattr(cloudpickle, "loads", lambda data: pytest.fail("a pickle was read"))
        _, [[step]] = in_runs(lambda: work(1))
    assert seen.calls == 2
    assert step.reason == "the kept result cannot be used: it is a pickle, and it is not signed."
    _, [[again]] = in_runs(lambda: work(1))
    assert again.status == "cached"


def test_a_result_without_a_key_to_sign_it_is_made_again(in_runs, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "file" / "below"))
    work, seen = counted(Model, pickle=True)
    with pytest.warns(UserWarning, match="stored without a signature"):
        in_runs(lambda: work(1), lambda: work(1))
    assert seen.calls == 2


def test_a_damaged_result_is_not_used(store, in_runs):
    work, seen = counted(lambda x: "precious")
    _, [[step]] = in_runs(lambda: work(1))
    path = store._kernel.objects.path(step.output_digest)
    path.chmod(0o600)
    path.write_bytes(b"rot" + path.read_bytes()[3:])
    results, [[again]] = in_runs(lambda: work(1))
    assert results == ["precious"]
    assert seen.calls == 2
    assert again.reason.startswith("the kept result cannot be used")


def test_garbage_collection_keeps_results_and_deletion_frees_them(store, in_runs):
    work, _seen = counted(lambda x: np.arange(1000))
    _, [[first]] = in_runs(lambda: work(1))
    store.gc(grace_s=0)
    _, [[second]] = in_runs(lambda: work(1))
    assert second.status == "cached"
    store.delete_run(first.run)
    results, [[third]] = in_runs(lambda: work(1))
    assert third.status == "cached"
    assert third.cached_run == first.run
    assert results[0].sum() == 499500
    for run in store.runs():
        store.delete_run(run)
    store.gc(grace_s=0)
    assert not list(store._kernel.objects.digests())


def test_arguments_count_by_what_they_are(in_runs):
    seen = Opaque()
    seen.calls = 0

    @mm.step(cache=True)
    def work(a, b=2, *rest, c=3, **more):
        seen.calls += 1
        return [a, b, list(rest), c, dict(more)]

    results, steps = in_runs(
        lambda: work(1, x=1, y=2),
        lambda: work(a=1, b=2, c=3, y=2, x=1),
        lambda: work(1, 2, y=2, c=3, x=1),
        lambda: work(1, 2, 4),
    )
    assert seen.calls == 2
    assert results[0] == results[1] == results[2] == [1, 2, [], 3, {"x": 1, "y": 2}]
    assert [given.name for given in steps[0][0].inputs] == ["a", "b", "rest", "c", "more"]
    assert [found.status for [found] in steps] == ["ran", "cached", "cached", "ran"]


def test_wrong_arguments_raise_as_without_the_decorator(store):
    work, _ = counted()
    with store.start_run("steps") as run, pytest.raises(TypeError, match="missing 1 required positional argument"):
        work()
    assert run.steps == ()


def test_methods_count_their_object(in_runs):
    results, steps = in_runs(lambda: Model(2).scaled(3), lambda: Model(2).scaled(3), lambda: Model(5).scaled(3))
    assert results == [6, 6, 15]
    assert [found.name for found in steps[0][0].inputs] == ["self", "x"]
    assert [found.status for [found] in steps] == ["ran", "cached", "ran"]


def test_a_failure_is_recorded_and_raised(store):
    work, seen = counted(lambda x: 1 / x)
    for _ in range(2):
        with store.start_run("steps") as run, pytest.raises(ZeroDivisionError):
            work(0)
        assert run.steps[0].status == "failed"
        assert run.steps[0].reason == "ZeroDivisionError: division by zero"
    assert seen.calls == 2


def test_changing_an_input_in_place_is_noticed(store):
    @mm.step(cache=True)
    def spoil(rows):
        rows.append(1)
        return len(rows)

    for _ in range(2):
        with store.start_run("steps") as run, pytest.warns(UserWarning, match="changes its input 'rows' in place"):
            assert spoil([]) == 1
        assert run.steps[0].status == "ran"
        assert "in place; its result is not kept" in run.steps[0].reason


def test_inputs_without_a_fingerprint_are_never_cached(in_runs):
    work, seen = counted(lambda x: 1)
    _, steps = in_runs(*[lambda: work(threading.Lock())] * 2)
    assert seen.calls == 2
    assert steps[1][0].reason == "input 'x' has no fingerprint"
    assert steps[1][0].inputs[0].fingerprint is None


def test_results_that_are_generators_are_given_untouched(in_runs):
    work, _seen = counted(lambda x: (n for n in range(3)))
    results, steps = in_runs(lambda: list(work(1)), lambda: list(work(1)))
    assert results == [[0, 1, 2]] * 2
    assert "generator" in steps[0][0].reason


def test_without_a_run_it_is_just_a_call(store):
    work, seen = counted(lambda x: x + 1)
    assert [work(1), work(1)] == [2, 2]
    assert seen.calls == 2
    with store._kernel.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM steps").fetchone() == (0,)


def test_disabled_it_is_just_a_call(store, monkeypatch):
    monkeypatch.setenv("MODELMGMT_DISABLED", "1")
    work, seen = counted(lambda x: x + 1)
    with store.start_run("steps") as run:
        assert [work(1), work(1)] == [2, 2]
    assert run.steps == ()
    assert seen.calls == 2


def test_recorded_and_not_cached_unless_asked(in_runs):
    work, seen = counted(lambda x: x, cache=False, name="plain work")
    _, steps = in_runs(lambda: work(1), lambda: work(1))
    assert seen.calls == 2
    assert [found.reason for [found] in steps] == ["caching is off"] * 2
    assert steps[0][0].name == "plain work"
    assert steps[0][0].output_digest is None
    assert steps[0][0].output_fingerprint == steps[1][0].output_fingerprint is not None


def test_the_graph(store):
    @mm.step(cache=True)
    def read(n):
        return pd.DataFrame({"x": np.arange(n)}), pd.DataFrame({"x": np.arange(n, 2 * n)})

    @mm.step(cache=True)
    def fit(frame, power):
        return np.asarray(frame["x"]).mean() ** power

    @mm.step
    def score(model, frame, word):
        return float(model + len(frame))

    def pipeline():
        with store.start_run("steps") as run:
            train, test = read(5)
            score(fit(train, 2.0), test, "same")
        return run

    for expected in ("ran", "cached"):
        steps = pipeline().steps
        assert [found.name for found in steps] == ["read", "fit", "score"]
        assert [found.status for found in steps] == [expected, expected, "ran"]
        assert {given.name: given.steps for given in steps[1].inputs} == {"frame": (1,), "power": ()}
        assert {given.name: given.steps for given in steps[2].inputs} == {"model": (2,), "frame": (1,), "word": ()}


def test_steps_in_steps(store):
    @mm.step
    def inner(x):
        return x + 1

    @mm.step
    def outer(x):
        return inner(inner(x))

    with store.start_run("steps") as run:
        assert outer(0) == 2
    assert [(found.name, found.number, found.parent) for found in run.steps] == [
        ("outer", 1, None), ("inner", 2, 1), ("inner", 3, 1),
    ]  # fmt: skip


def test_a_run_as_an_argument_is_where_to_log_and_no_input(in_runs, store):
    @mm.step(cache=True)
    def train(run, lr):
        return lr * 2

    _, steps = in_runs(lambda: train(mm.active_run(), 0.1), lambda: train(mm.active_run(), 0.1))
    assert [given.name for given in steps[0][0].inputs] == ["lr"]
    assert steps[1][0].status == "cached"


def test_threads(store):
    work, _seen = counted(lambda x: x * 10, cache=False)
    results: dict[int, int] = {}
    with store.start_run("steps") as run:
        threads = [threading.Thread(target=lambda n=n: results.update({n: work(n)})) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {n: n * 10 for n in range(16)}
    assert [found.number for found in run.steps] == list(range(1, 17))


def test_what_can_not_be_a_step():
    async def later():
        pass

    def generate():
        yield 1

    for wrong in (later, generate):
        with pytest.raises(InvalidTypeError, match="generator or coroutine"):
            mm.step(wrong)
    for wrong in (3, len, Model, partial(print)):
        with pytest.raises(InvalidTypeError, match="decorates a function"):
            mm.step(cache=True)(wrong)
    with pytest.raises(InvalidTypeError, match="below @staticmethod"):
        mm.step(staticmethod(lambda: 1))
    with pytest.raises(InvalidTypeError, match="step already"):
        mm.step(mm.step(lambda: 1))
    with pytest.raises(mm.errors.InvalidNameError):
        mm.step(name="\n")(lambda: 1)


def test_passwords_are_not_shown(store):
    @mm.step
    def fetch(url, password, api_key=""):
        return None

    with store.start_run("steps") as run:
        fetch("db", "hunter2", api_key="abc")
    assert [given.shown for given in run.steps[0].inputs] == ["db", "hidden", "hidden"]


# ------------------------------------------------------------------------------------------- files


def test_a_path_stands_for_its_content(in_runs, tmp_path):
    work, seen = counted(lambda path: path.read_text())
    file = tmp_path / "in.txt"
    file.write_text("one")
    in_runs(lambda: work(file), lambda: work(file))
    assert seen.calls == 1
    file.write_text("two")
    results, [[step]] = in_runs(lambda: work(file))
    assert results == ["two"]
    assert step.reason.startswith("input 'x'")
    folder = tmp_path / "folder"
    folder.mkdir()
    count, seen = counted(lambda path: len(list(path.iterdir())))
    in_runs(lambda: count(folder), lambda: count(folder))
    (folder / "new").write_text("")
    assert in_runs(lambda: count(folder))[0] == [1]
    assert seen.calls == 2


def test_a_file_that_a_step_wrote_comes_back(in_runs, tmp_path):
    target = tmp_path / "out" / "result.txt"

    def write(text):
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)
        return target

    work, seen = counted(write)
    in_runs(lambda: work("hello"))
    target.unlink()
    results, [[step]] = in_runs(lambda: work("hello"))
    assert (step.status, seen.calls) == ("cached", 1)
    assert results[0].read_text() == "hello"
    target.write_text("edited by hand")
    _, [[step]] = in_runs(lambda: work("hello"))
    assert (step.status, seen.calls) == ("ran", 2)
    assert "has been changed since" in step.reason


# ------------------------------------------------------------------------------------------- code


PROGRAM = """
import modelmgmt as mm
import project_part
{globals}

@mm.step(cache=True)
def work(x):
    {body}

with mm.start_run("code") as run:
    print(work(3))
[step] = run.steps
print(step.status, step.reason)
"""


@pytest.fixture
def program(tmp_path):
    """Run a script beside a module of its own; gives what it printed, line by line."""

    def run(body="return project_part.double(x)", part="def double(x):\n    return 2 * x\n", globals_=""):
        (tmp_path / "project_part.py").write_text(part)
        script = tmp_path / "script.py"
        script.write_text(PROGRAM.format(body=body, globals=globals_))
        done = subprocess.run(
            [sys.executable, "-B", "-W", "error", str(script)], cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_code_counts_where_it_is_executed(program):
    assert program() == ["6", "ran first call"]
    assert program()[1].startswith("cached from run")
    # What Python does not execute does not count.
    spaced = 'def double(x: int) -> int:\n    """Twice."""\n\n    return 2 * x  # twice\n'
    assert program(part=spaced)[1].startswith("cached from run")
    assert program(body='"""Says more."""\n    return project_part.double(x)  # here')[1].startswith("cached")
    # What it reaches does: a function of another module, and what that calls.
    assert program(part="def double(x):\n    return 3 * x\n") == ["9", "ran function double (called by work) changed"]
    indirect = "def helper(x):\n    return {n} * x\ndef double(x):\n    return helper(x)\n"
    assert program(part=indirect.format(n=4)) == ["12", "ran function double (called by work) changed"]
    assert program(part=indirect.format(n=5)) == ["15", "ran function helper (called by double) changed"]
    assert program(part=indirect.format(n=4))[1].startswith("cached")


def test_globals_and_late_imports_count(program):
    body = "return LIMIT + x"
    assert program(body, globals_="LIMIT = 1") == ["4", "ran first call"]
    assert program(body, globals_="UNUSED = 0\nLIMIT = 1")[1].startswith("cached")
    assert program(body, globals_="LIMIT = 2") == ["5", "ran global LIMIT (used by work) changed from 1 to 2"]
    late = "from project_part import double\n    return double(x)"
    assert program(late)[1] == "ran function work changed"
    assert program(late)[1].startswith("cached")
    assert program(late, part="def double(x):\n    return 7 * x\n") == [
        "21",
        "ran module project_part (used by work) changed",
    ]


def test_sets_in_code_have_one_fingerprint_in_every_process(program, monkeypatch):
    body = "return x in {'a', 'b', 'c', 'd', 3}"
    for seed, expected in (("1", "ran"), ("2", "cached"), ("3", "cached")):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        assert program(body)[1].startswith(expected)


def test_closures_classes_and_recursion_count():
    from modelmgmt.tracking.steps.fingerprint import fingerprint_code

    def make(n):
        def inner(x):
            return x + n

        return inner

    assert fingerprint_code(make(1)) == fingerprint_code(make(1)) != fingerprint_code(make(2))

    def build(value):
        class Thing:
            size = value

            def grow(self):
                return Thing().grow() if self.size else build

        return lambda: Thing

    assert fingerprint_code(build(1)) == fingerprint_code(build(1)) != fingerprint_code(build(2))


def test_two_processes_that_compute_the_same_step(store, tmp_path):
    code = textwrap.dedent(
        """
        import sys, time
        import modelmgmt as mm

        @mm.step(cache=True)
        def work(x):
            time.sleep(0.3)
            return [x, x]

        with mm.start_run("two"):
            print(work(1))
        """
    )
    script = tmp_path / "both.py"
    script.write_text(code)
    environment = {**__import__("os").environ, "MODELMGMT_STORE": str(store.path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(script)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in both:
        out, error = process.communicate()
        assert (out, error) == (b"[1, 1]\n", b"")
    assert store.check() == []
    steps = [step for run in store.runs("run.experiment = 'two'") for step in run.steps]
    assert len(steps) == 2
    assert len({step.cache_key for step in steps}) == 1


# ------------------------------------------------------------------------------------------- the store


def test_steps_survive_backup_merge_and_check(store, in_runs, tmp_path):
    work, seen = counted(lambda x: np.ones(4))
    _, [[first]] = in_runs(lambda: work(1))
    with mm.Store(tmp_path / "other") as other:
        other.merge(store)
        assert other.runs[first.run].steps == (first,)
        with other.start_run("steps") as run:
            assert work(1).sum() == 4
        assert run.steps[0].status == "cached"
        assert other.check(deep=True) == []
    assert seen.calls == 1


def test_a_pickle_of_another_store_never_runs_here(store, in_runs, tmp_path):
    work, seen = counted(Model, pickle=True)
    _, [[first]] = in_runs(lambda: work(1))
    assert first.output_digest
    with mm.Store(tmp_path / "other") as other:
        other.merge(store)
        [brought] = other.runs[first.run].steps
        assert brought == replace(first, output_digest=None)
        with other.start_run("steps") as run:
            work(1)
        assert [step.status for step in run.steps] == ["ran"]
        assert other.merge(store).updated == ()
        assert other.check(deep=True) == []
        store.merge(other)
        assert store.runs[first.run].steps == (first,)  # one's own stays
    assert seen.calls == 2


def test_a_killed_step_stays_as_running(store, script):
    done = script(
        """
        @mm.step
        def work():
            os._exit(9)

        with mm.start_run("killed"):
            work()
        """
    )
    assert done.returncode == 9
    [run] = store.runs("run.experiment = 'killed'")
    assert [(step.status, step.duration_s) for step in run.steps] == [("running", None)]


def test_a_failing_disk_does_not_stop_the_step(store, monkeypatch):
    from modelmgmt.errors import StoreWriteError
    from modelmgmt.tracking.steps import table

    work, _ = counted(lambda x: x + 1)
    whole = table.insert
    with store.start_run("steps") as run:
        monkeypatch.setattr(table, "insert", lambda *_: (_ for _ in ()).throw(StoreWriteError("The disk is full.")))
        with pytest.warns(UserWarning, match="The disk is full"):
            assert work(1) == 2
        monkeypatch.setattr(table, "insert", whole)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.note("the disk is back")
    assert [(step.name, step.status, step.number) for step in run.steps] == [("work", "ran", 1)]


def test_a_failing_disk_raises_where_that_was_asked_for(store, monkeypatch):
    from modelmgmt.errors import StoreWriteError
    from modelmgmt.tracking.steps import table

    work, _seen = counted(lambda x: x + 1)
    monkeypatch.setattr(table, "insert", lambda *_: (_ for _ in ()).throw(StoreWriteError("The disk is full.")))
    with store.start_run("steps", on_error="raise"), pytest.raises(StoreWriteError):
        work(1)


def test_a_path_in_the_code_counts_by_its_name(in_runs, tmp_path):
    target = tmp_path / "out.txt"
    work, seen = counted(target.write_text)
    in_runs(lambda: work("one"), lambda: work("two"))
    _, [[step]] = in_runs(lambda: work("one"))
    assert (step.status, seen.calls) == ("cached", 2)


def test_paths_are_not_followed_out_of_text(in_runs, tmp_path):
    work, _seen = counted(lambda x: 1)
    name = tmp_path / "file"
    name.write_text("one")
    in_runs(lambda: work(str(name)))
    name.write_text("two")
    _, [[step]] = in_runs(lambda: work(str(name)))
    assert step.status == "cached"
    assert isinstance(name, Path)


class Spiteful:
    """Raises at everything that is asked of it."""

    def __init__(self):
        self.x = 1

    def __getstate__(self):
        raise KeyError("no")


def test_spiteful_objects_do_not_stop_the_training(in_runs):
    work, seen = counted(lambda x: 1)
    results, steps = in_runs(lambda: work(Spiteful()), lambda: work([Spiteful()]))
    assert results == [1, 1]
    assert steps[0][0].inputs[0].fingerprint is None
    spite = Spiteful()
    work, seen = counted(lambda x: (spite, x)[1])
    results, steps = in_runs(lambda: work(1), lambda: work(1))
    assert results == [1, 1]
    assert [step.status for [step] in steps] == ["ran", "cached"]
    work, seen = counted(lambda x: Spiteful())
    in_runs(lambda: work(1))
    assert seen.calls == 1


def test_tables_of_other_libraries(in_runs):
    polars, sparse = pytest.importorskip("polars"), pytest.importorskip("scipy.sparse")
    for make in (lambda n: polars.DataFrame({"a": [1, n]}), lambda n: sparse.csr_array(np.eye(3) * n)):
        work, _seen = counted(lambda x: 1)
        _, steps = in_runs(*(partial(lambda call, x: call(x), work, make(n)) for n in (2, 2, 3)))
        assert [step.status for [step] in steps] == ["ran", "cached", "ran"]
