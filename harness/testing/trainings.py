"""Small trainings: what a trainer is handed, what interrupts it, and what it left."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.api import Catalogue, Need, Scenario, Split, TrainerSetup, TrainingDialogue
from harness.artifacts import CARD, Artifact, check, read
from harness.config import Choice
from harness.errors import HarnessError, UsageError
from harness.llm.api import ChatModel
from harness.registry import Registry
from harness.scenarios import data_hash
from harness.testing.world import World
from harness.training import Resources, TrainConfig

_DATASET = "small-world"


def artefacts(make: Callable[[], Any], world: World, model: ChatModel, options: Mapping[str, str]) -> list[str]:
    """One line per artefact of a training: where it lies and the hash of its content."""
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder:
        out = Path(folder, "made")
        out.mkdir()
        make().train(setup_for(world, model, options), out)
        return sorted(f"{place} {digest}" for place, digest in contents(out).items())


def setup_for(world: World, model: ChatModel, options: Mapping[str, str]) -> TrainerSetup:
    """What train is handed."""
    learned, chosen = splits(world)
    return TrainerSetup(
        train=learned,
        validation=chosen,
        seed=0,
        options=dict(options),
        dataset=_DATASET,
        dataset_hash=data_hash(learned, [*learned.scenarios, *chosen.scenarios]),
        resources=_Resources(world, model),
    )


def splits(world: World) -> tuple[Split, Split]:
    """To learn from: one scenario per training dialogue, cut where something is recommended. To choose on: the world's own."""
    rows = [row for dialogue in world.training for row in _cut(dialogue, world.catalogue)]
    parts: list[tuple[str, list[Scenario]]] = [("train", rows), ("validation", list(world.scenarios))]
    learned, chosen = (Split(name, rows, tuple(world.training), world.catalogue) for name, rows in parts)
    return learned, chosen


def _cut(dialogue: TrainingDialogue, catalogue: Catalogue) -> Iterator[Scenario]:
    """The first recommendation of something that was not named before."""
    said: set[str] = set()
    for place, message in enumerate(dialogue.messages):
        targets = tuple(i for i in message.items if i not in said)
        if message.role == "recommender" and targets:
            item = catalogue.get(targets[0])
            likes = {} if item is None else dict(item.attributes)
            disliked = tuple(i for i in dialogue.disliked if i not in targets)
            need = Need(targets, liked_items=dialogue.liked, disliked_items=disliked, liked_attributes=likes)
            yield Scenario(f"{dialogue.id}:{place}", dialogue.id, dialogue.messages[:place], need)
            return
        said.update(message.items)


class _Resources(Resources):
    """Other components of this environment, on the small world's data and with one model for all."""

    def __init__(self, world: World, model: ChatModel) -> None:
        self.registry = Registry()
        self._config = TrainConfig(trainer="checked", dataset=Choice(_DATASET))
        self._world, self._model = world, model

    def model(self, spec: str, given: Mapping[str, Any] | None = None) -> Any:
        return self._model

    def split(self, name: str, given: Mapping[str, Any] | None = None) -> Split:
        if name not in ("train", "validation"):
            raise UsageError(f"a training may not see the split {name!r}")
        return splits(self._world)[name == "validation"]


class Pause:
    """A progress that interrupts the training at its first word or step, as Ctrl-C would."""

    def __init__(self) -> None:
        self.used = False

    def say(self, text: str) -> None:
        self.step(text, 0, 0, {})

    def step(self, what: str, done: int, total: int, values: Mapping[str, float]) -> None:
        if not self.used:
            self.used = True
            raise KeyboardInterrupt


def found_in(out: Path) -> dict[str, Artifact | HarnessError]:
    """Folder, relative -> the artefact in it, or why it is none. Folders whose names start with a dot are work in progress."""
    found: dict[str, Artifact | HarnessError] = {}
    for path in sorted(out.rglob(CARD)):
        place = path.parent.relative_to(out)
        if not any(part.startswith(".") for part in place.parts):
            try:
                found[str(place)] = read(path.parent)
            except HarnessError as error:
                found[str(place)] = error
    return found


def contents(out: Path) -> dict[str, str]:
    """Folder, relative -> hash of what lies in it, without the times in its card."""
    found = {}
    for place, artefact in found_in(out).items():
        if isinstance(artefact, Artifact) and not artefact.card.parts:
            found[place] = str(artefact.revision()["files"])
    return found


def damaged(artefact: Artifact) -> bool:
    """Are its files not what its card lists?"""
    try:
        check(artefact)
    except HarnessError:
        return True
    return False


def is_pickle(path: Path) -> bool:
    """By how pickles of any protocol since 2 begin."""
    with path.open("rb") as file:
        start = file.read(2)
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5
