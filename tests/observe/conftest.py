"""A model that is registered and in production, and a monitor of it."""

from __future__ import annotations

import pytest
from observe_tools import register


@pytest.fixture
def run(store):
    """Of churn:1, which is in production."""
    found = register(store)
    store.models["churn"].promote(1, "production")
    return found


@pytest.fixture
def monitor(store, run):
    return store.monitor("churn@production")
