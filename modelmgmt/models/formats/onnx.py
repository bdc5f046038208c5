"""ONNX: a graph of operators, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from modelmgmt.errors import CorruptDataError, InvalidTypeError
from modelmgmt.models.formats import CannotHoldError, Files, Saved, library_of, require

NAME = "onnx"
EXECUTES = False
NEEDS = ("onnx", "onnxruntime")
FILE = "model.onnx"
WEIGHTS = "model.onnx.data"
_ONE_FILE = (2 << 30) - (1 << 20)  # bytes; protobuf stops at 2 GiB


def accepts(model: Any) -> bool:
    return library_of(model) == "onnx" and type(model).__name__ == "ModelProto"


def save(model: Any, folder: Path) -> Saved:
    onnx = require("onnx", "'modelmgmt[onnx]'")
    if not accepts(model):
        raise CannotHoldError(
            f"a {type(model).__name__} is not a ModelProto; export_model(reference, path, 'onnx') makes one"
        )
    is_large = model.ByteSize() > _ONE_FILE
    onnx.save_model(model, folder / FILE, save_as_external_data=is_large, location=WEIGHTS)
    try:
        onnx.checker.check_model(folder / FILE)
    except onnx.checker.ValidationError as error:
        raise CannotHoldError(f"ONNX's checker rejects it ({error})") from error
    return Saved(frozenset({"onnx", "onnxruntime"}), {})


def load(files: Files, options: Mapping[str, Any], trusted: Collection[str] | None) -> Any:
    del options, trusted
    onnx = require("onnx", "'modelmgmt[onnx]'")
    if FILE not in files.names():
        raise CorruptDataError(f"The package has no file {FILE}: it is not an ONNX model.")
    folder = files.folder()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(folder / FILE, load_external_data=False)
        _check_external(model, files.names())
        if (folder / WEIGHTS).exists():
            onnx.load_external_data_for_model(model, str(folder))
    except DecodeError as error:
        raise CorruptDataError(f"The file {FILE} of the model is not an ONNX file ({error}).") from error
    return model


def predict(model: Any, data: Any, method: str) -> Any:
    """The first output; all of them by name with `method="outputs"`. Columns of a table are inputs of these names."""
    outputs = session(model).run(None, feed(model, data))
    names = [output.name for output in model.graph.output]
    if method == "outputs":
        return dict(zip(names, outputs, strict=True))
    if method == "predict_proba" and len(outputs) > 1:
        return outputs[1]
    if method != "predict":
        raise InvalidTypeError(f"An ONNX model has no {method}: use 'predict' or 'outputs'.")
    return outputs[0]


def session(model: Any) -> Any:
    """An onnxruntime session for the model; made anew when it is not the one that was made last."""
    runtime = require("onnxruntime", "'modelmgmt[onnx]'")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feed(model: Any, data: Any) -> dict[str, Any]:
    """The data as the inputs of the graph, by name, `(n_samples, ...)` each."""
    import numpy as np

    inputs = [value.name for value in model.graph.input]
    if hasattr(data, "columns"):
        if len(inputs) == 1 and inputs[0] not in data.columns:
            return {inputs[0]: _typed(model, inputs[0], data.to_numpy())}
        return {name: _typed(model, name, data[name].to_numpy()[:, None]) for name in inputs}
    if isinstance(data, Mapping):
        return {name: _typed(model, name, np.asarray(data[name])) for name in inputs}
    return {inputs[0]: _typed(model, inputs[0], np.asarray(data))}


def _typed(model: Any, name: str, array: Any) -> Any:
    import numpy as np
    import onnx

    [value] = [value for value in model.graph.input if value.name == name]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return array.astype(object if np.dtype(dtype) == object else dtype)


def _check_external(model: Any, names: Collection[str]) -> None:
    """Weights beside the file are in the one file that `save` writes: nothing in the graph names another path."""
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location" and (entry.value != WEIGHTS or WEIGHTS not in names):
                raise CorruptDataError(
                    f"The ONNX model would read the file {entry.value!r}: only {WEIGHTS} of its package is its own."
                )


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor at any depth: in attributes, in graphs that are attributes, in functions, sparse ones too."""
    todo = [model]
    while todo:
        message = todo.pop()
        if message.DESCRIPTOR.full_name == "onnx.TensorProto":
            yield message
            continue
        for about, value in message.ListFields():
            if about.message_type is not None:
                todo += [value] if hasattr(value, "ListFields") else value
