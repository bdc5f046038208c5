"""Pictures as PNG bytes: arrays, PIL images, matplotlib and plotly figures. Pure functions."""

from __future__ import annotations

import io
from typing import Any

from modelmgmt.errors import InvalidTypeError, InvalidValueError

DPI = 120


def figure_bytes(figure: Any) -> tuple[bytes, str]:
    """A figure (or the axes of one) as bytes, with the suffix that they deserve. Raises InvalidTypeError."""
    if hasattr(figure, "get_figure") and not hasattr(figure, "savefig"):
        figure = figure.get_figure()
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        # Without the software's version: the same figure gives the same bytes, which are kept once.
        figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
        return buffer.getvalue(), ".png"
    if hasattr(figure, "to_html"):
        return str(figure.to_html(include_plotlyjs=True)).encode(), ".html"
    raise InvalidTypeError(f"A figure is one of matplotlib or plotly, and {type(figure).__name__} was given.")


def image_bytes(image: Any) -> bytes:
    """An image as PNG: `(height, width)` or `(height, width, 3 or 4)`, uint8 or float in 0..1, or a PIL image.

    Raises InvalidTypeError, InvalidValueError.
    """
    from PIL import Image

    if not hasattr(image, "save"):
        image = Image.fromarray(_pixels(image))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _pixels(image: Any) -> Any:
    import numpy as np

    if hasattr(image, "detach"):
        image = image.detach().cpu()
    try:
        pixels = np.asarray(image)
    except ValueError as error:
        raise InvalidTypeError(f"An image is an array, and {type(image).__name__} was given: {error}.") from error
    if pixels.dtype.kind not in "buifc":
        raise InvalidTypeError(f"An image is an array of numbers or a PIL image, and {type(image).__name__} was given.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not fits or 0 in pixels.shape:
        message = f"An image has the shape (height, width) or (height, width, 3 or 4), and this one {pixels.shape}."
        raise InvalidValueError(message)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if np.issubdtype(pixels.dtype, np.floating):
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
            raise InvalidValueError("An image of floats has values from 0 to 1: scale it, or convert it to uint8.")
        return np.round(pixels * 255).astype(np.uint8)
    if pixels.dtype != np.uint8:
        if not np.issubdtype(pixels.dtype, np.integer) or pixels.min() < 0 or pixels.max() > 255:
            raise InvalidValueError(f"An image is uint8 in 0..255 or float in 0..1, and this one is {pixels.dtype}.")
        return pixels.astype(np.uint8)
    return pixels
