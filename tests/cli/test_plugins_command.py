"""`harness plugins`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest


@pytest.mark.usefixtures("troubles")
def test_each_distribution_with_version_entry_points_and_what_it_offers(harness: Callable) -> None:
    ran = harness("plugins")
    assert ran.code == 0
    parts = {part.split()[0]: part for part in ran.out.split("\n\n")}
    assert next(iter(parts)) == "crs-harness", "ours first"
    club = parts["film-club"]
    assert club.startswith("film-club 1.2")
    assert "entry point club = film_club: ok" in club
    assert "data sets: by-hand, club, remote" in club
    assert "recommenders: antique, drunk, ghost, shelf, spender" in club
    assert "observes: harness_dialogue_finished" in club


@pytest.mark.usefixtures("troubles")
def test_broken_plugins_and_clashes_with_their_reasons(harness: Callable) -> None:
    out = harness("plugins").out
    assert "BROKEN: ModuleNotFoundError: No module named 'no_such_module_anywhere'" in out
    assert "harness_recomenders" in next(line for line in out.splitlines() if "typo = typo_plugin" in line)
    assert "problem: recommender shelf: offered by several plugins: write rival:shelf" in out


@pytest.mark.usefixtures("troubles")
def test_one_that_is_left_out_is_gone_and_the_switch_is_told(harness: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DISABLE_PLUGINS", "Broken_Plugin,typo-plugin,rival")
    out = harness("plugins").out
    assert "BROKEN" not in out
    assert "problem: recommender shelf" not in out
    assert "HARNESS_DISABLE_PLUGINS=Broken_Plugin,typo-plugin,rival is set" in out


@pytest.mark.usefixtures("troubles")
def test_json(harness: Callable) -> None:
    found = {each["distribution"]: each for each in json.loads(harness("plugins", "--json").out)}
    assert found["film-club"]["offers"]["recommender"] == ["antique", "drunk", "ghost", "shelf", "spender"]
    assert found["broken-plugin"]["entry_points"][0]["error"].startswith("ModuleNotFoundError")
    assert found["broken-plugin"]["offers"] == {}
