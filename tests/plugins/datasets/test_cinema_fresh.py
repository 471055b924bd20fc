"""Fresh worlds: same values, other films, nothing shared with the bundled dialogues."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.errors import DataError
from harness_plugins.datasets.cinema.dataset import Cinema, Options
from harness_plugins.datasets.cinema.films import load_films
from harness_plugins.datasets.cinema.fresh import fresh_catalogue


def values(catalogue: object, facet: str) -> Counter[str]:
    return Counter(value for item in catalogue for value in item.attributes[facet])  # type: ignore[attr-defined]


def test_dealing_keeps_how_often_a_value_occurs_and_changes_what_goes_together() -> None:
    films, fresh = load_films(), fresh_catalogue(3)
    assert fresh.ids == films.ids
    for facet in ("genre", "director", "country", "decade"):
        assert values(fresh, facet) == values(films, facet)
    lost = values(films, "star") - values(fresh, "star")
    assert sum(lost.values()) <= 5  # a star whom one film would have had twice
    same = sum(a.attributes == b.attributes for a, b in zip(films, fresh, strict=True))
    assert same == 0
    assert all(item.attributes["decade"] == (f"{item.year // 10 * 10}s",) for item in fresh if item.year is not None)


def test_a_fresh_world_is_reproducible_and_has_all_splits() -> None:
    first, again = (Cinema(Options(fresh=5, users=8)).load("test") for _ in range(2))
    assert [s.context for s in first.scenarios] == [s.context for s in again.scenarios]
    assert len({s.source for s in first.scenarios}) == 2  # a quarter of the training users, one dialogue each
    assert {d.id.split("-")[0] for d in first.training} == {"train"}
    other = Cinema(Options(fresh=6, users=8)).load("test")
    assert [s.context for s in other.scenarios] != [s.context for s in first.scenarios]
    assert Cinema(Options(fresh=5, users=8)).ceilings(first)


def test_files_and_fresh_exclude_each_other() -> None:
    with pytest.raises(DataError, match="path and fresh"):
        Cinema(Options(fresh=5, path="made")).load("test")
