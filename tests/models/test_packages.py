"""What log_model keeps, and what load_model makes of it again."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import warnings

import numpy as np
import pandas as pd
import pytest

import modelmgmt as mm
from modelmgmt.errors import (
    CorruptDataError,
    InvalidNameError,
    InvalidTypeError,
    InvalidValueError,
    MissingCodeError,
    NotFoundError,
    RunFinishedError,
    StoreTooNewError,
)
from modelmgmt.models import load
from modelmgmt.models.packaging import package
from modelmgmt.models.packaging.requirements import requirements
from modelmgmt.store.trees import Entry, Tree, Trees


class Mean:
    def __init__(self, value=0.0):
        self.value = value

    def predict(self, X):
        return np.full(len(X), self.value)


@pytest.fixture
def run(store):
    with store.start_run("models", name="one") as run:
        yield run


def of_path(path):
    """The object file of a path in a package, made writable."""
    path.chmod(0o644)
    return path


# ------------------------------------------------------------------------------------------------------ what is written


def test_model_json_says_what_the_model_is(store, run):
    logged = run.log_model(
        Mean(2.0), "mean", input_example=pd.DataFrame({"a": [1, 2]}), description="the mean", metadata={"team": ["a"]}
    )
    content = json.loads(logged.package.read("model.json"))
    assert content["schema"] == "modelmgmt.model/1"
    assert content["name"] == "mean"
    assert content["format"] == "cloudpickle"
    assert content["executes"] is True
    assert content["class"].endswith(".Mean")
    assert content["description"] == "the mean"
    assert content["metadata"] == {"team": ["a"]}
    assert content["run"] == {"id": run.id, "name": "one", "experiment": "models"}
    assert content["example"] == {"input": "example/input.table.json", "output": "example/output.npy"}
    lines = logged.package.read("requirements.txt").decode().splitlines()
    assert content["requirements"] == [line for line in lines if not line.startswith("#")]
    assert content["links"]["code"]["tree"] == run.code.versions[-1].tree_digest
    assert content["links"]["environment"]
    assert logged.package.run == run.id
    assert logged.package.metadata == {"team": ["a"]}


def test_model_is_an_artifact_of_the_run_and_sound(store, run, tmp_path):
    logged = run.log_model(Mean(), "mean")
    artifact = store.runs[run.id].artifact("mean")
    assert (artifact.kind, artifact.digest) == ("model", logged.digest)
    with pytest.raises(InvalidTypeError, match="load_model"):
        artifact.load()
    with pytest.raises(InvalidTypeError, match="save"):
        artifact.read_bytes()
    assert (artifact.save(tmp_path / "copy") / "model.json").is_file()
    assert store.check(deep=True) == []


def test_example_comes_back_with_what_the_model_said_of_it(store, run):
    frame = pd.DataFrame({"a": np.arange(500), "b": pd.Categorical(["x", "y"] * 250)})
    logged = run.log_model(Mean(3.0), "mean", input_example=frame)
    example = logged.package.example
    pd.testing.assert_frame_equal(example.input, frame[:100])
    assert example.output.tolist() == [3.0] * 100


@pytest.mark.parametrize(
    "data", [np.ones((2, 2)), {"x": np.ones((2, 2)), "y": np.zeros((2, 1))}, np.array(["a", "bb"]), [[1], [2]]]
)
def test_examples_of_arrays_come_back(store, run, data):
    example = run.log_model(Mean(), "mean", input_example=data).package.example
    parts = example.input.items() if isinstance(example.input, dict) else [("", example.input)]
    for name, array in parts:
        assert np.array_equal(array, data[name] if name else data)


def test_sparse_example_is_learnt_from_and_kept_sparse(store, run):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.eye(4))
    logged = run.log_model(lambda X: np.asarray(X.sum(axis=1)).ravel(), "sums", input_example=matrix)
    kept = logged.package.example.input
    assert type(kept) is sparse.csr_matrix
    assert np.array_equal(kept.toarray(), np.eye(4))
    model = mm.load_model(logged.reference, store=store)
    assert model.predict(matrix).tolist() == [1.0] * 4
    assert model.check_example() == ""


def test_model_that_does_not_take_its_example_is_kept_and_that_is_said(store, run):
    class Fussy:
        def predict(self, X):
            raise RuntimeError("wrong moon")

    with pytest.warns(UserWarning, match="failed on its input example .*wrong moon"):
        logged = run.log_model(Fussy(), "fussy", input_example=[[1.0]])
    assert logged.package.example.output is None
    with pytest.raises(InvalidValueError, match="no input example with an output"):
        mm.load_model(logged.reference, store=store).check_example()


def test_what_a_model_says_later_is_held_against_what_it_said(store, run):
    logged = run.log_model(Mean(3.0), "mean", input_example=[[1.0]])
    loaded = mm.load_model(logged.reference, store=store, cached=False)
    loaded.model.value = 4.0
    assert loaded.check_example() == "1 of 1 values differ; the largest difference is 1"


def test_requirements_are_of_what_the_model_needs(store, run):
    assert requirements({"json", "os.path", "modelmgmt.errors", "builtins"}) == ()
    logged = run.log_model(lambda X: np.asarray(X) + 1, "function")
    assert [line.partition("==")[0] for line in logged.package.requirements] == ["cloudpickle", "numpy"]


def test_module_under_another_name_than_its_distribution_is_found():
    assert [line.partition("==")[0] for line in requirements({"_pytest", "dateutil.tz"})] == [
        "pytest",
        "python-dateutil",
    ]


def test_same_name_again_takes_the_new_model(store, run):
    first = run.log_model(Mean(1.0), "mean")
    second = run.log_model(Mean(2.0), "mean")
    assert first.digest != second.digest
    assert mm.load_model(first.reference, store=store).model.value == 2.0


def test_register_as_makes_the_next_version(store, run):
    assert run.log_model(Mean(), "mean", register_as="churn", description="one").version.reference == "churn:1"
    logged = run.log_model(Mean(5.0), "mean", register_as="churn")
    assert logged.version.number == 2
    assert logged.version.digest == logged.digest
    assert store.models.version("churn:1").description == "one"
    for reference in ("churn:2", "models:/churn/2", "models:/churn@latest", "churn@latest", logged.reference):
        assert mm.load_model(reference, store=store).model.value == 5.0


def test_fields_of_later_versions_survive_being_written_again(store, run):
    logged = run.log_model(Mean(), "mean")
    newer = package.rewrite(store._kernel, logged.package, {"carbon_g": 12})
    again = package.rewrite(store._kernel, newer, {"description": "changed"})
    assert again.content["carbon_g"] == 12
    assert again.description == "changed"
    assert again.weights == logged.package.weights


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("name", ["a/b", "a@b", "a:b", "..", "../a", "", "a\nb", "run", "a\\b", 7])
def test_names_that_references_could_not_tell_apart_are_refused(store, run, name):
    with pytest.raises((InvalidNameError, InvalidTypeError)):
        run.log_model(Mean(), name)
    with pytest.raises((InvalidNameError, InvalidTypeError)):
        run.log_model(Mean(), "mean", register_as=name)
    assert run.artifacts == {}
    assert len(store.models) == 0


def test_arguments_of_the_wrong_kind_are_refused(store, run):
    for options in ({"description": 1}, {"metadata": [1]}, {"metadata": {"a": object()}}, {"signature": {}}):
        with pytest.raises(InvalidTypeError):
            run.log_model(Mean(), "mean", **options)
    assert run.artifacts == {}


def test_the_way_to_a_model_is_no_model(store, run, tmp_path):
    """It would be kept as a pickled name, and that it is not the model would be noticed when it is loaded."""
    (tmp_path / "net.pt").write_bytes(b"weights")
    for way in (str(tmp_path / "net.pt"), tmp_path / "net.pt", tmp_path / "nothing", tmp_path, "bert-base"):
        with pytest.raises(InvalidTypeError, match="load it and log the loaded model"):
            run.log_model(way, "net")
    with pytest.raises(InvalidTypeError, match="does your function return the fitted model"):
        run.log_model(None, "none")
    assert run.artifacts == {}


def test_finished_run_takes_no_model(store, run):
    run.finish()
    with pytest.raises(RunFinishedError):
        run.log_model(Mean(), "mean")


def test_disabled_run_takes_a_model_and_keeps_nothing(monkeypatch):
    monkeypatch.setenv("MODELMGMT_DISABLED", "1")
    logged = mm.start_run("doc").log_model(Mean(), "mean", input_example=[[1]], register_as="churn")
    assert (logged.digest, logged.format, logged.version, logged.signature) == (None, None, None, None)


def test_what_is_not_there_is_said_and_looking_makes_no_store(store, tmp_path):
    with pytest.raises(NotFoundError):
        mm.load_model("churn:1", store=store)
    with pytest.raises(NotFoundError, match="no store"):
        mm.load_model("churn:1", store=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_flipped_byte_in_the_weights_is_named_and_nothing_is_read(store, run):
    logged = run.log_model(Mean(), "mean")
    path = of_path(store._kernel.objects.path(logged.package.tree["weights/model.pkl"].digest))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptDataError, match="does not contain the bytes that were put"):
        mm.load_model(logged.reference, store=store)
    assert any("weights" in str(problem) or "object" in str(problem) for problem in store.check(deep=True))


def test_missing_weights_are_named(store, run):
    logged = run.log_model(Mean(), "mean")
    store._kernel.objects.path(logged.package.tree["weights/model.pkl"].digest).unlink()
    with pytest.raises(NotFoundError):
        mm.load_model(logged.reference, store=store)
    [problem] = store.check()
    assert "weights/model.pkl is missing" in str(problem)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"junk", CorruptDataError),
        (b"[]", CorruptDataError),
        (b'{"schema": "other"}', CorruptDataError),
        (b'{"schema": "modelmgmt.model/1", "name": 1, "format": "skops"}', CorruptDataError),
        (b'{"schema": "modelmgmt.model/2", "name": "a", "format": "skops"}', StoreTooNewError),
        (b'{"schema": "modelmgmt.model/1", "name": "a", "format": "../../x"}', InvalidValueError),
        (b"[" * 100_000, CorruptDataError),
    ],
)
def test_model_json_is_believed_in_nothing(store, run, content, error):
    stored = store._kernel.objects.put_bytes(content)
    digest = Trees(store._kernel.objects).put(Tree({"model.json": Entry(stored.digest, stored.size)}))
    with pytest.raises(error):
        load.load_digest(store._kernel, digest)


def test_tree_that_is_no_model_is_refused(store, run):
    digest = Trees(store._kernel.objects).put(Tree({}))
    with pytest.raises(CorruptDataError, match=r"no model\.json"):
        package.read_package(store._kernel, digest)


def test_class_that_is_gone_is_said(store, tmp_path):
    """The code travels along: without it, or when nobody trusts it, the error says what is missing."""
    (tmp_path / "gone_shop.py").write_text("class Net:\n    def predict(self, X):\n        return [1] * len(X)\n")
    code = """
        import sys, modelmgmt as mm
        sys.path.insert(0, sys.argv[1])
        import gone_shop
        with mm.Store(sys.argv[2]).start_run("doc") as run:
            print(run.log_model(gone_shop.Net(), "with", input_example=[[1.0]]).reference)
            print(run.log_model(gone_shop.Net(), "without", code=False).reference)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), tmp_path, store.path]
    with_code, without = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    (tmp_path / "gone_shop.py").unlink()
    with pytest.raises(MissingCodeError, match=r"a gone_shop\.Net, .*No module named 'gone_shop'.*no project code"):
        mm.load_model(without, store=store)
    loaded = mm.load_model(with_code, store=store)
    assert loaded.package.code == ("gone_shop.py",)
    assert loaded.check_example() == ""
    assert "gone_shop" not in sys.modules


def test_code_that_has_changed_since_stays_that_of_the_model(store, run, tmp_path, monkeypatch):
    """Where nobody trusts the package, names allow what this machine has, and that it is another is said."""
    (tmp_path / "drift_shop.py").write_text("class Net:\n    FACTOR = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    import drift_shop

    logged = run.log_model(drift_shop.Net(), "net", format="cloudpickle")
    (tmp_path / "drift_shop.py").write_text("class Net:\n    FACTOR = 3\n")
    net = mm.load_model(logged.reference, store=store).model
    assert (net.FACTOR, type(net) is drift_shop.Net) == (2, False)
    monkeypatch.setenv("MODELMGMT_CONFIG", str(tmp_path / "others"))
    with pytest.warns(UserWarning, match="The module drift_shop differs from when .* is not trusted: the installed"):
        net = mm.load_model(logged.reference, store=store, trust=["drift_shop.Net"]).model
    assert type(net) is drift_shop.Net


def test_other_versions_of_libraries_are_said(store, run):
    logged = run.log_model(Mean(), "mean")
    older = package.rewrite(store._kernel, logged.package, {"requirements": ["numpy==0.1", "no-such-thing==2"]})
    with pytest.warns(UserWarning, match=r"numpy 0\.1, .* here; no-such-thing 2, not installed"):
        load.load_digest(store._kernel, older.digest, trust=True)


def test_code_of_the_project_includes_what_it_uses(store, run, tmp_path, monkeypatch):
    (tmp_path / "deep_shop" / "parts").mkdir(parents=True)
    (tmp_path / "deep_shop" / "__init__.py").write_text("")
    (tmp_path / "deep_shop" / "parts" / "__init__.py").write_text("")
    (tmp_path / "deep_shop" / "parts" / "steps.py").write_text("import numpy as np\nfrom deep_shop import base\n")
    (tmp_path / "deep_shop" / "base.py").write_text("def step(X):\n    return X\n")
    (tmp_path / "deep_shop" / "parts" / "net.py").write_text(
        "from deep_shop.parts.steps import base\nclass Net:\n    def predict(self, X):\n        return base.step(X)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from deep_shop.parts.net import Net

    assert run.log_model(Net(), "net").package.code == (
        "deep_shop/__init__.py", "deep_shop/base.py", "deep_shop/parts/__init__.py", "deep_shop/parts/net.py",
        "deep_shop/parts/steps.py",
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- caching, durability


def test_second_load_is_the_same_object_and_reads_nothing(store, run, monkeypatch):
    logged = run.log_model(Mean(), "mean", register_as="churn")
    first = mm.load_model(logged.reference, store=store)
    with monkeypatch.context() as patch:
        patch.setattr(load, "_load", lambda *_: pytest.fail("it was loaded again"))
        assert mm.load_model("churn:1", store=store) is first
        assert mm.load_model("churn:1", store=store.path) is first
    assert mm.load_model(logged.reference, store=store, cached=False).model is not first.model


def test_trust_of_one_caller_is_not_that_of_another(store, run):
    logged = run.log_model(Mean(), "mean")
    mm.load_model(logged.reference, store=store, trust=True)
    with pytest.raises(PermissionError):
        mm.load_model(logged.reference, store=store, trust=False)


def test_models_used_longest_ago_are_let_go(store, run):
    load.forget_loaded()
    references = [run.log_model({"v": number}, f"m{number}").reference for number in range(load.CACHED + 1)]
    models = [mm.load_model(reference, store=store) for reference in references]
    assert mm.load_model(references[-1], store=store) is models[-1]
    assert mm.load_model(references[0], store=store) is not models[0]


def test_threads_that_load_at_once_load_once(store, run, monkeypatch):
    logged = run.log_model(Mean(), "mean")
    load.forget_loaded()
    calls, real = [], load._load
    monkeypatch.setattr(load, "_load", lambda *args: (calls.append(1), real(*args))[1])
    found, start = [], threading.Barrier(8)

    def work():
        start.wait()
        found.append(mm.load_model(logged.reference, store=store))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len({id(model) for model in found}) == 1


def test_full_disk_follows_on_error(store, monkeypatch):
    from modelmgmt.errors import StoreWriteError
    from modelmgmt.store.objects import Objects

    def full(*_, **__):
        raise StoreWriteError("no space left")

    monkeypatch.setattr(Objects, "adopt", full)
    with store.start_run("doc", on_error="raise") as run, pytest.raises(StoreWriteError):
        run.log_model(Mean(), "mean")
    with pytest.warns(UserWarning, match="no space left|lost 0 points and 1 other"), store.start_run("doc") as run:
        logged = run.log_model(Mean(), "mean")
        assert logged.digest is None
        assert logged.reference == f"run:{run.id}/mean"
    assert list((store.path / "tmp").glob("pack-*")) == []


def test_stage_of_a_killed_process_is_collected(store):
    stage = store.path / "tmp" / "pack-999999999-00112233"
    (stage / "weights").mkdir(parents=True)
    (stage / "weights" / "model.pkl").write_bytes(b"half")
    alive = store.path / "tmp" / f"pack-{__import__('os').getpid()}-00112233"
    alive.mkdir()
    assert store.gc(grace_s=0).temporary_files == 1
    assert not stage.exists()
    assert alive.exists()


def test_models_survive_gc_backup_merge_and_go_with_their_run(store, run, tmp_path):
    logged = run.log_model(Mean(4.0), "mean")
    run.finish()
    store.gc(grace_s=0)
    assert mm.load_model(logged.reference, store=store, cached=False).model.value == 4.0
    store.backup(tmp_path / "backup")
    assert mm.load_model(logged.reference, store=tmp_path / "backup", trust=True).model.value == 4.0
    with mm.Store(tmp_path / "other") as other:
        other.merge(store)
        assert mm.load_model(logged.reference, store=other, trust=True).model.value == 4.0
        assert other.check(deep=True) == []
    weights = logged.package.tree["weights/model.pkl"].digest
    store.delete_run(run.id)
    assert not store._kernel.objects.has(weights)


def test_model_is_not_held_in_memory_twice(store, run, tmp_path):
    """A model of 64 MiB is logged by a process that has room for half of it more, when it is not read back."""
    code = """
        import resource, sys, numpy as np, modelmgmt as mm, safetensors.numpy
        array = np.random.default_rng(0).random(8 << 20)
        with mm.Store(sys.argv[1]).start_run("doc") as run:
            run.log_model({"w": array[:10]}, "small")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            run.log_model(lambda X: array, "function", verify=False)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    pytest.importorskip("safetensors")
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), tmp_path / "big"]
    grown_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown_kib < 32 << 10


def test_loading_warns_of_nothing(store, run):
    logged = run.log_model(Mean(), "mean", input_example=[[1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mm.load_model(logged.reference, store=store, cached=False)


def test_a_logged_model_shows_itself_in_one_line(tmp_path):
    from sklearn.linear_model import LinearRegression

    import modelmgmt as mm

    with mm.Store(tmp_path / "shown").start_run("churn", code=False) as run:
        model = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
        logged = run.log_model(model, "line", register_as="lines")
    assert repr(logged) == f"<LoggedModel run:{run.id}/line lines:1 {logged.format}>"
