"""A scikit-learn model as an ONNX graph, written only when it says the same of the example as the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.models import load
from modelmgmt.models.formats import libraries_of, require
from modelmgmt.models.formats import onnx as graphs
from modelmgmt.models.packaging.example import difference
from modelmgmt.models.packaging.signature import Table, Tensor, spec_of
from modelmgmt.store.disk import token

if TYPE_CHECKING:
    from modelmgmt.models.packaging.package import Package
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.store.kernel import Kernel

TOLERANCE = 1e-4
"""Of the largest number in the output: ONNX computes in 32 bits where scikit-learn has 64."""


def write_onnx(kernel: Kernel, package: Package, path: Path, *, trust: Trust = None) -> None:
    """Write the model to the new file `path`. Raises InvalidValueError when it can not be converted, or differs."""
    loaded = load.load_digest(kernel, package.digest, trust=trust)
    if package.format == graphs.NAME:
        data = loaded.model.SerializeToString()
    else:
        data = _converted(package, loaded).SerializeToString()
    part = path.parent / f".{token()}.part"
    try:
        part.write_bytes(data)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _converted(package: Package, loaded: load.LoadedModel) -> Any:
    model = loaded.model
    if "sklearn" not in libraries_of(model):
        message = f"Only scikit-learn models are converted to ONNX here, and this is a {package.class_name}."
        raise InvalidValueError(message)
    example = package.example
    if example is None:
        raise InvalidValueError("Converting to ONNX is checked on an input example: log the model with input_example=.")
    skl2onnx = require("skl2onnx", "'modelmgmt[onnx]'")
    try:
        graph = skl2onnx.convert_sklearn(model, initial_types=_inputs(example.input), options=_options(model))
    except (RuntimeError, NotImplementedError, ValueError, TypeError, KeyError, AttributeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise InvalidValueError(f"skl2onnx can not convert this model ({type(error).__name__}: {first}).") from error
    _check(graph, loaded, example.input)
    return graph


def _options(model: Any) -> dict[int, dict[str, bool]] | None:
    """Probabilities as one array, not as a list of mappings."""
    return {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None


def _inputs(example: Any) -> list[tuple[str, Any]]:
    from skl2onnx.common import data_types as types

    kinds = {"float64": types.DoubleTensorType, "float32": types.FloatTensorType, "int64": types.Int64TensorType}
    kinds |= {"int32": types.Int32TensorType, "bool": types.BooleanTensorType, "str": types.StringTensorType}
    spec = spec_of(example)
    if isinstance(spec, Table):
        columns = [(column, kinds.get(column.dtype)) for column in spec.columns]
        odd = next((column for column, kind in columns if kind is None), None)
        if odd is not None:
            raise InvalidValueError(f"The column {odd.name!r} is {odd.dtype}, which no ONNX input of skl2onnx is.")
        return [(str(column.name), kind([None, 1])) for column, kind in columns if kind is not None]
    if not isinstance(spec, Tensor) or spec.dtype not in kinds or len(spec.shape) != 2:
        raise InvalidValueError(f"The example is {spec}, and ONNX inputs are made of tables and 2-dimensional arrays.")
    return [("X", kinds[spec.dtype]([None, spec.shape[1]]))]


def _check(graph: Any, loaded: load.LoadedModel, example: Any) -> None:
    """The graph must say what the model says, of its example: labels alike, numbers within the tolerance."""
    for method in ("predict", "predict_proba"):
        if not hasattr(loaded.model, method):
            continue
        expected = loaded.predict(example, method=method)
        found = graphs.predict(graph, example, method)
        if found.ndim == 2 and found.shape[1] == 1 and getattr(expected, "ndim", 1) == 1:
            found = found[:, 0]
        differs = difference(expected, found, relative=TOLERANCE)
        if differs:
            raise InvalidValueError(
                f"The ONNX graph does not say what the model says of its example ({method}: {differs}): not written. A "
                "tree near a threshold needs 32-bit inputs when it is fitted: fit it on float32."
            )
