"""The information barrier: nothing that a recommender can reach holds the hidden side of a scenario before the seeker says it.

Canaries (texts that stand nowhere else) are planted in everything hidden. A walk over all references from what a component is
handed, at every call, looks for them and for any object of the hidden side.
"""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import Async, Batched, Plain, Seeker, assembly, play

from harness.api import (
    Catalogue,
    Conversation,
    DialogueRecord,
    Feedback,
    Item,
    Knowledge,
    Message,
    Need,
    Recommendation,
    Scenario,
    Split,
    Statement,
    TrainingDialogue,
)
from harness.assembly import prepare

CANARY = "canary"
HIDDEN = (Scenario, Need, DialogueRecord, Knowledge, Split)


def reachable(*roots: Any) -> Iterator[Any]:
    """Everything that can be reached from the roots by following references: containers, attributes, bound methods, closures,
    generators. The module-level world (modules, classes, functions' globals) is everybody's and isn't entered."""
    seen: dict[int, Any] = {}
    stack = list(roots)
    while stack:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, (types.ModuleType, type)):
            continue
        seen[id(thing)] = thing
        yield thing
        if isinstance(thing, types.FunctionType):
            cells = [cell.cell_contents for cell in thing.__closure__ or () if cell != types.CellType()]
            stack += [*cells, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
        else:
            stack += gc.get_referents(thing)


def canaries(*roots: Any, allowed: Sequence[Any] = ()) -> list[str]:
    """Texts that hold a canary, and objects of the hidden side, except for the rows of the public catalogue."""
    public = {id(thing) for thing in reachable(*allowed)}
    found = []
    for thing in reachable(*roots):
        if id(thing) in public:
            continue
        if isinstance(thing, HIDDEN):
            found.append(type(thing).__name__)
        elif isinstance(thing, (str, bytes)) and CANARY.encode() in (thing.encode() if isinstance(thing, str) else thing):
            found.append(repr(thing))
    return found


def planted(count: int = 3) -> Split:
    """Everything hidden carries a canary; the targets are items of the public catalogue like any other."""
    items = [Item(f"m{i}", f"Quibble {i}", 1950 + i) for i in range(30)]
    targets = [Item(f"t{i}-{CANARY}", f"Copper {CANARY} {i}", 2000) for i in range(count)]
    rows = [
        Scenario(
            f"scenario-{CANARY}-{i}",
            f"source-{CANARY}-{i}",
            (Message("seeker", f"hello {i}", items=("m1",)),),
            Need(
                (targets[i].id,),
                liked_items=(targets[i].id, "m2"),
                disliked_items=("m3",),
                seen_items=("m4",),
                liked_attributes={"genre": (f"liked-{CANARY}",)},
                disliked_attributes={"star": (f"disliked-{CANARY}",)},
            ),
            {"note": f"private-{CANARY}"},
        )
        for i in range(count)
    ]
    training = TrainingTable(rows, [TrainingDialogue("d", (Message("seeker", "hi"),), liked=("m1",))])
    return Split("test", rows, training, Catalogue([*items, *targets]), (f"note-{CANARY}",))


class TrainingTable(Sequence[TrainingDialogue]):
    """A data set's own lazy table, which knows the whole data set."""

    def __init__(self, everything: list[Scenario], rows: list[TrainingDialogue]) -> None:
        self.everything, self.rows = everything, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]


class Spy:
    """Plays along and looks around at every call."""

    def __init__(self, catalogue: Catalogue, allowed: Sequence[Any] = ()) -> None:
        self.allowed = [catalogue, *allowed]
        self.found: list[str] = []
        self.calls = 0
        self.turns: list[list[str]] = []

    def look(self, *given: Any) -> None:
        self.calls += 1
        self.turns.append(canaries(*given, allowed=self.allowed))
        self.found += self.turns[-1]


class SpyingRecommender(Spy):
    def prepare(self, setup: Any) -> None:
        self.look(setup)

    def __call__(self, conversation: Conversation, k: int) -> Recommendation:
        self.look(conversation, k)
        return Recommendation(("m5", "m6"), "These?", state={"turn": conversation.turn})


class SpyingSimulator(Spy):
    def prepare(self, setup: Any) -> None:
        self.look(setup)

    def __call__(self, conversation: Conversation, knowledge: Any) -> Feedback:
        self.look(conversation, *() if isinstance(knowledge, Knowledge) else (knowledge,))
        self.look(*[getattr(knowledge, name) for name in knowledge.__struct_fields__])
        return Feedback("No.")


def knowing(conversation: Conversation, knowledge: Knowledge) -> Feedback:
    """A simulator that says all it knows in places where the recommender must not look."""
    return Feedback(
        "Not that.",
        statements=tuple(Statement("genre", value) for values in knowledge.liked_attributes.values() for value in values),
        state={"secret": knowledge.targets, "need": knowledge},
    )


def test_the_walk_finds_what_is_planted() -> None:
    """The test of the test: each way in which something could be handed over is followed."""
    scenario = planted().scenarios[0]

    class Holder:
        __slots__ = ("inside",)

        def __init__(self) -> None:
            self.inside = [{"deep": (scenario,)}]

        def method(self) -> None: ...

    def closure() -> Any:
        return scenario

    def default(value: Any = scenario) -> Any:
        return value

    ways = [scenario, Holder(), Holder().method, closure, default, lambda: closure, (c for c in [scenario]), iter([scenario])]
    for way in ways:
        assert "Scenario" in canaries(way), way
        assert f"'private-{CANARY}'" in canaries(way), way
    assert canaries(planted().training)
    assert canaries(Conversation((Message("seeker", f"the {CANARY}"),)))
    assert canaries(Conversation((Message("seeker", "hello"),), state={"k": [1, 2]})) == []
    catalogue = planted().catalogue
    assert canaries(catalogue)
    assert canaries(catalogue, allowed=[catalogue]) == []


@pytest.mark.parametrize("form", [Plain, Async, Batched])
@pytest.mark.parametrize("level", ["label_free", "profile", "target_aware"])
def test_a_recommender_can_reach_nothing_of_the_hidden_side(tmp_path: Path, form: Any, level: str) -> None:
    split = planted()
    spy = SpyingRecommender(split.catalogue)
    recommender = form(spy)
    recommender.prepare = spy.prepare
    made = assembly(recommender, Seeker(knowing, level), split=split, turns=4)
    prepare(made)
    play(tmp_path, made)
    assert spy.found == []
    assert spy.calls == 1 + 3 * 4


def test_what_the_seeker_says_is_all_that_gets_through(tmp_path: Path) -> None:
    """A leak that is kept is read from the turn after it was said, and not before."""
    split = planted(1)
    spy = SpyingRecommender(split.catalogue)

    def slips(conversation: Conversation, knowledge: Knowledge) -> Feedback:
        return Feedback(f"I want Copper {CANARY} 0!" if conversation.turn == 2 else "No.")

    play(tmp_path / "keep", assembly(Plain(spy), Seeker(slips), split=split, turns=4, leak_policy="keep"))
    said = f"'I want Copper {CANARY} 0!'"
    assert [said in turn for turn in spy.turns] == [False, False, True, True]
    assert [len(turn) > 0 for turn in spy.turns] == [False, False, True, True]
    redacted = SpyingRecommender(split.catalogue)
    play(tmp_path / "redact", assembly(Plain(redacted), Seeker(slips), split=split, turns=4))
    assert redacted.found == []


@pytest.mark.parametrize("form", ["one by one", "in batches"])
def test_a_label_free_simulator_can_reach_nothing_either(tmp_path: Path, form: str) -> None:
    split = planted()
    spy = SpyingSimulator(split.catalogue)
    simulator = Seeker(spy, "label_free")
    if form == "in batches":

        class InBatches:
            knowledge = "label_free"

            def reply_batch(self, conversations: list[Conversation], knowledge: list[Knowledge]) -> list[Feedback]:
                return [spy(c, n) for c, n in zip(conversations, knowledge, strict=True)]

        simulator = InBatches()
    simulator.prepare = spy.prepare
    made = assembly(Plain(lambda c, k: Recommendation(("m5",), "This?")), simulator, split=split, turns=4)
    prepare(made)
    play(tmp_path, made)
    assert spy.found == []
    assert spy.calls == 1 + 2 * 3 * 3


def test_a_profile_simulator_gets_attributes_and_never_the_target(tmp_path: Path) -> None:
    split = planted()
    spy = SpyingSimulator(split.catalogue)
    made = assembly(Plain(lambda c, k: Recommendation(("m5",), "This?")), Seeker(spy, "profile"), split=split, turns=3)
    play(tmp_path, made)
    assert set(spy.found) == {f"'liked-{CANARY}'", f"'disliked-{CANARY}'"}  # taste, and no title, id or note


def test_no_component_can_change_a_scenario(tmp_path: Path) -> None:
    split = planted(1)

    def vandal(conversation: Conversation, knowledge: Knowledge) -> Feedback:
        knowledge.liked_attributes.clear()
        knowledge.disliked_attributes["star"] = ("me",)
        return Feedback("No.")

    _, records = play(tmp_path, assembly(Plain(lambda c, k: Recommendation(("m5",), "?")), Seeker(vandal), split=split))
    assert len(records) == 1
    assert split.scenarios[0] == planted(1).scenarios[0]
