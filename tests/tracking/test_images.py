"""Pictures: arrays, PIL images and figures are kept as PNG, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from modelmgmt.errors import InvalidTypeError, InvalidValueError

RNG = np.random.default_rng(0)


@pytest.fixture
def run(store):
    with store.start_run() as run:
        yield run


def kept(run, image):
    run.log_image(image, "picture")
    return run.artifact("picture.png").load()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4), (1, 1)])
def test_bytes_are_kept_pixel_for_pixel(run, shape):
    pixels = RNG.integers(0, 256, shape, np.uint8)
    assert np.array_equal(kept(run, pixels), pixels)
    assert np.array_equal(kept(run, pixels.astype(np.int64)), pixels)
    assert np.array_equal(kept(run, pixels[::-1, ::-1]), pixels[::-1, ::-1])


def test_floats_from_0_to_1_and_booleans_become_bytes(run):
    assert kept(run, np.array([[0, 0.5, 1]])).tolist() == [[0, 128, 255]]
    assert kept(run, np.array([[True, False]])).tolist() == [[255, 0]]
    assert kept(run, np.zeros((2, 3, 1), np.float32)).shape == (2, 3)
    assert kept(run, [[0, 255]]).tolist() == [[0, 255]]


def test_a_pil_image(run):
    image = Image.fromarray(RNG.integers(0, 256, (4, 5, 3), np.uint8))
    assert np.array_equal(kept(run, image), np.asarray(image))


def test_a_notebook_shows_it(run):
    run.log_image(np.zeros((2, 2), np.uint8), "folder/picture")
    assert run.artifact("folder/picture.png")._repr_png_().startswith(b"\x89PNG")
    run.log_text("x", "text.png")
    assert run.artifact("text.png")._repr_png_() is None


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros(3), InvalidValueError, "shape"),
        (np.zeros((2, 2, 2)), InvalidValueError, "shape"),
        (np.zeros((0, 2)), InvalidValueError, "shape"),
        (np.full((2, 2), 2.0), InvalidValueError, "0 to 1"),
        (np.full((2, 2), -0.1), InvalidValueError, "0 to 1"),
        (np.full((2, 2), np.nan), InvalidValueError, "0 to 1"),
        (np.full((2, 2), 256), InvalidValueError, "uint8"),
        (np.full((2, 2), -1), InvalidValueError, "uint8"),
        (np.full((2, 2), 1j), InvalidValueError, "complex"),
        (None, InvalidTypeError, "NoneType"),
        ("picture.png", InvalidTypeError, "str"),
        (object(), InvalidTypeError, "object"),
        ([[1], [2, 3]], InvalidTypeError, "list"),
    ],
)
def test_what_is_no_image(run, image, error, words):
    with pytest.raises(error, match=words):
        run.log_image(image, "picture")
    assert run.artifacts == {}


def test_a_figure_or_its_axes(run):
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([1, 2, 3])
    run.log_figure(figure, "curve")
    run.log_figure(axes, "curve from axes.png")
    first, second = run.artifacts.values()
    assert (first.name, first.kind) == ("curve from axes.png", "figure")
    assert first.digest == second.digest, "the same figure gives the same bytes"
    assert first._repr_png_().startswith(b"\x89PNG")
    assert first.load().startswith(b"\x89PNG")
    assert axes.figure is figure, "the figure stays as it is"


class PlotlyLike:
    def to_html(self, *, include_plotlyjs):
        return f"<html>{include_plotlyjs}</html>"


def test_a_plotly_figure(run):
    run.log_figure(PlotlyLike(), "curve")
    assert run.artifact("curve.html").load() == b"<html>True</html>"


@pytest.mark.parametrize("figure", [None, "figure", np.zeros((2, 2))], ids=["None", "text", "array"])
def test_what_is_no_figure(run, figure):
    with pytest.raises(InvalidTypeError, match="figure"):
        run.log_figure(figure, "curve")
    assert run.artifacts == {}
