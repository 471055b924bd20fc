"""Settings of all tests."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

# A busy machine is no failure: hypothesis shall not time its examples.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: nothing there for the garbage collector."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """The garbage collector walks only what this module's tests make. A million objects of torch and its like are in this
    process, and every examination of a component collects twice, which would take seconds each time."""
    gc.collect()
    gc.freeze()
