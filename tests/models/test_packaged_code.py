"""The code of a model is its own: two versions, and the program that loads them, do not mix their modules.

Each project is written to a folder, logged by a process of its own, and loaded by others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

import modelmgmt as mm


def _net(body, head=""):
    return f"{head}\nclass Net:\n    def predict(self, X):\n        {body}\n"


def layouts(factor):
    """Name of the layout -> (import of the class, files)."""
    fixed = {"factor.py": f"FACTOR = {factor}\n"}
    return {
        "module": ("from features import Net", {
            "features.py": _net("return [x * FACTOR for x in X]", f"FACTOR = {factor}"),
        }),
        "package": ("from shop import Net", {
            "shop/__init__.py": "from shop.nets.net import Net\n", "shop/nets/__init__.py": "",
            "shop/nets/net.py": _net("return [x * shop.parts.factor.FACTOR for x in X]", "import shop.parts.factor"),
            "shop/parts/__init__.py": "", "shop/parts/factor.py": fixed["factor.py"],
        }),
        "relative": ("from kin.deep.net import Net", {
            "kin/__init__.py": "", "kin/factor.py": fixed["factor.py"], "kin/deep/__init__.py": "from . import net\n",
            "kin/deep/net.py": _net("return [x * FACTOR for x in X]", "from ..factor import FACTOR"),
        }),
        "lazy": ("from late import Net", {
            "late/__init__.py": "from late.net import Net\nfrom late import factor\n", "late/factor.py": fixed["factor.py"],
            "late/net.py": _net(
                "import importlib, late.factor as first; from . import factor as second; "
                "third = importlib.import_module('late.factor'); from late.factor import FACTOR; "
                "assert first is second is third; return [x * FACTOR for x in X]"
            ),
        }),
        "namespace": ("from spread.part.net import Net", {
            "spread/part/net.py": _net("return [x * FACTOR for x in X]", "from spread.other.factor import FACTOR"),
            "spread/other/factor.py": fixed["factor.py"],
        }),
    }  # fmt: skip


NAMES = tuple(layouts(0))


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def python(code, *arguments, path=None, cwd, **environment):
    """What a new process prints, which is JSON."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, **environment, "PYTHONPATH": str(path or "")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOG = """
    import json, sys, modelmgmt as mm
    for name, imported in json.loads(sys.argv[2]).items():
        exec(imported)
        with mm.Store(sys.argv[1]).start_run("doc") as run:
            run.log_model(Net(), name, register_as=name, input_example=[1, 2])
    print("0")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store that has two versions of each layout, and the projects of a host in it."""
    folder = tmp_path_factory.mktemp("versions")
    for factor in (2, 3, 50):
        for _, files in layouts(factor).values():
            write(folder / f"factor-{factor}", files)
    (folder / "none").mkdir()
    imports = {name: imported for name, (imported, _) in layouts(0).items()}
    for factor in (2, 3):
        python(
            LOG, folder / "store", json.dumps(imports), path=folder / f"factor-{factor}", cwd=folder, **settings(folder)
        )
    return folder


def settings(folder):
    return {"MODELMGMT_CONFIG": str(folder / "config"), "MODELMGMT_CACHE": str(folder / "cache")}


LOAD = """
    import importlib, json, sys, threading, modelmgmt as mm
    found, imports = {}, json.loads(sys.argv[2])
    own = {}
    for name, imported in imports.items():
        if sys.argv[3] == "own":
            exec(imported)
            own[name] = Net
    before = {name: module for name, module in sys.modules.items() if not name.startswith("modelmgmt")}
    def load(name, version):
        model = mm.load_model(f"{name}:{version}", store=sys.argv[1])
        assert model.check_example() == "", (name, version, model.check_example())
        found[f"{name}:{version}"] = list(map(int, model.predict([1, 2])))
    threads = [threading.Thread(target=load, args=(name, version)) for name in imports for version in (2, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tops = {"features", "shop", "kin", "late", "spread"}
    after = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}
    assert after == {name: module for name, module in before.items() if name.partition(".")[0] in tops}, after
    found |= {name: kind().predict([1, 2]) for name, kind in own.items()}
    print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=["none", "other", "one of them"])
def answers(request, place):
    """What both versions of each layout say in one process, whose own modules are: none, others, those of version 1."""
    imports = {name: imported for name, (imported, _) in layouts(0).items()}
    path = {"none": "none", "other": "factor-50", "one of them": "factor-2"}[request.param]
    own = "none" if request.param == "none" else "own"
    found = python(LOAD, place / "store", json.dumps(imports), own, path=place / path, cwd=place, **settings(place))
    return {"none": None, "other": 50, "one of them": 2}[request.param], found


@pytest.mark.parametrize("name", NAMES)
def test_each_version_answers_as_it_did(answers, name):
    """Loaded by ten threads at once, beside the host's own modules of these names, which stay what they are."""
    host, found = answers
    assert (found[f"{name}:1"], found[f"{name}:2"]) == ([2, 4], [3, 6])
    assert found.get(name) == (None if host is None else [host, 2 * host])


# ------------------------------------------------------------------------------------------------------- in one process


@pytest.fixture
def project(tmp_path, store):
    """Log what `code` makes as a model, in a process of its own whose path has the files; returns what loads it."""
    count = iter(range(100))

    def log(files, code, /, **options):
        folder = tmp_path / f"project-{next(count)}"
        write(folder, files)
        text = f"import json, sys, modelmgmt as mm\n{textwrap.dedent(code)}\n" + textwrap.dedent("""
            with mm.Store(sys.argv[1]).start_run("doc") as run:
                print(json.dumps(run.log_model(model, "model", **json.loads(sys.argv[2])).reference))
        """)
        reference = python(text, store.path, json.dumps(options), path=folder, cwd=tmp_path)
        return mm.load_model(reference, store=store)

    return log


RICH = """
import dataclasses, enum, inspect, typing
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from collections import namedtuple

class Colour(enum.Enum):
    RED = 1

class Pair(typing.NamedTuple):
    left: int
    right: "Colour"

Point = namedtuple("Point", "x y")

@dataclasses.dataclass
class Config:
    colour: "Colour"
    pair: Pair
    parts: "list[Config]" = dataclasses.field(default_factory=list)

class Scale(TransformerMixin, BaseEstimator):
    def __init__(self, factor=FACTOR):
        self.factor = factor
    def fit(self, X, y=None):
        self.n_features_in_ = np.shape(X)[1]
        return self
    def transform(self, X):
        return np.asarray(X) * self.factor
    def source(self):
        return inspect.getsource(type(self).transform)
    def fail(self):
        raise ValueError("on purpose")

class Net:
    def __init__(self):
        self.config = Config(Colour.RED, Pair(1, Colour.RED), [Config(Colour.RED, Pair(2, Colour.RED))])
        self.point = Point(1, 2)
        self.called = twice
        self.kind = Scale
    def predict(self, X):
        return self.called(X)

def twice(X):
    return [x * FACTOR for x in X]
"""


def wealth(factor):
    return {"wealth.py": f"FACTOR = {factor}\n{RICH}"}


def test_a_loaded_class_is_a_class_like_any_other(project):
    import copy
    import inspect
    import pickle
    import traceback
    import typing

    net = project(wealth(4), "import wealth; model = wealth.Net()").model
    module = sys.modules[type(net).__module__]
    assert type(net).__module__.startswith("modelmgmt.packaged._")
    assert "wealth" not in sys.modules
    assert net.config.colour is module.Colour.RED
    assert typing.get_type_hints(module.Config)["parts"] == list[module.Config]
    assert net.config == copy.deepcopy(net).config == pickle.loads(pickle.dumps(net)).config
    assert net.point == module.Point(1, 2)
    assert "np.asarray(X) * self.factor" in inspect.getsource(module.Scale) + net.kind().source()
    with pytest.raises(ValueError, match="on purpose") as caught:
        net.kind().fail()
    assert 'raise ValueError("on purpose")' in "".join(traceback.format_exception(caught.value))


def test_a_pipeline_of_the_safe_format_uses_the_code_of_its_package(project):
    from sklearn.base import clone

    code = """
        import numpy as np, wealth
        from sklearn.linear_model import LinearRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer
        X = np.array([[1.0], [2.0]])
        model = make_pipeline(wealth.Scale(), FunctionTransformer(wealth.np.sqrt), LinearRegression()).fit(X, X[:, 0])
    """
    first, second = project(wealth(4), code), project(wealth(9), code)
    assert first.package.format == second.package.format == "skops"
    assert [model.model[0].transform([[1.0]]).tolist() for model in (first, second)] == [[[4.0]], [[9.0]]]
    assert clone(second.model[0]).transform([[1.0]]).tolist() == [[9.0]]
    assert first.package.class_name == "sklearn.pipeline.Pipeline"


def test_names_allow_types_of_trusted_code_and_of_this_machine(project, store, monkeypatch):
    from modelmgmt.errors import UntrustedModelError
    from modelmgmt.models import load

    model = project(wealth(4), "import wealth; model = wealth.Scale()", format="cloudpickle")
    names = ["wealth.Scale"]
    restricted = load.load_digest(store._kernel, model.package.digest, trust=names, cached=False)
    assert type(restricted.model) is type(model.model), "the key that signed it is trusted"
    monkeypatch.setenv("MODELMGMT_CONFIG", str(store.path.parent / "others"))
    with pytest.raises(UntrustedModelError):
        load.load_digest(store._kernel, model.package.digest, trust=names, cached=False)
    monkeypatch.syspath_prepend(store.path.parent / "project-0")
    found = load.load_digest(store._kernel, model.package.digest, trust=names, cached=False)
    assert type(found.model).__module__ == "wealth", (
        "names speak of this machine's classes where the code is not trusted"
    )
    del sys.modules["wealth"]


@pytest.mark.parametrize(("made", "format_"), [("wealth.Net()", "cloudpickle"), ("wealth.Scale()", "skops")])
def test_logged_again_it_is_as_it_was_logged_first(project, store, made, format_):
    loaded = project(wealth(4), f"import wealth; model = {made}")
    with store.start_run("again") as run:
        again = run.log_model(loaded.model, "again")
    weights = [path for path in again.package.weights if not path.endswith(".json")]
    assert again.package.format == format_
    assert b"modelmgmt.packaged" not in b"".join(map(again.package.read, weights))
    assert again.package.class_name == loaded.package.class_name
    assert [again.package.read(f"code/{path}") for path in again.package.code] == [
        loaded.package.read(f"code/{path}") for path in loaded.package.code
    ]
    code = """
        import json, sys, modelmgmt as mm
        model = mm.load_model(sys.argv[1], store=sys.argv[2]).model
        module = sys.modules[type(model).__module__]
        print(json.dumps([module.FACTOR, type(model).__name__, module.__name__[:21]]))
    """
    found = python(code, again.reference, store.path, cwd=store.path.parent)
    assert found == [4, type(loaded.model).__name__, "modelmgmt.packaged._d"[:20] + found[2][20:]]


def test_parts_of_two_versions_are_no_one_model(project, store):
    from modelmgmt.errors import InvalidTypeError

    parts = [project(wealth(factor), "import wealth; model = wealth.Net()").model for factor in (4, 9)]
    assert [part.predict([1]) for part in parts] == [[4], [9]]
    with store.start_run("again") as run, pytest.raises(InvalidTypeError, match=r"two versions of wealth\.py"):
        run.log_model(parts, "both")


def test_same_code_is_the_same_classes(project):
    first, second = (project(wealth(4), "import wealth; model = wealth.Net()").model for _ in range(2))
    assert first is not second
    assert type(first) is type(second)


WORK = """
    import json, multiprocessing, os, sys, modelmgmt as mm
    from concurrent.futures import ProcessPoolExecutor

    def ask(model, X):
        return [os.getpid(), model.predict(X), type(model).__module__]

    if __name__ == "__main__":
        answers = {}
        pools = {"early": multiprocessing.get_context("forkserver").Pool(1)}
        pools["early"].apply(os.getpid)
        model = mm.load_model(sys.argv[1], store=sys.argv[2]).model
        for method in ("fork", "spawn", "forkserver"):
            pools[method] = multiprocessing.get_context(method).Pool(1)
        for name, pool in pools.items():
            answers[name] = pool.apply(ask, (model, [1]))
            pool.close()
            pool.join()
        from joblib import Parallel, delayed
        answers["loky"] = Parallel(n_jobs=2)(delayed(ask)(model, [1]) for _ in range(2))[0]
        assert os.getpid() not in [answer[0] for answer in answers.values()]
        assert {answer[2] for answer in answers.values()} == {type(model).__module__}
        print(json.dumps({name: answer[1] for name, answer in answers.items()}))
"""


def test_worker_processes_find_the_code(project, store, tmp_path):
    """Also those that were started before the model was loaded."""
    loaded = project(wealth(4), "import wealth; model = wealth.Net()")
    script = tmp_path / "work.py"
    script.write_text(textwrap.dedent(WORK))
    command = [sys.executable, script, f"run:{loaded.package.run}/model", store.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: [4] for name in ("early", "fork", "spawn", "forkserver", "loky")}


def test_code_that_others_could_have_put_there_is_not_run(project, tmp_path):
    """A worker imports what the user's own folder has, byte for byte as its name says, and nothing else."""
    model = project(wealth(4), "import wealth; model = wealth.Net()").model
    name = type(model).__module__
    folder = next((tmp_path / "cache" / "code").iterdir())
    code = """
        import importlib, json, sys
        try:
            importlib.import_module(sys.argv[1])
        except Exception as error:
            print(json.dumps(f"{type(error).__name__}: {error}"))
        else:
            print("0")
    """
    assert python(code, name, cwd=tmp_path) == 0
    (folder / "wealth.py").write_text(wealth(5)["wealth.py"])
    assert "was changed" in python(code, name, cwd=tmp_path)
    manifest = json.loads((folder / ".manifest.json").read_text()) | {"wealth.py": "0" * 64}
    (folder / ".manifest.json").write_text(json.dumps(manifest))
    assert "CorruptDataError" in python(code, name, cwd=tmp_path)
    folder.chmod(0o777)
    assert "not on this machine" in python(code, name, cwd=tmp_path)


def test_damaged_code_is_made_again(project, tmp_path, store):
    loaded = project(wealth(4), "import wealth; model = wealth.Net()")
    folder = next((tmp_path / "cache" / "code").iterdir())
    (folder / "wealth.py").write_text("")
    code = "import sys, modelmgmt as mm; print(mm.load_model(sys.argv[1], store=sys.argv[2]).model.predict([1]))"
    assert python(code, f"run:{loaded.package.run}/model", store.path, cwd=tmp_path) == [4]
    assert (folder / "wealth.py").read_text() == wealth(4)["wealth.py"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_function_of_the_script_uses_the_code_of_the_package(project, store):
    """What is pickled by value finds the modules of its package, when it is called, too."""
    files = {"helper.py": "FACTOR = 4\nimport helper_two\n", "helper_two.py": "FACTOR = 5\n"}
    code = """
        import helper, importlib
        from importlib import import_module
        def model(X):
            assert import_module("helper") is helper
            import helper_two
            nested = lambda: __import__("helper").FACTOR
            third = importlib.import_module("helper_two").FACTOR
            return [x * helper.FACTOR * helper_two.FACTOR * nested() * third for x in X]
    """
    loaded = project(files, code)
    assert loaded.predict([1]) == [4 * 5 * 4 * 5]
    with store.start_run("again") as run:
        again = run.log_model(loaded.model, "again")
    assert b"modelmgmt.packaged" not in again.package.read(again.package.weights[0])
    assert python(ASK, again.reference, store.path, cwd=store.path.parent) == [4 * 5 * 4 * 5]


AWKWARD = {
    "knot/__init__.py": "from .b import *\nfrom knot.b.c import Deep\n",
    "knot/b/__init__.py": "__all__ = ['helper']\nfrom . import c\ndef helper(x):\n    return x + 1\n",
    "knot/b/c.py": """
import abc, functools, logging, pickle, sys
import knot.b.c as me, knot.d
logger = logging.getLogger(__name__)
class Deep(abc.ABC):
    registry = {}
    def __init_subclass__(cls, **kinds):
        Deep.registry[cls.__name__] = cls
    @functools.cached_property
    def factor(self):
        from knot import d
        return d.FACTOR
    @staticmethod
    def more(x):
        import knot.b as it
        return it.helper(x)
    def predict(self, X):
        names = {}
        exec("import knot.d as it; found = it.FACTOR", globals(), names)
        assert names["found"] == self.factor == eval("__import__('knot.d').d.FACTOR")
        assert type(pickle.loads(pickle.dumps(self))) is type(self) and me is sys.modules[__name__]
        return [self.more(x) * knot.d.FACTOR for x in X]
    class Inner:
        def __eq__(self, other):
            return type(other) is type(self)
        __hash__ = None
class Child(Deep): pass
@functools.lru_cache
def cached(x):
    return x
part = functools.partial(cached, 3)
""",
    "knot/d.py": "import knot\nFACTOR = 5\n",
}
ASK = """
    import json, sys, modelmgmt as mm
    print(json.dumps(mm.load_model(sys.argv[1], store=sys.argv[2]).predict([1]), default=int))
"""


def test_code_that_is_bound_together_in_every_way(project, store):
    """Circles, star imports, text that is executed, registries, nested classes, bound and cached functions; and again."""
    code = """
        import knot.b.c as c
        model = c.Child()
        model.parts = [c.Deep.Inner(), c.part, c.cached, c.Deep.Inner().__eq__, c.Deep.registry, c.Deep.more]
    """
    loaded = project(AWKWARD, code)
    inner, part, cached, equal, registry, more = loaded.model.parts
    assert (part(), cached(4), equal(inner), more(1)) == (3, 4, True, 2)
    assert registry["Child"] is type(loaded.model)
    with store.start_run("again") as run:
        again = run.log_model(loaded.model, "again", input_example=[1])
    assert loaded.predict([1]) == python(ASK, again.reference, store.path, cwd=store.path.parent) == [10]


def test_modules_that_import_each_other(project):
    files = {
        "ring/__init__.py": "", "ring/one.py": "import ring.two\nclass Net:\n    def predict(self, X):\n"
        "        return ring.two.double(X)\n    scale = 2\n",
        "ring/two.py": "from ring import one\ndef double(X):\n    return [one.Net.scale * x for x in X]\n",
    }  # fmt: skip
    assert project(files, "import ring.one; model = ring.one.Net()").predict([1]) == [2]


def test_modules_named_like_those_of_others(project):
    """A module of the project that hides one of Python or an installed one is the model's own, and the others stay."""
    files = {
        "sched.py": _net(
            "return [x * factor() for x in X]", "import nbclient\ndef factor():\n    return nbclient.FACTOR"
        ),
        "nbclient.py": "FACTOR = 7\n",
    }
    import sched

    import nbclient

    assert project(files, "import sched; model = sched.Net()").predict([1]) == [7]
    assert (sys.modules["sched"], sys.modules["nbclient"]) == (sched, nbclient)
    assert hasattr(sched, "scheduler")


def test_parts_of_a_namespace_that_are_installed_are_the_hosts(project, tmp_path, monkeypatch):
    files = {"spread/net.py": _net("import spread.theirs; from spread import theirs as two; assert two is spread.theirs; "
                                   "return spread.theirs.double(X)")}  # fmt: skip
    model = project(files, "import spread.net; model = spread.net.Net()")
    write(tmp_path / "host", {"spread/theirs.py": "def double(X):\n    return [2 * x for x in X]\n"})
    monkeypatch.syspath_prepend(tmp_path / "host")
    assert model.predict([1]) == [2]
    for name in ("spread", "spread.theirs"):
        sys.modules.pop(name)


def test_module_that_the_package_lacks_is_named(project):
    files = {"lacking/__init__.py": "", "lacking/net.py": _net("import lacking.gone; return X")}
    model = project(files, "import lacking.net; model = lacking.net.Net()")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'lacking.gone' in the code of the model") as caught:
        model.predict([1])
    assert caught.value.name == "lacking.gone"


def test_code_that_is_the_same_here_is_that_of_this_process(project, store, tmp_path):
    """The author's own classes come back as they are; a module that is newer than the process may be another in memory."""
    loaded = project(wealth(4), "import wealth; model = wealth.Net()")
    code = """
        import json, pathlib, sys, modelmgmt as mm, wealth
        first = type(mm.load_model(sys.argv[1], store=sys.argv[2], cached=False).model) is wealth.Net
        file = pathlib.Path(wealth.__file__)
        file.write_text(file.read_text())
        second = mm.load_model(sys.argv[1], store=sys.argv[2], cached=False).model
        print(json.dumps([first, type(second) is wealth.Net, second.predict([1])]))
    """
    os.utime(tmp_path / "project-0" / "wealth.py")
    import time

    time.sleep(2.5)  # the rule's tolerance of clocks
    arguments = (f"run:{loaded.package.run}/model", store.path)
    assert python(code, *arguments, path=tmp_path / "project-0", cwd=tmp_path) == [True, False, [4]]


# --------------------------------------------------------------------------------------------------- all that it needs


PLUGINS = {
    "plugged.py": _net(
        "import importlib, deep_in_a_function; from pathlib import Path\n"
        "        plugin = importlib.import_module('plug' + '_in')\n"
        "        return [x * plugin.FACTOR * float((Path(plugin.__file__).parent / 'factor.txt').read_text()) for x in X]",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import never_there, lightgbm",
    ),
    "deep_in_a_function.py": "def _inner():\n    def more():\n        from spread import deeper\n        import skops.io\n",
    "spread/deeper.py": "class Late:\n    def method(self):\n        import importlib\n"
    "        return importlib.import_module('by_text')\n",
    "by_text.py": "import nbformat\n",
    "plug_in/__init__.py": "import polars\nfrom plug_in.inner import FACTOR\n",
    "plug_in/inner.py": "FACTOR = 3\n", "plug_in/factor.txt": "2", "plug_in/.secret": "", "lone.py": "import plugged\n",
}  # fmt: skip


def test_what_is_imported_late_and_what_nothing_names(project, tmp_path):
    """Imports in functions are followed; what is put together at run time is named by code_paths."""
    code = "import plugged, sys; model = plugged.Net()"
    folder = tmp_path / "project-0"
    loaded = project(PLUGINS, code, code_paths=[str(folder / "plug_in"), str(folder / "lone.py")])
    assert loaded.package.code == (
        "by_text.py", "deep_in_a_function.py", "lone.py", "plug_in/__init__.py", "plug_in/factor.txt", "plug_in/inner.py",
        "plugged.py", "spread/deeper.py",
    )  # fmt: skip
    assert loaded.model.predict([1.0]) == [6.0]
    needed = {line.partition("==")[0] for line in loaded.package.requirements}
    assert needed == {"cloudpickle", "nbformat", "polars", "skops"}, "and not what only type checkers import"


def test_code_paths_are_named_by_the_path_that_they_are_imported_by(project, tmp_path):
    files = {
        "plugged.py": _net("return X"), "lib/out/__init__.py": "", "lib/out/part/__init__.py": "", "lib/out/part/a.py": "",
        "lib/out/other.py": "",
    }  # fmt: skip
    code = "import plugged, sys; model = plugged.Net()"
    folder = tmp_path / "project-0"
    on_path = project(files, code, code_paths=[str(folder / "lib" / "out" / "part")])
    assert on_path.package.code == (
        "lib/out/__init__.py", "lib/out/part/__init__.py", "lib/out/part/a.py", "plugged.py",
    )  # fmt: skip
    nearer = project(
        files, f"sys.path.append({str(tmp_path / 'project-1' / 'lib')!r}); model = [1]",
        code_paths=[str(tmp_path / "project-1" / "lib" / "out" / "part" / "a.py")], code=False, format="cloudpickle",
    )  # fmt: skip
    assert nearer.package.code == ("out/__init__.py", "out/part/__init__.py", "out/part/a.py")


@pytest.mark.parametrize("word", ["code_paths", "files"])
def test_paths_that_are_not_there_are_said_before_anything_is_written(store, tmp_path, word):
    from modelmgmt.errors import InvalidTypeError, NotFoundError

    with store.start_run("doc") as run:
        with pytest.raises(NotFoundError, match=f"{word}= names 'gone.txt', and there is no such file"):
            run.log_model({"w": [1]}, "model", format="cloudpickle", **{word: ["gone.txt"]})
        with pytest.raises(InvalidTypeError, match=rf"{word}= takes a list of paths, .* write {word}=\["):
            run.log_model({"w": [1]}, "model", format="cloudpickle", **{word: "gone.txt"})
        assert not run.artifacts


def test_files_are_kept_and_handed_out(store, tmp_path):
    from modelmgmt.errors import InvalidNameError, NotFoundError

    write(tmp_path, {"vocabulary.txt": "a b", "maps/de.json": "{}", "maps/deep/fr.json": "[]"})
    with store.start_run("doc") as run:
        listed = run.log_model({"w": [1]}, "listed", files=["vocabulary.txt", tmp_path / "maps"], format="cloudpickle")
        named = run.log_model({"w": [1]}, "named", files={"words/v.txt": "vocabulary.txt"}, format="cloudpickle")
        with pytest.raises(InvalidNameError):
            run.log_model({"w": [1]}, "escaped", files={"../v.txt": "vocabulary.txt"}, format="cloudpickle")
    (tmp_path / "vocabulary.txt").unlink()
    package = mm.load_model(listed.reference, store=store).package
    assert package.files == ("maps/de.json", "maps/deep/fr.json", "vocabulary.txt")
    assert package.file("vocabulary.txt").read_text() == "a b"
    assert package.file("maps/deep/fr.json") == package.file("maps/deep/fr.json")
    assert mm.load_model(named.reference, store=store).package.file("words/v.txt").read_text() == "a b"
    with pytest.raises(NotFoundError, match=r"no file 'maps'"):
        package.file("maps")


def _installed(folder, name, url, **about):
    """What an installer records of a distribution that did not come from an index."""
    write(folder / f"{name}-1.5.dist-info", {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n",
        "direct_url.json": json.dumps({"url": url, **about}),
        "RECORD": f"{name.replace('-', '_')}.py,,\n",
    })  # fmt: skip


def test_what_no_index_has_is_not_required_of_one(project, tmp_path, monkeypatch):
    site, source = tmp_path / "site" / "site-packages", tmp_path / "project-0" / "src"
    _installed(site, "my-shop", source.parent.as_uri(), dir_info={"editable": True})
    _installed(site, "other-shop", (tmp_path / "elsewhere").as_uri(), dir_info={"editable": True})
    _installed(site, "from_wheel", (tmp_path / "from_wheel-1.5.whl").as_uri(), archive_info={})
    _installed(site, "from_git", "https://me:secret@host/repo.git", vcs_info={"vcs": "git", "commit_id": "abc123"})
    write(site, {"from_wheel.py": "", "from_git.py": ""})
    files = {"src/shop/__init__.py": _net("return X", "import from_wheel, from_git, yaml, numpy"), "src/yaml.py": ""}
    code = f"sys.path[:0] = [{str(source)!r}, {str(site)!r}]; import shop; model = shop.Net()"
    monkeypatch.syspath_prepend(site)
    package = project(files, code).package
    assert [line.partition("==")[0] for line in package.requirements] == [
        "cloudpickle", "from_git @ git+https://host/repo.git@abc123", "numpy",
    ]  # fmt: skip
    assert package.code == ("shop/__init__.py", "yaml.py")
    assert [line.partition(" from ")[0] for line in package.local_requirements] == ["from_wheel==1.5", "my-shop==1.5"]
    assert package.local_requirements[1] == f"my-shop==1.5 from {source.parent.as_uri()} (editable)"
    assert package.needs.missing == (package.local_requirements[0],), "the editable one's code is in the package"
    lines = package.read("requirements.txt").decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == list(package.requirements)
    assert sum("no index has it" in line for line in lines) == 2
    for name in ("from_wheel", "from_git"):
        del sys.modules[name]
