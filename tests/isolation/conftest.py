"""A hostile package, installed so that the harness could load it, and recommenders of it in processes of their own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import install

from harness.assembly import Part
from harness.config import Choice, RunConfig, Transport
from harness.isolation.opening import keep_out, open_isolated
from harness.isolation.recommender import IsolatedRecommender
from harness.isolation.settings import Isolation
from harness.registry import Registry

Opened = Callable[..., tuple[Part, IsolatedRecommender]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = install(tmp_path_factory.mktemp("site"))
        patch.syspath_prepend(folder)
        patch.setenv("HARNESS_PLUGINS", "crs-harness")
        patch.setenv("HUSH_API_KEY", "hush-hush-hush")
        importlib.invalidate_caches()
        yield folder
        assert "hostile_crs" not in sys.modules
        assert not list(folder.rglob("imported-by-*")), "the package was imported where it could write"


@pytest.fixture(scope="module")
def opened(site: Path) -> Opened:
    """Open one of its recommenders: `opened("prober", places="...")`."""

    def make(name: str, *, timeout: float = 20.0, memory: int = 1 << 30, **settings: Any) -> tuple[Part, IsolatedRecommender]:
        isolation = Isolation(memory=memory, **{n: settings.pop(n) for n in Isolation.__struct_fields__ if n in settings})
        config = RunConfig(
            recommender=Choice(name, settings),
            simulator=Choice("rule"),
            dataset=Choice("cinema"),
            transport=Transport(timeout=timeout),
            isolation=isolation,
        )
        keep_out([config])
        return open_isolated(Registry(), config)

    return make
