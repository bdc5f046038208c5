"""Hugging Face: models and tokenizers of transformers, or a folder as they write it, with the weights as safetensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.models.formats import CannotHoldError, Files, Saved, libraries_of, library_of, require

NAME = "huggingface"
EXECUTES = False
NEEDS = ("transformers", "safetensors")

_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".msgpack", ".h5", ".joblib"})


def accepts(model: Any) -> bool:
    if isinstance(model, Path):
        return (model / "config.json").is_file()
    return "transformers" in libraries_of(model) and hasattr(model, "save_pretrained")


def save(model: Any, folder: Path) -> Saved:
    if isinstance(model, Path):
        _copy(model, folder)
    elif library_of(model) != "transformers":
        raise CannotHoldError(f"{type(model).__name__} is not a class of transformers: load it with its own code")
    else:
        require("transformers", "transformers")
        model.save_pretrained(folder)
    _check(folder)
    return Saved(frozenset({"transformers", "safetensors", "torch"}), {"class": _class(model, folder)})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    """The model by the class of transformers that wrote it: no code of the folder runs, no pickle is read."""
    del trusted
    transformers = require("transformers", "transformers")
    folder = files.folder()
    _check(folder)
    name = options.get("class")
    found = getattr(transformers, name, None) if isinstance(name, str) and name.isidentifier() else None
    _check_kernels(folder)
    allowed = (transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase)
    if not isinstance(found, type) or not issubclass(found, allowed):
        raise CorruptDataError(
            f"The package names the class {name!r}, which is not a model or tokenizer of transformers."
        )
    safe = {"use_safetensors": True} if issubclass(found, transformers.PreTrainedModel) else {}
    loader: Any = found
    return loader.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **safe)


def predict(model: Any, data: Any, method: str) -> Any:
    """The logits, or the first output, of a model that is given input ids or inputs by name; a tokenizer's encoding."""
    import torch

    if not hasattr(model, "forward"):
        return model(data.tolist() if hasattr(data, "tolist") else data)
    if method != "predict":
        raise InvalidTypeError(f"{type(model).__name__} has only predict: use .model for {method}.")
    inputs = data if isinstance(data, Mapping) else {"input_ids": data}
    with torch.no_grad():
        output = model(**{name: torch.as_tensor(value) for name, value in inputs.items()})
    first = output["logits"] if "logits" in output else output[0]
    return first.cpu().numpy()


def _copy(source: Path, folder: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(source).parts):
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _check(folder: Path) -> None:
    odd = [path.name for path in folder.rglob("*") if path.suffix.lower() in _PICKLES]
    if odd:
        raise CannotHoldError(f"{odd[0]!r} can run code when it is loaded: save the weights as safetensors")


def _check_kernels(folder: Path) -> None:
    """An attention or an expert layer of the name `somebody/something` is a program that transformers would fetch."""
    todo: list[Any] = []
    for path in sorted(folder.rglob("*.json")):
        if path.name.endswith("config.json"):
            try:
                todo.append(json.loads(path.read_bytes()))
            except (ValueError, RecursionError) as error:
                raise CorruptDataError(f"The file {path.name} of the model is not JSON ({error}).") from error
    while todo:
        item = todo.pop()
        todo += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        for key, value in item.items() if isinstance(item, dict) else ():
            if str(key).endswith("_implementation") and not _is_built_in(value):
                raise CorruptDataError(
                    f"The model asks for the program {str(value)[:80]!r} as its {key}: that is not part of transformers."
                )


def _is_built_in(value: Any) -> bool:
    """Of how to compute a layer; a mapping has it for each part."""
    each = value.values() if isinstance(value, Mapping) else [value]
    return all(isinstance(name, str | None) and "/" not in str(name) for name in each)


def _class(model: Any, folder: Path) -> str:
    if not isinstance(model, Path):
        return type(model).__name__
    config = json.loads((folder / "config.json").read_text("utf-8"))
    names = config.get("architectures") or []
    if len(names) != 1:
        raise CannotHoldError("its config.json does not name one architecture, so the class that loads it is not known")
    return str(names[0])
