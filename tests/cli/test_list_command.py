"""`harness list`, and what the looking verbs must not import."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable

import pytest

HEAVY = ("torch", "transformers", "datasets", "sklearn", "openai", "scipy", "numpy")


def rows(text: str, heading: str) -> list[list[str]]:
    """The lines of the table that starts with a heading, cut into columns."""
    section = next(part for part in text.split("\n\n") if part.startswith(heading))
    return [re.split(r"\s{2,}", line.strip()) for line in section.splitlines()[2:]]


@pytest.mark.usefixtures("club")
def test_a_kind_can_be_said_in_singular_and_plural(harness: Callable) -> None:
    outputs = {harness("list", kind).out for kind in ("dataset", "datasets", "data-sets", "DATASETS")}
    assert len(outputs) == 1
    assert ["club", "film-club", "four films"] in rows(outputs.pop(), "data sets")


@pytest.mark.usefixtures("club")
def test_everything_is_listed_by_kind_with_its_distribution(harness: Callable) -> None:
    ran = harness("list")
    assert ran.code == 0
    assert ["shelf", "film-club", "in the order of the shelf"] in rows(ran.out, "recommenders")
    assert ["club", "film-club", "four films"] in rows(ran.out, "data sets")
    assert any(row[0] == "ndcg" and row[1] == "crs-harness" for row in rows(ran.out, "metrics"))


@pytest.mark.usefixtures("club")
def test_simulators_are_listed_with_what_they_know(harness: Callable) -> None:
    levels = {row[0]: row[1] for row in rows(harness("list", "simulators").out, "simulators")}
    assert (levels["rule"], levels["oracle"], levels["human"]) == ("profile", "target_aware", "label_free")


@pytest.mark.usefixtures("club")
def test_an_unknown_kind_names_the_kinds_there_are(harness: Callable) -> None:
    ran = harness("list", "films")
    assert ran.code == 2
    assert "datasets, recommenders, simulators, metrics, trainers" in ran.err


@pytest.mark.usefixtures("club")
def test_a_component_for_another_api_says_so(harness: Callable) -> None:
    assert "made for plugin API 0" in next(
        line for line in harness("list", "recommenders").out.splitlines() if "antique" in line
    )


@pytest.mark.usefixtures("troubles")
def test_clashing_names_are_listed_as_they_must_be_written(harness: Callable) -> None:
    ran = harness("list", "recommenders")
    names = [row[0] for row in rows(ran.out, "recommenders")]
    assert "film-club:shelf" in names
    assert "rival:shelf" in names
    assert "shelf" not in names


@pytest.mark.usefixtures("troubles")
def test_broken_plugins_are_mentioned_and_harm_nothing(harness: Callable) -> None:
    ran = harness("list", "recommenders")
    assert ran.code == 0
    assert "broken-plugin, typo-plugin" in ran.err


@pytest.mark.usefixtures("troubles")
def test_json_holds_what_a_machine_needs(harness: Callable) -> None:
    found = {entry["full_name"]: entry for entry in json.loads(harness("list", "--json").out)}
    shelf = found["film-club:shelf"]
    assert (shelf["kind"], shelf["name"], shelf["version"], shelf["trained_on"]) == ("recommender", "shelf", "1.2", ["club"])
    assert "film-club:shelf" in shelf["problem"]
    assert found["film-club:drunk"]["problem"] is None
    assert found["crs-harness:rule"]["knowledge"] == "profile"


def test_looking_around_imports_nothing_heavy(process: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    program = f"""
import sys
from harness.cli import VERBS, main
looks = [["--help"], ["list"], ["list", "--json"], ["show", "human"], ["show", "club"], ["plugins"], ["doctor"],
         ["data", "list"], ["data", "validate", "nothing.jsonl"], ["chat", "--help"], ["data", "--help"]]
for arguments in looks:
    try:
        main(arguments)
    except SystemExit as ended:
        print(arguments, ended.code, file=sys.stderr)
    print("LOADED", arguments, [m for m in {HEAVY} if m in sys.modules])
"""
    ran = process("-c", program)
    loaded = [line for line in ran.stdout.splitlines() if line.startswith("LOADED")]
    assert len(loaded) == 11, ran.stderr
    assert [line for line in loaded if not line.endswith("[]")] == []
