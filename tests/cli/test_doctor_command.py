"""`harness doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from installing import install


def advice(out: str) -> str:
    return out.rstrip().splitlines()[-1]


@pytest.fixture
def sound(club: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No club: nothing of what is installed has a fault."""
    monkeypatch.setenv("HARNESS_DISABLE_PLUGINS", "film-club")


@pytest.mark.usefixtures("sound")
def test_a_sound_installation_ends_with_what_to_do_next(harness: Callable, tmp_path: Path) -> None:
    ran = harness("doctor")
    assert ran.code == 0, ran.out
    assert advice(ran.out) == "Nothing is broken. To start: harness run"
    assert f"  msgspec {version('msgspec')}" in ran.out.splitlines()
    assert f"cache {tmp_path / 'cache' / 'harness'}: not there yet, writable" in ran.out
    assert "CPU cores" in ran.out


@pytest.mark.usefixtures("troubles")
def test_broken_plugins_come_with_their_tracebacks_and_a_way_out(harness: Callable) -> None:
    ran = harness("doctor")
    assert ran.code == 2
    assert "import no_such_module_anywhere" in ran.out, "the traceback shows the line"
    assert "HARNESS_DISABLE_PLUGINS=broken-plugin" in advice(ran.out)
    assert "HARNESS_DISABLE_PLUGINS=typo-plugin" in advice(ran.out)
    assert "update film-club" in advice(ran.out), "a component made for another API"
    assert "rival" not in advice(ran.out), "a shared name breaks nothing: it can be said in full"
    assert "recommender rival:shelf: offered by several plugins" in ran.out


@pytest.mark.usefixtures("club")
def test_imports_are_tried_on_demand_only(harness: Callable) -> None:
    assert "film_club.nowhere" not in harness("doctor").out
    tried = harness("doctor", "--imports")
    assert tried.code == 2
    assert "can't be imported (film_club.nowhere:Ghost)" in tried.out


@pytest.mark.usefixtures("sound")
def test_data_folders_are_listed_with_their_sizes(harness: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "redial" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "redial" / "deep" / "a.jsonl").write_bytes(b"x" * 1500)
    (tmp_path / "cache" / "harness" / "data" / "inspired").mkdir(parents=True)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    ran = harness("doctor")
    assert ran.code == 0
    assert "HARNESS_DATA/redial: 1 file, 1.5 kB" in ran.out
    assert "cache/inspired: 0 files" in ran.out


@pytest.mark.usefixtures("sound")
def test_a_data_folder_that_is_none_is_broken(harness: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "typo"))
    ran = harness("doctor")
    assert ran.code == 2
    assert "set HARNESS_DATA to a folder" in advice(ran.out)


@pytest.mark.usefixtures("sound")
def test_a_cache_that_cannot_be_written_is_broken(harness: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    ran = harness("doctor")
    assert ran.code == 2
    assert "XDG_CACHE_HOME" in advice(ran.out)


def test_missing_and_old_packages_are_named(
    harness: Callable, club: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    needs = (
        "no-such-package>=3",
        "click>=999",
        "msgspec>=0.1",
        "unneeded-here>=1; python_version < '3'",
        "no-trainer; extra == 'train'",
    )
    install(site, "crs-harness", {}, {}, (*needs, "no-linter; extra == 'dev'"))
    metadata = site / "crs_harness-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Provides-Extra: train\nProvides-Extra: dev\n")
    monkeypatch.syspath_prepend(str(site))
    ran = harness("doctor")
    assert ran.code == 2
    assert "! no-such-package is missing" in ran.out
    assert f"! click {version('click')} is installed, >=999 is needed" in ran.out
    assert "needed for the extra 'train': no-trainer" in ran.out
    assert "unneeded-here" not in ran.out
    assert "no-linter" not in ran.out
    assert "pip install 'no-such-package>=3'" in advice(ran.out)
    assert "train" not in advice(ran.out)


@pytest.mark.usefixtures("troubles")
def test_json(harness: Callable) -> None:
    ran = harness("doctor", "--json")
    assert ran.code == 2
    broken = [finding for finding in json.loads(ran.out) if finding["state"] == "broken"]
    assert {finding["topic"] for finding in broken} == {"plugins", "components"}
    assert all(finding["fix"] for finding in broken)
