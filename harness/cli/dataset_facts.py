"""What `harness data info` counts in a data set's split."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import msgspec

from harness.api import Catalogue, Scenario, Split
from harness.scenarios import data_hash, novel


class Spread(msgspec.Struct, frozen=True):
    """Mean, least and most of a count; zeros when there was nothing to count."""

    mean: float
    least: int
    most: int


class Facet(msgspec.Struct, frozen=True):
    """An attribute of the catalogue: items that have it, their share of all items, and its different values."""

    facet: str
    items: int
    share: float
    values: int


class SplitFacts(msgspec.Struct, frozen=True, rename={"all_rows": "all"}):
    """Counts of one split. `all_rows` and `novel` are scenarios before and after targets that the context names are removed."""

    split: str
    all_rows: int
    novel: int
    sources: int
    """Human dialogues that the scenarios were cut from."""
    targets: Spread
    """Targets per scenario (all rows)."""
    context_messages: Spread
    """Messages of a scenario's context."""
    repeated: int
    """Rows with a target that the context names already."""
    repeated_share: float
    training_dialogues: int
    training_messages: Spread
    """Messages per training dialogue."""
    training_labelled: int
    """Training dialogues that say what the seeker liked, disliked or had seen."""
    items: int
    hash_all: str
    hash_novel: str
    notes: tuple[str, ...]


def split_facts(split: Split) -> SplitFacts:
    """Count a split. Reads every row once or twice; nothing is kept."""
    kept = novel(split.scenarios)
    repeated = sum(map(_names_a_target, split.scenarios))
    return SplitFacts(
        split=split.name,
        all_rows=len(split.scenarios),
        novel=len(kept),
        sources=len({scenario.source for scenario in split.scenarios}),
        targets=spread([len(scenario.need.targets) for scenario in split.scenarios]),
        context_messages=spread([len(scenario.context) for scenario in split.scenarios]),
        repeated=repeated,
        repeated_share=repeated / len(split.scenarios) if split.scenarios else 0.0,
        training_dialogues=len(split.training),
        training_messages=spread([len(dialogue.messages) for dialogue in split.training]),
        training_labelled=sum(bool(d.liked or d.disliked or d.seen) for d in split.training),
        items=len(split.catalogue),
        hash_all=data_hash(split, split.scenarios),
        hash_novel=data_hash(split, kept),
        notes=split.notes,
    )


def _names_a_target(scenario: Scenario) -> bool:
    mentioned = {i for message in scenario.context for i in (*message.items, *message.ranked)}
    return not mentioned.isdisjoint(scenario.need.targets)


def spread(counts: Sequence[int]) -> Spread:
    """Mean, least and most."""
    return Spread(fmean(counts), min(counts), max(counts)) if counts else Spread(0.0, 0, 0)


def facets(catalogue: Catalogue) -> list[Facet]:
    """How much of the catalogue has which attribute, in the order of first appearance; year and text count as facets too."""
    items: dict[str, int] = {}
    values: dict[str, set[str]] = {}
    for item in catalogue:
        own = {**item.attributes}
        if item.year is not None:
            own["(year)"] = (str(item.year),)
        if item.text:
            own["(text)"] = (item.text,)
        for facet, named in own.items():
            items[facet] = items.get(facet, 0) + bool(named)
            values.setdefault(facet, set()).update(named)
    return [Facet(facet, count, count / len(catalogue), len(values[facet])) for facet, count in items.items()]
