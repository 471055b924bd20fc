"""Settings of all tests."""

import functools
import gc
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from harness.api import Split
from harness.scenarios import data_hash
from harness_plugins.datasets.cinema import Cinema

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


@pytest.fixture(scope="session", autouse=True)
def cinema_is_read_once() -> Iterator[None]:
    """A hundred runs in this process play on the packaged files of `cinema`, which are data that nobody may change: each split
    is read once, and at the end it must be what it was. `Cinema.load.__wrapped__` reads for a test that wants it read anew."""
    load = Cinema.load
    kept: dict[tuple[str, str], tuple[Split, str]] = {}

    @functools.wraps(load)
    def once(cinema: Cinema, split: str) -> Split:
        options = cinema.options
        if options.path is not None or options.fresh is not None:
            return load(cinema, split)
        name = (options.difficulty, split)
        if name not in kept:
            read = load(cinema, split)
            kept[name] = read, data_hash(read, read.scenarios)
        read = kept[name][0]
        return Split(read.name, list(read.scenarios), list(read.training), read.catalogue, read.notes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cinema, "load", once)
        yield
    for name, (read, digest) in kept.items():
        assert data_hash(read, read.scenarios) == digest, f"a test changed {name}, which all tests share"
