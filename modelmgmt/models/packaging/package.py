"""A model as a tree of files: what it is in `model.json`, the weights, an example, the code of the project.

    model.json           what the model is, for people and programs; unknown fields survive
    requirements.txt     the distributions that it needs
    weights/             as its format writes them
    example/             an input, and what the model said of it
    code/                the modules of the project that it refers to

Writes objects, no tables: whoever packs a model names its digest in a row of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError, MissingExtraError, NotFoundError, StoreTooNewError
from modelmgmt.models import formats
from modelmgmt.models.formats import CannotHoldError, Format, Saved, class_name
from modelmgmt.models.packaging import example as examples
from modelmgmt.models.packaging.enforce import check_example
from modelmgmt.models.packaging.requirements import installed, project_files, requirements
from modelmgmt.models.packaging.signature import Signature, infer, spec_of
from modelmgmt.models.trust.signing import sign
from modelmgmt.store.disk import our_disk, token
from modelmgmt.store.names import among
from modelmgmt.store.times import now_iso
from modelmgmt.store.trees import Tree, Trees

if TYPE_CHECKING:
    from modelmgmt.store.kernel import Kernel

_FAMILY = "modelmgmt.model/"
SCHEMA = f"{_FAMILY}1"
DESCRIPTION, REQUIREMENTS, WEIGHTS, EXAMPLE, CODE = "model.json", "requirements.txt", "weights", "example", "code"

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
    def run(self) -> str | None:
        """The id of the run that made it."""
        run = self.content.get("run")
        return str(run["id"]) if isinstance(run, Mapping) and "id" in run else None

    @property
    def links(self) -> Mapping[str, Any]:
        """The versions of data, code and environment that it was made with."""
        links = self.content.get("links", {})
        return links if isinstance(links, Mapping) else {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the caller of `log_model` added."""
        found = self.content.get("metadata", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def code(self) -> tuple[str, ...]:
        """The paths of the project's files in it, as they are imported."""
        return tuple(path.removeprefix(f"{CODE}/") for path in self.tree if path.startswith(f"{CODE}/"))

    @property
    def weights(self) -> tuple[str, ...]:
        """The paths of the files that hold the model itself."""
        return tuple(path for path in self.tree if path.startswith(f"{WEIGHTS}/"))

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
        )


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
    run: Mapping[str, Any] | None = None,
    links: Mapping[str, Any] | None = None,
) -> Package:
    """Keep a model as a package. On return it survives a power cut; it is garbage until a row names its digest.

    Raises InvalidTypeError when no format, or not the one asked for, can hold the model, SignatureError when signature
    and example do not fit each other, StoreWriteError.
    """
    if signature is not None and input_example is not None:
        check_example(signature, input_example)
    with _stage(kernel) as stage:
        with our_disk("write", stage):
            found, saved, reason = _save(model, format, stage)
        content: dict[str, Any] = {
            "schema": SCHEMA, "name": name, "description": description, "format": found.NAME,
            "executes": found.EXECUTES, "class": _class_name(model, saved), "options": dict(saved.options),
            "created_at": now_iso(), "python": sys.version.partition(" ")[0], "run": dict(run or {}) or None,
        }  # fmt: skip
        content |= {"reason": reason} if reason else {}
        content |= _describe(stage, found, model, input_example, signature)
        needed = {*requirements(saved.modules), *installed(found.NEEDS)}
        content["requirements"] = sorted(needed)
        content |= {"links": dict(links or {}), "metadata": _json_mapping(metadata)}
        with our_disk("write", stage):
            if code:
                _copy_code(stage, saved)
            (stage / REQUIREMENTS).write_text("".join(f"{line}\n" for line in sorted(needed)), "utf-8")
            (stage / DESCRIPTION).write_bytes(_encoded(content))
        digest = _keep(kernel, stage)
    sign(kernel, digest)
    return read_package(kernel, digest)


def read_package(kernel: Kernel, digest: str) -> Package:
    """The package of that digest; nothing of it is executed. Raises NotFoundError, CorruptDataError, StoreTooNewError."""
    tree = Trees(kernel.objects).get(digest)
    if DESCRIPTION not in tree:
        raise CorruptDataError(f"The tree {digest} is no model: it has no {DESCRIPTION}.")
    if tree[DESCRIPTION].size > DESCRIPTION_LIMIT:
        raise CorruptDataError(f"The {DESCRIPTION} of the model {digest} is larger than 16 MiB.")
    return Package(digest, tree, decode_description(kernel.objects.get(tree[DESCRIPTION].digest)), kernel)


def decode_description(data: bytes) -> dict[str, Any]:
    """What `model.json` says. Raises CorruptDataError, StoreTooNewError."""
    try:
        content = json.loads(data)
        schema = content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptDataError(f"A {DESCRIPTION} can not be read ({error!r}).") from error
    if schema != SCHEMA and str(schema).removeprefix(_FAMILY).isdecimal():
        raise StoreTooNewError(f"This model is written as {schema!r}, and this version reads {SCHEMA}: upgrade.")
    if schema != SCHEMA or not all(isinstance(content.get(key), str) for key in ("name", "format")):
        raise CorruptDataError(f"This is no {DESCRIPTION} of the form {SCHEMA!r}.")
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
        (stage / WEIGHTS).mkdir(parents=True)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _save(model: Any, name: str | None, stage: Path) -> tuple[Format, Saved, str]:
    """Write the weights, in the format asked for, else in the safest that holds them: (format, saved, why not safer)."""
    chosen = formats.choose(model) if name is None else formats.get(name)
    try:
        return chosen, chosen.save(model, stage / WEIGHTS), ""
    except CannotHoldError as error:
        if name is not None or chosen.EXECUTES:
            raise InvalidTypeError(f"A {class_name(model)} can not be kept as {chosen.NAME}: {error}.") from error
        reason = str(error)
    except MissingExtraError as error:  # the library of the format is not installed
        if name is not None:
            raise
        reason = str(error)
    shutil.rmtree(stage / WEIGHTS)
    (stage / WEIGHTS).mkdir()
    last = formats.get("cloudpickle")
    try:
        saved = last.save(model, stage / WEIGHTS)
    except CannotHoldError as error:
        message = f"A {class_name(model)} can not be kept. As {chosen.NAME}: {reason}. As {last.NAME}: {error}."
        raise InvalidTypeError(message) from error
    warnings.warn(
        f"The model is kept as {last.NAME}, which runs code when it is loaded, and not as {chosen.NAME}: "
        f"{reason.rstrip('.')}.",
        stacklevel=6,
    )
    return last, saved, reason


def _class_name(model: Any, saved: Saved) -> str:
    # A folder was given in place of the model that is in it.
    return f"transformers.{saved.options['class']}" if isinstance(model, Path) and saved.options else class_name(model)


def _describe(
    stage: Path, found: Format, model: Any, input_example: Any, signature: Signature | None
) -> dict[str, Any]:
    """Signature and example, as `model.json` has them; the example's files are written."""
    if input_example is None:
        return {"signature": None if signature is None else signature.as_dict(), "example": None}
    if signature is None:
        signature = infer(input_example)
    kept = examples.first_rows(input_example)
    output = _ask(found, model, kept)
    if signature.outputs is None and output is not None:
        signature = _with_outputs(signature, output)
    with our_disk("write", stage):
        (stage / EXAMPLE).mkdir()
        name = examples.write(stage / EXAMPLE, "input", kept)
        answer = None if name is None or output is None else examples.write(stage / EXAMPLE, "output", output)
    about = {"input": name and f"{EXAMPLE}/{name}", "output": answer and f"{EXAMPLE}/{answer}"}
    return {"signature": signature.as_dict(), "example": about}


def _ask(found: Format, model: Any, kept: Any) -> Any:
    """What the model says of the example; None, with a warning, when it raises."""
    try:
        return found.predict(model, kept, "predict")
    except InvalidTypeError:
        return None  # weights alone, or an object that is not asked by predict
    except Exception as error:  # noqa: BLE001 - the model's own; a model that is kept is worth more than its example
        message = f"The model did not take its input example ({type(error).__name__}: {error}): no output is kept."
        warnings.warn(message, stacklevel=7)
        return None


def _with_outputs(signature: Signature, output: Any) -> Signature:
    try:
        return Signature(signature.inputs, spec_of(output), signature.mode)
    except InvalidTypeError:
        return signature


def _copy_code(stage: Path, saved: Saved) -> None:
    for path, source in project_files(saved.modules).items():
        target = stage / CODE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _keep(kernel: Kernel, stage: Path) -> str:
    return Trees(kernel.objects).put_folder(stage, move=True).digest


def _encoded(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _json_mapping(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    from modelmgmt.tracking.artifacts import dict_bytes

    found: dict[str, Any] = json.loads(dict_bytes(metadata or {}))
    return found
