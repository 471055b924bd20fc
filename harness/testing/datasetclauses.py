"""The clauses for data sets."""

from __future__ import annotations

from harness.testing.clauses import Clause

SPLITS = ("train", "validation", "test")
CLAUSES = (
    Clause("made", "can be made from its options", "The class is called with one argument, its options (None without any)"),
    Clause(
        "card",
        "has a complete card: title, licence, citation, home page, how to get it",
        "`card` is a harness.DatasetCard with every text filled in; its name is the component's",
    ),
    Clause(
        "loads",
        "loads every split: train, validation and test",
        "load(split) returns a harness.Split; where data is missing it raises harness.DataError that says how to get it",
    ),
    Clause(
        "refuses",
        "refuses a split that doesn't exist",
        "Raise harness.DataError for anything but train, validation and test",
        must=False,
    ),
    Clause("well-formed", "its parts have the types of harness.api", "Ids and texts are str, roles seeker or recommender"),
    Clause("catalogue", "items have a title, and attributes without empty lists", "Leave out facets whose values aren't known"),
    Clause("scenario-ids", "every scenario has an id of its own", "Make ids from source and turn: f'{dialogue}:{turn}'"),
    Clause(
        "targets",
        "every scenario has targets, all of them in the catalogue",
        "Drop rows without a target, and say in Split.notes how many",
    ),
    Clause("linked-items", "messages name items of the catalogue only", "Leave out ids that the catalogue doesn't have"),
    Clause(
        "labels",
        "liked, disliked and seen items are in the catalogue, and liked and disliked attributes have values",
        "Leave out ids that the catalogue doesn't have, and facets without a value",
    ),
    Clause(
        "need",
        "nothing in a need is both wanted and disliked",
        "A target must be acceptable: take it, and what is liked, out of the dislikes",
        must=False,
    ),
    Clause(
        "one-catalogue",
        "every split has the same catalogue and training dialogues",
        "load(split) chooses the scenarios alone: what is learned on one split is used on another",
    ),
    Clause(
        "no-overlap",
        "no dialogue is in two splits, nor in training and a test",
        "Split by human dialogue (`source`), and leave test dialogues out of `training`",
    ),
    Clause(
        "playable", "something is left to play in each split's variant `novel`", "See docs/protocol.md: variants", must=False
    ),
    Clause("ceilings", "its ceilings are finite numbers for exactly the given rows", "See docs/plugins.md: data sets"),
    Clause(
        "annotated",
        "its human scores are well-formed",
        "annotated() returns a harness.HumanLabels: unique ids, finite scores, an aspect per message or per dialogue, not both",
    ),
    Clause(
        "same-again", "loading twice gives equal data", "Load in the order of the files; draw nothing at random without a seed"
    ),
    Clause(
        "no-global-random",
        "draws from no global generator",
        "Make your own with a fixed seed: random.Random(0), numpy.random.default_rng(0)",
    ),
    Clause(
        "same-elsewhere",
        "another process loads equal data",
        "Sort sets before you go through them: their order differs between processes",
    ),
)
