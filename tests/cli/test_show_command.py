"""`harness show`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest


@pytest.mark.usefixtures("club")
def test_a_recommender_with_its_docstring_options_and_training_data(harness: Callable) -> None:
    ran = harness("show", "shelf")
    assert ran.code == 0
    for text in ("in the order of the shelf", "film-club 1.2", "none of them twice after a no", "--rec-opt", "in batches"):
        assert text in ran.out
    assert "trained on: club" in " ".join(ran.out.split())
    greeting = next(line.split() for line in ran.out.splitlines() if line.startswith("greeting"))
    assert greeting == ["greeting", "str", '"Hello."', "what", "it", "says", "first"]


@pytest.mark.usefixtures("club")
def test_a_data_set_with_its_card(harness: Callable) -> None:
    shown = harness("show", "club").out
    for text in ("The club", "CC0", "Nobody 2020", "https://club.example", "--dataset-opt"):
        assert text in shown
    assert "harness data get" not in shown
    assert "Write to the club" in harness("show", "by-hand").out
    assert "harness data get remote" in harness("show", "remote").out, "a card that only instances have"


@pytest.mark.usefixtures("club")
def test_a_metric_by_the_name_with_its_cut_off(harness: Callable) -> None:
    plain, cut, full = (harness("show", name) for name in ("ndcg", "ndcg@10", "crs-harness:ndcg@5"))
    assert plain.code == 0
    assert plain.out == cut.out == full.out
    assert "higher is better: yes" in plain.out


@pytest.mark.usefixtures("troubles")
def test_the_full_name_tells_rivals_apart(harness: Callable) -> None:
    assert "another shelf" in harness("show", "rival:shelf").out
    ran = harness("show", "shelf")
    assert ran.code == 2
    assert "film-club:shelf, rival:shelf" in ran.err


@pytest.mark.usefixtures("troubles")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["shelv"], "did you mean shelf"),
        (["qqqqqqqqqqqq"], "harness list"),
        (["qqqqqqqqqqqq"], "broken-plugin could not be loaded"),
        (["shelf", "--kind", "metric"], "there is a recommender of that name"),
        (["shelf", "--kind", "film"], "no kind of component"),
        (["antique"], "plugin API 0"),
        (["elsewhere:drunk"], "unknown component"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(harness: Callable, arguments: list[str], told: str) -> None:
    ran = harness("show", *arguments)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.usefixtures("club")
def test_a_component_that_cannot_be_imported_is_shown_as_far_as_it_goes(harness: Callable) -> None:
    ran = harness("show", "ghost")
    assert ran.code == 2
    assert "film_club.nowhere:Ghost" in ran.out
    assert "its module is not there" in ran.out
    assert "film-club can't be imported" in ran.err


@pytest.mark.usefixtures("club")
def test_json(harness: Callable) -> None:
    shown = json.loads(harness("show", "shelf", "--json").out)
    assert shown["options"][0] == {
        "name": "greeting",
        "type": "str",
        "default": '"Hello."',
        "description": "what it says first",
    }
    assert shown["card"] is None
    assert json.loads(harness("show", "club", "--json").out)["card"]["licence"] == "CC0"
