"""A model as a tree of files: what it is in `model.json`, the weights, an example, the code of the project.

    model.json           what the model is, for people and programs; unknown fields survive
    requirements.txt     the distributions that it needs
    weights/             as its format writes them
    example/             an input, and what the model said of it
    code/                the modules of the project that it refers to
    files/               what the caller added

Writes objects, no tables: whoever packs a model names its digest in a row of their own.
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import (
    CorruptDataError,
    InvalidTypeError,
    MissingExtraError,
    NotFoundError,
    StoreTooNewError,
    warn,
)
from modelmgmt.models import formats
from modelmgmt.models.formats import CannotHoldError, Format, Saved, class_name
from modelmgmt.models.packaging import example as examples
from modelmgmt.models.packaging.enforce import check_example, enforce
from modelmgmt.models.packaging.files import CODE, PackageFiles
from modelmgmt.models.packaging.needs import Needs
from modelmgmt.models.packaging.project import AnyPath, ProjectCode, project_code
from modelmgmt.models.packaging.readback import (
    METHODS,
    Answers,
    UnlikeError,
    Verified,
    ask,
    check,
    has_foreign,
    load_written,
    unread_reason,
)
from modelmgmt.models.packaging.requirements import installed, local, requirements
from modelmgmt.models.packaging.signature import Signature, infer, is_records, normal, spec_of
from modelmgmt.models.trust.signing import sign
from modelmgmt.store.disk import our_disk, token
from modelmgmt.store.names import among, check_path
from modelmgmt.store.times import now_iso
from modelmgmt.store.trees import Tree, Trees
from modelmgmt.versions.left_out import CodeSecrets, keeps_secrets

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_FAMILY = "modelmgmt.model/"
SCHEMA = f"{_FAMILY}1"
DESCRIPTION, REQUIREMENTS, WEIGHTS, EXAMPLE, FILES = "model.json", "requirements.txt", "weights", "example", "files"
_TRIES = "tries"  # where weights are written, in a folder for each format, until one of them is the model

PYTHON, PLATFORM = sys.version.partition(" ")[0], f"{platform.system()} {platform.machine()}"

DESCRIPTION_LIMIT = 16 << 20  # bytes


@dataclass(frozen=True)
class Package:
    """A model package in a store: its digest, its files, and what `model.json` says. Nothing of it was executed."""

    digest: str
    tree: Tree
    content: Mapping[str, Any]
    """All of `model.json`, fields of later versions included."""
    _kernel: Kernel = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return str(self.content["name"])

    @property
    def format(self) -> str:
        """The format of the weights: skops, safetensors, cloudpickle, ..."""
        return str(self.content["format"])

    @property
    def executes(self) -> bool:
        """Whether loading it may run what its writer wanted. Known of the format, not believed of the file."""
        return formats.get(self.format).EXECUTES

    @property
    def class_name(self) -> str:
        """The full name of the class of the model, as text."""
        return str(self.content.get("class", ""))

    @property
    def description(self) -> str:
        return str(self.content.get("description", ""))

    @property
    def options(self) -> Mapping[str, Any]:
        """What the format needs beside its files."""
        options = self.content.get("options", {})
        return options if isinstance(options, Mapping) else {}

    @cached_property
    def signature(self) -> Signature | None:
        """What it takes and gives; None when nobody said so."""
        found = self.content.get("signature")
        return None if found is None else Signature.from_dict(found)

    @property
    def requirements(self) -> tuple[str, ...]:
        """The distributions that it needs, as pip takes them."""
        found = self.content.get("requirements", ())
        return tuple(str(line) for line in found) if isinstance(found, list | tuple) else ()

    @property
    def local_requirements(self) -> tuple[str, ...]:
        """The distributions that it was made with and no index has: installed from a folder or file, where and how."""
        found = self.content.get("local_requirements", ())
        return tuple(str(line) for line in found) if isinstance(found, list | tuple) else ()

    @property
    def run(self) -> str | None:
        """The id of the run that made it."""
        run = self.content.get("run")
        return str(run["id"]) if isinstance(run, Mapping) and "id" in run else None

    @property
    def links(self) -> Mapping[str, Any]:
        """The versions of data, code and environment that made it."""
        links = self.content.get("links", {})
        return links if isinstance(links, Mapping) else {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the caller of `log_model` added."""
        from modelmgmt.tracking.artifacts import from_json

        found = from_json(self.content.get("metadata", {}))
        return found if isinstance(found, Mapping) else {}

    @property
    def code(self) -> tuple[str, ...]:
        """The paths of the project's files in it, as they are imported."""
        return tuple(path.removeprefix(f"{CODE}/") for path in self.tree if path.startswith(f"{CODE}/"))

    @property
    def weights(self) -> tuple[str, ...]:
        """The paths of the files that hold the model itself."""
        return tuple(path for path in self.tree if path.startswith(f"{WEIGHTS}/"))

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that `log_model(files=...)` added."""
        return tuple(path.removeprefix(f"{FILES}/") for path in self.tree if path.startswith(f"{FILES}/"))

    def file(self, name: str) -> Path:
        """A copy of one of `files`, verified, for what reads paths. It is removed when the process ends.

        Raises NotFoundError, CorruptDataError.
        """
        if name not in self.files:
            raise NotFoundError(f"The package has no file {name!r}; it has {among(name, self.files)}")
        target = _handed_out() / self.digest / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            self._kernel.objects.copy_to(self.tree[f"{FILES}/{name}"].digest, target)
        return target

    def read(self, path: str) -> bytes:
        """One file, verified. Raises NotFoundError, CorruptDataError."""
        if path not in self.tree:
            raise NotFoundError(f"The package has no file {path!r}; it has {among(path, self.tree)}")
        return self._kernel.objects.get(self.tree[path].digest)

    @property
    def example(self) -> examples.Example | None:
        """The input example with its expected output, verified."""
        about = self.content.get("example")
        if not isinstance(about, Mapping) or not about.get("input"):
            return None
        output = about.get("output")
        return examples.Example(
            examples.read(str(about["input"]), self.read(str(about["input"]))),
            None if output is None else examples.read(str(output), self.read(str(output))),
            method if (method := about.get("method")) in METHODS else "predict",
        )

    @property
    def needs(self) -> Needs:
        """What a stranger needs to load it. Nothing is run. Raises MissingExtraError, CorruptDataError."""
        found = formats.get(self.format)
        with PackageFiles(self._kernel, self, WEIGHTS) as files:
            types = formats.unreviewed(found, files)
        left_out = self.content.get("left_out")
        local_ones = [line for line in self.local_requirements if not line.endswith("(editable)")]
        return Needs(
            format=self.format, runs_code=found.EXECUTES, types=tuple(sorted(types)), code=self.code,
            missing=(*map(str, left_out if isinstance(left_out, list) else ()), *local_ones), packages=self.requirements,
            python=str(self.content.get("python", "of an unknown version")),
        )  # fmt: skip

    @property
    def verified(self) -> Verified:
        """What was checked when it was logged, as its writer says."""
        found = self.content.get("verified")
        if not isinstance(found, Mapping):
            return Verified(loads=False, reason="it was logged by an earlier version")
        same = found.get("same")
        return Verified(
            found.get("loads") is True,
            tuple(map(str, same)) if isinstance(same, list) else (),
            str(found.get("reason", "")),
        )


@cache
def _handed_out() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="modelmgmt-files-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def pack(
    kernel: Kernel,
    model: Any,
    name: str,
    *,
    input_example: Any = None,
    signature: Signature | None = None,
    format: str | None = None,  # noqa: A002 - the word people type
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    code: bool = True,
    code_paths: Iterable[AnyPath] = (),
    files: Mapping[str, AnyPath] | Iterable[AnyPath] = (),
    run: Mapping[str, Any] | None = None,
    links: Mapping[str, Any] | None = None,
    verify: bool | None = None,
    code_secrets: CodeSecrets = "replace",
) -> Package:
    """Keep a model as a package. On return it survives a power cut; it is garbage until a row names its digest.

    What was written is loaded and asked (see `readback`); `verify` True does so whatever it costs, False does not.

    Raises InvalidTypeError when no format, or not the one asked for, can hold the model, SignatureError when signature
    and example do not fit each other, StoreWriteError.
    """
    if signature is not None and input_example is not None:
        check_example(signature, input_example)
    for word, given in {"code_paths": code_paths, "files": files}.items():
        if isinstance(given, str | os.PathLike):
            raise InvalidTypeError(f"{word}= takes a list of paths, found {os.fspath(given)!r}: write {word}=[...].")
    added, extra = project_code((), code_paths), _given_files(files)
    with_secrets = keeps_secrets(code_secrets)
    kept = None if input_example is None else examples.first_rows(input_example)
    if signature is not None and kept is not None:
        kept = enforce(signature, kept)  # as predict hands it on
    with _stage(kernel) as stage:
        with our_disk("write", stage):
            ask_it = partial(ask, model=model, data=kept, may_be_table=signature is None)
            load_it = partial(load_written, with_secrets=with_secrets)
            written = _save(model, format, stage, ask_it, load_it, verify)
        found, saved = written.format, written.saved
        content: dict[str, Any] = {
            "schema": SCHEMA, "name": name, "description": description, "format": found.NAME,
            "executes": found.EXECUTES, "class": _class_name(model, saved), "options": dict(saved.options),
            "created_at": now_iso(), "python": PYTHON, "platform": PLATFORM, "run": dict(run or {}) or None,
        }  # fmt: skip
        content |= {"reason": written.reason} if written.reason else {}
        content |= _describe(stage, written.answers, input_example, signature)
        content["verified"] = asdict(written.verified)
        own = (project_code(saved.modules) if code else ProjectCode(modules=set(saved.modules))).joined(added)
        hidden = {} if with_secrets else own.hide_secrets()
        needed = {*requirements(own.foreign), *installed(found.NEEDS)}
        unpublished = [
            f"{each.name}=={each.version} from {each.origin}" for each in local(own.foreign, own.files.values())
        ]
        content |= {"local_requirements": unpublished} if unpublished else {}
        content["requirements"] = sorted(needed)
        content |= {} if code else {"left_out": sorted({*project_code(saved.modules).files} - {*own.files})}
        for path, why in hidden.items():
            warn(
                f"{path} of the model {name} is {why}. Take secrets from environment variables, or pass "
                "code_secrets='keep' to log_model, which keeps them."
            )
        content |= {"secrets": hidden} if hidden else {}
        content |= {"links": dict(links or {}), "metadata": _json_mapping(metadata)}
        with our_disk("write", stage):
            for path in own.files:
                (stage / CODE / path).parent.mkdir(parents=True, exist_ok=True)
                (stage / CODE / path).write_bytes(own.content(path, with_secrets=with_secrets))
            _copy_all(stage / FILES, extra)
            lines = [*sorted(needed), *(f"# {line}: no index has it" for line in unpublished)]
            (stage / REQUIREMENTS).write_text("".join(f"{line}\n" for line in lines), "utf-8")
            (stage / DESCRIPTION).write_bytes(_encoded(content))
        digest = _keep(kernel, stage)
    sign(kernel, digest)
    return read_package(kernel, digest)


def read_package(kernel: Kernel, digest: str) -> Package:
    """The package of that digest; nothing of it is executed. Raises NotFoundError, CorruptDataError, StoreTooNewError."""
    tree = Trees(kernel.objects).get(digest)
    refuse_other(tree, digest)
    return Package(digest, tree, decode_description(kernel.objects.get(tree[DESCRIPTION].digest)), kernel)


def refuse_other(tree: Tree, digest: str) -> None:
    """Raises CorruptDataError for the manifest of what is no package."""
    if DESCRIPTION not in tree:
        raise CorruptDataError(f"The tree {digest} is not a model: it has no {DESCRIPTION}.")
    if tree[DESCRIPTION].size > DESCRIPTION_LIMIT:
        raise CorruptDataError(f"The {DESCRIPTION} of the model {digest} is larger than 16 MiB.")


def decode_description(data: bytes) -> dict[str, Any]:
    """What `model.json` says. Raises CorruptDataError, StoreTooNewError."""
    try:
        content = json.loads(data)
        schema = content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptDataError(f"A {DESCRIPTION} cannot be read ({error!r}).") from error
    if schema != SCHEMA and str(schema).removeprefix(_FAMILY).isdecimal():
        raise StoreTooNewError(f"This model has the format {schema!r}, and this version reads {SCHEMA}: upgrade.")
    if schema != SCHEMA or not all(isinstance(content.get(key), str) for key in ("name", "format")):
        raise CorruptDataError(f"This {DESCRIPTION} does not have the format {SCHEMA!r}.")
    return dict(content)


def rewrite(kernel: Kernel, package: Package, changes: Mapping[str, Any]) -> Package:
    """The same package with other fields in `model.json`: a new digest. Fields that are not known stay as they are."""
    data = _encoded({**package.content, **changes})
    stored = kernel.objects.put_bytes(data)
    entry = type(package.tree[DESCRIPTION])(stored.digest, stored.size)
    return read_package(kernel, Trees(kernel.objects).put(Tree({**package.tree, DESCRIPTION: entry})))


@contextmanager
def _stage(kernel: Kernel) -> Iterator[Path]:
    """A folder in the store's own tmp: a model goes to the disk as it is written, not to memory."""
    kernel.require_writable()
    stage = kernel.path / "tmp" / f"pack-{os.getpid()}-{token()}"
    with our_disk("create", stage):
        stage.mkdir(parents=True)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Written:
    """Weights that are on the disk, and what is known of them."""

    format: Format
    saved: Saved
    answers: Answers
    verified: Verified
    reason: str = ""
    """Why no safer format has them."""


def _save(
    model: Any, name: str | None, stage: Path, ask_it: Callable[[Format], Answers],
    load_it: Callable[[Format, Path, Saved], Any], verify: bool | None,
) -> _Written:  # fmt: skip
    """Write the weights in the format asked for, else in the first that holds them and reads back as the model."""
    asked = [formats.get(name)] if name is not None else formats.candidates(model)
    refused: list[tuple[Format, Exception]] = []
    early: dict[str, Saved] = {}
    for found, following in zip(asked, [*asked[1:], None], strict=True):
        try:
            written = _write(found, model, stage / _TRIES, ask_it, load_it, verify, following, early)
        except MissingExtraError as error:  # the library of the format is not installed
            if name is not None:
                raise
            refused.append((found, error))
        except CannotHoldError as error:
            refused.append((found, error))
        else:
            break
    reason = "; nor ".join(f"as {found.NAME}: {str(error).rstrip('.')}" for found, error in refused)
    if len(refused) == len(asked):
        hint = (
            " Look at what the model leaves out of its state (__getstate__, __reduce__); format=... stores it in another "
            "format, verify=False as it is."
        )
        is_unlike = any(isinstance(error, UnlikeError) for _, error in refused)
        message = f"A {class_name(model)} cannot be stored {reason}.{hint if is_unlike else ''}"
        raise InvalidTypeError(message) from refused[-1][1]
    (stage / _TRIES / written.format.NAME).rename(stage / WEIGHTS)
    shutil.rmtree(stage / _TRIES)
    if not refused:
        return written
    runs = ", which runs code when it is loaded," if written.format.EXECUTES else ""
    warn(f"The model is stored as {written.format.NAME}{runs} because it cannot be stored {reason}.")
    return replace(written, reason=reason)


def _write(
    found: Format, model: Any, place: Path, ask_it: Callable[[Format], Answers],
    load_it: Callable[[Format, Path, Saved], Any], verify: bool | None,
    following: Format | None, early: dict[str, Saved],
) -> _Written:  # fmt: skip
    """Write the weights in one format and read them back. Raises CannotHoldError."""
    folder = place / found.NAME
    begin = perf_counter()
    if found.NAME not in early:
        folder.mkdir(parents=True)
    saved = early.get(found.NAME) or found.save(model, folder)
    unread = unread_reason(folder, perf_counter() - begin, verify)
    loaded = None if unread else load_it(found, folder, saved)
    if not unread and following is not None and has_foreign(saved.modules):
        # Being asked may change an object of somebody's own, and a model is stored as it was handed in.
        with suppress(CannotHoldError, MissingExtraError):
            (place / following.NAME).mkdir()
            early[following.NAME] = following.save(model, place / following.NAME)
    answers = ask_it(found)
    verified = Verified(loads=False, reason=unread) if unread else check(found, model, loaded, answers)
    return _Written(found, saved, answers, verified)


def _class_name(model: Any, saved: Saved) -> str:
    # A folder was given in place of the model that is in it.
    return f"transformers.{saved.options['class']}" if isinstance(model, Path) and saved.options else class_name(model)


def _describe(stage: Path, answers: Answers, input_example: Any, signature: Signature | None) -> dict[str, Any]:
    """Signature and example, as `model.json` has them; the example's files are written."""
    if input_example is None:
        return {"signature": None if signature is None else signature.as_dict(), "example": None}
    if answers.error is not None:
        warn(
            f"The model failed on its input example ({type(answers.error).__name__}: {answers.error}), so no expected "
            "output is stored."
        )
    if signature is None:
        is_table = is_records(input_example) and not is_records(answers.data)
        signature = infer(normal(input_example) if is_table else input_example)
    method = answers.method
    output = None if method is None else answers.by_method[method]
    if signature.outputs is None and output is not None:
        signature = _with_outputs(signature, output)
    with our_disk("write", stage):
        (stage / EXAMPLE).mkdir()
        name = examples.write(stage / EXAMPLE, "input", answers.data)
        answer = None if name is None or output is None else examples.write(stage / EXAMPLE, "output", output)
    about = {"input": name and f"{EXAMPLE}/{name}", "output": answer and f"{EXAMPLE}/{answer}"}
    about |= {"method": method} if answer and method != "predict" else {}
    return {"signature": signature.as_dict(), "example": about}


def _with_outputs(signature: Signature, output: Any) -> Signature:
    try:
        return Signature(signature.inputs, spec_of(output), signature.mode)
    except InvalidTypeError:
        return signature


def _copy_all(folder: Path, files: Mapping[str, Path]) -> None:
    for path, source in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _given_files(files: Mapping[str, AnyPath] | Iterable[AnyPath]) -> dict[str, Path]:
    """name -> file, of folders all that is in them. Raises InvalidNameError, InvalidTypeError, NotFoundError."""
    named = files if isinstance(files, Mapping) else {Path(path).name: path for path in files}
    found: dict[str, Path] = {}
    for name, given in named.items():
        check_path(name, "the name of a file of the model")
        path = Path(given)
        if not path.exists():
            raise NotFoundError(f"files= names {str(given)!r}, and there is no such file or folder: {path.absolute()}")
        inside = [each for each in sorted(path.rglob("*")) if each.is_file()] if path.is_dir() else [path]
        found |= {name if each == path else f"{name}/{each.relative_to(path).as_posix()}": each for each in inside}
    return found


def _keep(kernel: Kernel, stage: Path) -> str:
    return Trees(kernel.objects).put_folder(stage, move=True).digest


def _encoded(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _json_mapping(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    from modelmgmt.tracking.artifacts import dict_bytes

    found: dict[str, Any] = json.loads(dict_bytes(metadata or {}))
    return found
