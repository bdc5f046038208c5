"""Frames of any text: with pyarrow installed, pandas would refuse what is not Unicode before we are asked."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest


@pytest.fixture(autouse=True)
def _any_text():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas means to drop the option one day; then these texts must go
        context = pd.option_context("future.infer_string", False)
        context.__enter__()
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.__exit__(None, None, None)
