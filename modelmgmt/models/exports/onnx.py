"""A scikit-learn model as an ONNX graph, written only when it says the same of the example as the model itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelmgmt.errors import InvalidValueError
from modelmgmt.models import load
from modelmgmt.models.formats import libraries_of, require
from modelmgmt.models.formats import onnx as graphs
from modelmgmt.models.packaging.example import difference
from modelmgmt.models.packaging.signature import Table, Tensor, is_records, is_sparse, spec_of
from modelmgmt.store.disk import token

if TYPE_CHECKING:
    from modelmgmt.models.packaging.package import Package
    from modelmgmt.models.trust.decision import Trust
    from modelmgmt.store.kernel import Kernel

TOLERANCE = 1e-4
"""Of the largest number in the output: ONNX computes in 32 bits where scikit-learn has 64."""
_METHODS = ("predict", "predict_proba", "transform")


def write_onnx(kernel: Kernel, package: Package, path: Path, *, trust: Trust = None) -> None:
    """Write the model to the new file `path`. Raises InvalidValueError when it cannot be converted, or differs."""
    loaded = load.load_digest(kernel, package.digest, trust=trust)
    graph = loaded.model if package.format == graphs.NAME else _converted(package, loaded)
    part = path.parent / f".{token()}.part"
    try:
        part.write_bytes(graph.SerializeToString())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _converted(package: Package, loaded: load.LoadedModel) -> Any:
    model = loaded.model
    if "sklearn" not in libraries_of(model):
        message = f"Only scikit-learn models can be exported to ONNX, and this is a {package.class_name}."
        raise InvalidValueError(message)
    example = package.example
    if example is None:
        raise InvalidValueError(
            "An export to ONNX is checked on an input example, and the model has none: log it with input_example=..."
        )
    if not any(hasattr(model, method) for method in _METHODS):
        raise InvalidValueError(
            f"A {package.class_name} has none of {', '.join(_METHODS)}, so an ONNX graph cannot say what it says."
        )
    require("skl2onnx", "'modelmgmt[onnx]'")
    refused: list[InvalidValueError] = []
    for doubles in (
        True,
        False,
    ):  # many converters mix up 64 and 32 bits; what is computed in 32 is held to the example, too
        try:
            graph = _convert(model, _inputs(example.input, doubles=doubles))
            _check(graph, loaded, example.input)
        except InvalidValueError as error:
            refused.append(error)
        else:
            return graph
    raise refused[-1]


def _convert(model: Any, inputs: list[tuple[str, Any]]) -> Any:
    import skl2onnx
    from sklearn.base import is_classifier

    # Probabilities as one array, not as a list of mappings.
    options = {id(model): {"zipmap": False}} if _said_of(is_classifier, model) else None
    try:
        try:
            return skl2onnx.convert_sklearn(model, initial_types=inputs, options=options)
        except NameError:  # of a converter that has no such option, and no probabilities
            return skl2onnx.convert_sklearn(model, initial_types=inputs)
    except Exception as error:  # of skl2onnx, of the converters, and of the model's own classes
        first = str(error).strip().partition("\n")[0]
        raise InvalidValueError(
            f"skl2onnx cannot convert this model ({type(error).__name__}: {first}). The kinds 'bundle' and 'mlflow' export "
            "any model."
        ) from error


def _said_of(asks: Callable[[Any], bool], model: Any) -> bool:
    try:
        return asks(model)
    except AttributeError:  # a step that is no estimator of scikit-learn
        return hasattr(model, "predict_proba")


def _inputs(example: Any, *, doubles: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common import data_types as types

    kinds = {"float64": types.DoubleTensorType if doubles else types.FloatTensorType, "float32": types.FloatTensorType}
    kinds |= {"int64": types.Int64TensorType, "int32": types.Int32TensorType, "bool": types.BooleanTensorType}
    kinds |= {"str": types.StringTensorType}
    if is_records(example):
        raise InvalidValueError("The model takes a list of mappings, and ONNX inputs are tables or arrays.")
    spec = spec_of(example)
    if isinstance(spec, Table):
        columns = [(column, kinds.get(column.dtype)) for column in spec.columns]
        odd = next((column for column, kind in columns if kind is None), None)
        if odd is not None:
            raise InvalidValueError(f"The column {odd.name!r} is {odd.dtype}, which skl2onnx cannot take as an input.")
        return [(str(column.name), kind([None, 1])) for column, kind in columns if kind is not None]
    if not isinstance(spec, Tensor) or spec.dtype not in kinds or len(spec.shape) not in (1, 2):
        raise InvalidValueError(f"The example is {spec}, and ONNX inputs are tables or arrays of up to 2 dimensions.")
    return [("X", kinds[spec.dtype]([None, *spec.shape[1:]]))]


def _check(graph: Any, loaded: load.LoadedModel, example: Any) -> None:
    """The graph must say what the model says, of its example: labels alike, numbers within the tolerance."""
    given = example.toarray() if is_sparse(example) else example
    asked = [method for method in _METHODS if hasattr(loaded.model, method)]
    # Of what predicts and transforms (KMeans, stacks) the graph has the first alone.
    for method in asked if asked == ["transform"] else [method for method in asked if method != "transform"]:
        expected = loaded.predict(example, method=method)
        try:
            found = graphs.predict(graph, given, "predict" if method == "transform" else method)
        except Exception as error:  # of onnxruntime, which says what of the graph it cannot run
            first = " ".join(str(error).split())[:500]
            raise InvalidValueError(f"The graph that skl2onnx made cannot be run ({first}).") from error
        if getattr(found, "ndim", 0) == 2 and found.shape[1] == 1 and getattr(expected, "ndim", 1) == 1:
            found = found[:, 0]
        differs = difference(expected, found, relative=TOLERANCE)
        if differs:
            raise InvalidValueError(
                f"The ONNX graph predicts something else than the model for its example ({method}: {differs}), so it "
                "was not written. Trees split float64 inputs differently: fit the model on float32."
            )
