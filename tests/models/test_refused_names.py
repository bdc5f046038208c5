"""What no skops file may use, whoever signed it and whatever trust= says; and what everybody's own files may."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("skops.io")
pytest.importorskip("sklearn")
pytest.importorskip("cryptography")

pytest.importorskip("scipy")

import numpy as np
import review_types
import skops.io
from skops_files import (
    bound,
    constructed,
    filled,
    function,
    items,
    keyed,
    kind,
    method,
    node,
    operator_of,
    plain,
    written,
)

import modelmgmt as mm
from modelmgmt.errors import UntrustedModelError
from modelmgmt.models.load import load_digest
from modelmgmt.models.trust import refused, signing
from modelmgmt.models.trust.allowed import listed_names
from modelmgmt.store.trees import Entry, Tree, Trees

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, about what is fitted here


class Fires:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def held(data):
    return node("BytesNode", "builtins.bytes", file="data.bin"), data


MAKE = {
    "os.mkdir": lambda path: constructed("os.mkdir", plain(path)),
    "posix.mkdir as a key": lambda path: keyed(function("posix.mkdir"), path),
    "os.makedirs as a type": lambda path: keyed(kind("os.makedirs"), path),
    "os.system": lambda path: keyed(function("os.system"), f"mkdir {path}"),
    "subprocess.check_call": lambda path: constructed(
        "subprocess.check_call", items(plain("mkdir"), plain(path), kind="list")
    ),
    "subprocess.Popen as a list": lambda path: node(
        "ListNode", "subprocess.getoutput", content=[plain(f"mkdir {path}")]
    ),
    "builtins.eval": lambda path: keyed(function("builtins.eval"), f"__import__('os').mkdir({path!r})"),
    "builtins.exec": lambda path: keyed(kind("builtins.exec"), f"import os; os.mkdir({path!r})"),
    "timeit.timeit": lambda path: constructed(
        "timeit.timeit", plain(f"import os; os.makedirs({path!r}, exist_ok=True)")
    ),
    "a partial of os.makedirs": lambda path: keyed(bound(function("os.makedirs")), path),
    "methodcaller": lambda path: constructed(
        "builtins.list",
        constructed(
            "builtins.map",
            operator_of("methodcaller", plain("mkdir")),
            items(constructed("pathlib.PosixPath", plain(path)), kind="list"),
        ),
    ),
    "a method of a path": lambda path: constructed(
        "builtins.list",
        constructed(
            "builtins.map",
            method(constructed("pathlib.PosixPath", plain(path)), "mkdir"),
            items(plain(511), kind="list"),
        ),
    ),
    "shutil.copyfile": lambda path: constructed("shutil.copyfile", plain(__file__), plain(path)),
    "numpy.testing": lambda path: constructed(
        "numpy.testing.runstring", plain(f"import os; os.mkdir({path!r})"), keyed(kind("builtins.str"), "a")
    ),
    "pandas.eval": lambda path: constructed("pandas.eval", plain(f"@__import__('os').mkdir({path!r})")),
    "the state of a distribution": lambda path: filled(
        "scipy.stats._continuous_distns.norm_gen", _parse_arg_template=f"import os; os.mkdir({path!r})"
    ),
    "the state of a frozen one": lambda path: filled(
        "scipy.stats._discrete_distns.randint_gen", _parse_arg_template=f"import os; os.mkdir({path!r})"
    ),
    "a file of an array": lambda path: keyed(
        method(node("NdArrayNode", "numpy.ndarray", type="json", content=[plain(1)], shape=items(plain(1))), "dump"),
        path,
    ),
    "an alias": lambda path: constructed("shop_aliases.mkdir", plain(path)),
    "a class derived from a distribution": lambda path: filled(
        "shop_aliases.Own", _parse_arg_template=f"import os; os.mkdir({path!r})"
    ),
    "an alias of a partial": lambda path: keyed(function("shop_aliases.ready"), path),
    "an alias of a module": lambda path: keyed(method(kind("shop_aliases.os"), "mkdir"), path),
}
WITH_BYTES = ["pickle.loads", "cloudpickle.loads", "joblib.externals.cloudpickle.loads"]
ALIASES = """\
import functools
import os
from os import mkdir

from scipy.stats import rv_continuous

ready = functools.partial(os.mkdir, mode=511)


class Own(rv_continuous):
    pass
"""


@pytest.fixture
def aliases(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "shop_aliases.py").write_text(ALIASES)
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("shop_aliases", None)


@pytest.fixture
def forged(store):
    """The digest of a package of this user's, signed, with a given file in the place of its weights."""
    from sklearn.linear_model import LinearRegression

    with store.start_run("refused") as run:
        honest = run.log_model(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), "model")
    trees = Trees(store._kernel.objects)

    def forge(data):
        stored = store._kernel.objects.put_bytes(data)
        digest = trees.put(Tree({**trees.get(honest.digest), "weights/model.skops": Entry(stored.digest, stored.size)}))
        signing.sign(store._kernel, digest)
        return digest

    return forge


def refuse(store, digest, data):
    names = [
        name for name in skops.io.get_untrusted_types(data=data) if all(part.isidentifier() for part in name.split("."))
    ]
    for trust in (None, True, False, "restricted", f"sha256:{digest}", names):
        with pytest.raises(UntrustedModelError):
            load_digest(store._kernel, digest, trust=trust, cached=False)
    with pytest.raises(UntrustedModelError, match="whatever trust= says"):
        load_digest(store._kernel, digest, trust=True, cached=False)


@pytest.mark.parametrize("name", MAKE)
def test_gadgets_run_nothing_whoever_signed_them(store, forged, aliases, tmp_path, name):
    marker = tmp_path / "marker"
    data = written(MAKE[name](str(marker)))
    refuse(store, forged(data), data)
    assert not marker.exists()
    if name != "pandas.eval":  # it looks at names before it evaluates
        try:
            skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
        except Exception:  # noqa: BLE001 - it may fail after it has fired
            pass
        assert marker.exists(), "a gadget that does nothing when skops reads it proves nothing"


@pytest.mark.parametrize("name", WITH_BYTES)
def test_no_pickle_is_read_within_a_skops_file(store, forged, tmp_path, name):
    pytest.importorskip(name.rpartition(".")[0])
    marker = tmp_path / "marker"
    place, payload = held(pickle.dumps(Fires(str(marker))))
    data = written(constructed(name, place), data=payload)
    refuse(store, forged(data), data)
    assert not marker.exists()
    skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert marker.exists()


@pytest.mark.parametrize(
    "name",
    review_types.words(
        """
    os.system os.popen posix.system nt.system subprocess.run subprocess.Popen builtins.eval builtins.exec
    builtins.compile builtins.getattr builtins.setattr builtins.vars builtins.open builtins.input builtins.type
    builtins.breakpoint builtins.__import__ builtins.globals importlib.import_module importlib.util.module_from_spec
    pickle.loads _pickle.loads marshal.loads shelve.open runpy.run_path runpy._run_code code.interact
    codeop.compile_command ctypes.CDLL _ctypes.dlopen socket.socket _socket.socket shutil.rmtree tempfile.mkdtemp
    operator.attrgetter operator.methodcaller _operator.attrgetter operator.call operator.setitem operator.iadd
    functools.reduce functools.cached_property types.FunctionType types.CodeType types.MethodType
    multiprocessing.Process threading.Thread pty.spawn logging.config.dictConfig logging.FileHandler webbrowser.open
    urllib.request.urlopen sqlite3.connect platform.popen asyncio.run concurrent.futures.ProcessPoolExecutor sys.exit
    gc.get_objects inspect.getattr_static pathlib.Path.write_text pathlib.PosixPath.unlink builtins.str.format
    builtins.dict.__class__ collections.namedtuple io.open codecs.open string.Formatter atexit.register signal.signal
    unittest.main joblib.load joblib.Parallel joblib.externals.loky.wrap_non_picklable_objects
    cloudpickle.cloudpickle._make_function dill.loads numpy.load numpy.fromfile numpy.memmap
    numpy.testing._private.utils.runstring numpy.f2py.compile scipy.io.loadmat pandas.eval pandas.read_pickle
    pandas.io.pickle.read_pickle torch.load torch.hub.load sklearn.datasets._openml.fetch_openml skops.io.load
    modelmgmt.load_model features.Encoder.__init__ features.Encoder.__reduce_ex__ features.__loader__.exec_module
    """
    ),
)
def test_refused(name):
    assert refused.is_refused(name)
    with pytest.raises(UntrustedModelError, match=name):
        refused.check_names(["features.Encoder", name])


@pytest.mark.parametrize(
    "name",
    review_types.words(
        """
    features.Encoder features.Encoder.transform math.log1p operator.itemgetter functools.partial operator.add
    _operator.add collections.OrderedDict builtins.map builtins.len datetime.timezone numpy.log1p
    sklearn.impute._base.SimpleImputer xgboost.sklearn.XGBClassifier statistics.mean pathlib.PosixPath operations.run
    osmnx.graph pickled.Thing testing.Encoder
    """
    ),
)
def test_not_refused(name):
    assert not refused.is_refused(name)


@given(st.data())
def test_whatever_the_standard_library_has_is_kept_by_name_or_refused(data):
    keep, _ = refused._lists()
    module = data.draw(
        st.sampled_from(
            [
                "os",
                "subprocess",
                "shutil",
                "builtins",
                "operator",
                "functools",
                "pathlib",
                "types",
                "collections",
                "ctypes",
                "importlib",
                "tempfile",
                "socket",
                "io",
                "sys",
                "random",
            ]
        )
    )
    attribute = data.draw(st.sampled_from(sorted(dir(importlib.import_module(module)))))
    name = f"{module}.{attribute}"
    assert refused.is_refused(name) == (name not in keep)


def test_the_list_reads_as_it_must():
    keep, refuse = refused._lists()
    assert not keep & refuse
    for name in keep:
        module, _, last = name.rpartition(".")
        if last not in ("*", "NoneType") and module.partition(".")[0] != "modelmgmt":
            try:
                found = importlib.import_module(module)
            except ImportError:
                continue  # of another version of Python
            assert hasattr(found, last), name
    assert not {name for name in refuse if name.partition(".")[0] in sys.stdlib_module_names - {"test", "cython"}}


def test_no_reviewed_name_is_refused_or_another_thing_that_is():
    from modelmgmt.models.formats.skops import reviewed

    refused.check_names(reviewed())
    refused.check_resolved(reviewed())


def test_what_runs_things_is_not_stored_as_skops(store):
    from sklearn.preprocessing import FunctionTransformer

    model = FunctionTransformer(func=None, inverse_func=os.system)
    with (
        store.start_run("refused") as run,
        pytest.warns(UserWarning, match="system, which can run code or reach files"),
    ):
        logged = run.log_model(model, "model")
    assert logged.format == "cloudpickle"
    assert mm.load_model(logged.reference, store=store).model.inverse_func is os.system


def test_harmless_functions_of_the_standard_library_are_kept_and_loaded_by_their_author(store):
    import functools
    import math
    import operator
    from collections import OrderedDict

    from sklearn.preprocessing import FunctionTransformer

    for chosen in (
        math.hypot,
        operator.itemgetter(0),
        functools.partial(np.clip, a_min=0, a_max=1),
        len,
        OrderedDict,
    ):
        with store.start_run("kept") as run:
            logged = run.log_model(FunctionTransformer(chosen), "model", format="skops")
        found = mm.load_model(logged.reference, store=store).model.func
        assert repr(found) == repr(chosen)
        assert logged.format == "skops"


def test_a_new_process_of_the_author_loads_what_was_signed_and_a_stranger_does_not(store, tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score, make_scorer
    from sklearn.model_selection import GridSearchCV

    (tmp_path / "signed_features.py").write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "class Doubler(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        self.done_ = True\n        return self\n"
        "    def transform(self, X):\n        return X * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from signed_features import Doubler
    from sklearn.pipeline import make_pipeline

    X = np.random.default_rng(0).random((40, 2))
    search = GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, scoring=make_scorer(f1_score))
    model = make_pipeline(Doubler(), search).fit(X, X[:, 0] > 0.5)
    with store.start_run("signed") as run:
        logged = run.log_model(model, "model", input_example=X[:3])
    assert logged.format == "skops"
    script = (
        "import sys, modelmgmt as mm\n"
        "loaded = mm.load_model(sys.argv[2], store=mm.Store(sys.argv[1]))\n"
        "print(repr(loaded.check_example()))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(store.path), logged.reference]
    mine = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (mine.returncode, mine.stdout.strip()) == (0, "''"), mine.stderr
    stranger = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MODELMGMT_CONFIG": str(tmp_path / "x")},
    )
    assert stranger.returncode != 0
    assert "UntrustedModelError" in stranger.stderr


def test_listed_names_of_pickles_are_not_refused_ones():
    """The two lists that come with the library agree: what a stranger's pickle may name is on no refusal list."""
    made_by_the_reader = {name for name in listed_names() if name.startswith(("copyreg.", "_codecs.", "pandas."))}
    made_by_the_reader |= {"joblib.numpy_pickle.NumpyArrayWrapper", "numpy.memmap"}
    found = {name for name in listed_names() if refused.is_refused(name)}
    assert found <= made_by_the_reader, found - made_by_the_reader
