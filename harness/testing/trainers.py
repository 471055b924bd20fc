"""The protocol's clauses for trainers, on a training that is as small as they allow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Catalogue, Split, TrainerSetup
from harness.artifacts import CARD, Artifact, check
from harness.batching import is_async
from harness.errors import HarnessError, UsageError
from harness.llm.api import ChatModel
from harness.testing.calls import snapshot
from harness.testing.clauses import Ledger, Report, Stop, shown, told
from harness.testing.elsewhere import Answer
from harness.testing.recommenders import tried_on, type_name
from harness.testing.stub import StubModel
from harness.testing.surroundings import Surroundings
from harness.testing.trainerclauses import CLAUSES
from harness.testing.trainings import Pause, contents, damaged, found_in, is_pickle, setup_for
from harness.testing.world import World, small_world

_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".ckpt", ".bin")


def check_trainer(
    make: Callable[[], Any],
    *,
    name: str = "",
    options: Mapping[str, str] | None = None,
    world: World | None = None,
    llm: ChatModel | None = None,
    elsewhere: Callable[[], Answer] | None = None,
) -> Report:
    """Try a trainer against every clause that it can break. It trains three times, one of them interrupted.

    `options` ("stage.key" to text) should make the training short. `llm` is handed out for every model that it names, a stub if
    none is given; `elsewhere` gives `artefacts` of another process.
    """
    world, model = world or small_world(), llm or StubModel()
    ledger, around = Ledger(CLAUSES), Surroundings()
    with suppress(Stop):
        _Examination(ledger, make, world, model, dict(options or {})).run(elsewhere)
    ledger.tried("leaves-process")
    for what in around.changed():
        ledger.breach("leaves-process", what)
    ledger.tried("lets-go")
    for what in around.left_behind():
        ledger.breach("lets-go", f"{what} is still running")
    return Report("trainer", name or type_name(make), tuple(ledger.findings()), tried_on(world, model))


class _Examination:
    """One trainer, and what was found."""

    def __init__(
        self, ledger: Ledger, make: Callable[[], Any], world: World, model: ChatModel, options: Mapping[str, str]
    ) -> None:
        self.ledger, self._make, self.world, self.model, self.options = ledger, make, world, model, options
        self.asked = self.setup()
        """Made before anybody could change the world."""

    def run(self, elsewhere: Callable[[], Answer] | None) -> None:
        """Try everything; raises Stop when nothing more can be tried."""
        self.declares()
        self.plans()
        with tempfile.TemporaryDirectory(prefix="harness-check-") as place:
            out = Path(place, "made")
            self.trains(out)
            found = self.artefacts(out)
            self.goes_on(out, found)
            self.again(Path(place, "again"), found)
            self.interrupted(Path(place, "interrupted"), found)
        self.elsewhere(found, elsewhere)

    def setup(self, **more: Any) -> TrainerSetup:
        """The same each time."""
        return msgspec.structs.replace(setup_for(self.world, self.model, self.options), **more)

    def make(self) -> Any:
        """A new instance. Raises Stop."""
        self.ledger.tried("made")
        try:
            return self._make()
        except (Exception, SystemExit) as error:
            raise self.ledger.stop("made", told(error)) from error

    def train(self, out: Path, **more: Any) -> None:
        """Raises what the trainer raises."""
        out.mkdir(exist_ok=True)
        self.make().train(self.setup(**more), out)

    # ------------------------------------------------------------------------------------------------------------ one by one

    def declares(self) -> None:
        """Has it what it needs? Raises Stop without."""
        ledger, trainer = self.ledger, self.make()
        ledger.tried("declares")
        for method in ("train", "plan"):
            found = getattr(trainer, method, None)
            if not callable(found) and (method == "train" or found is not None):
                raise ledger.stop("declares", f"it has no {method}()")
            if is_async(found):
                raise ledger.stop("declares", f"{method}() is async")

    def plans(self) -> None:
        """Before any data are there."""
        ledger, trainer = self.ledger, self.make()
        if not hasattr(trainer, "plan"):
            ledger.skip("plans", "it has no plan()")
            ledger.skip("refuses", "it has no plan() that could")
            return
        nothing = Split("", (), (), Catalogue(()))
        asked = self.setup(train=nothing, validation=nothing, dataset_hash="")
        ledger.tried("plans")
        try:
            plans = [trainer.plan(asked), self.make().plan(asked)]
            stages = msgspec.convert(msgspec.json.decode(msgspec.json.encode(plans[0])), dict[str, dict[str, Any]])
        except (Exception, SystemExit) as error:
            raise ledger.stop("plans", told(error)) from error
        if snapshot(plans[0]) != snapshot(plans[1]):
            ledger.breach("plans", f"it plans {shown(plans[0])}, then {shown(plans[1])}")
        if not stages:
            ledger.breach("plans", "it plans no stage")
        ledger.tried("refuses")
        wrong = (("option", {"options": {**self.options, "nonsense.option": "1"}}), ("stage", {"stage": "nonsense"}))
        for what, given in (*wrong, ("preset", {"preset": "nonsense"})):
            try:
                trainer.plan(msgspec.structs.replace(asked, **given))
            except UsageError:
                continue
            except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
                ledger.breach("refuses", f"an unknown {what} raises {told(error)}")
            else:
                # One that has no stages or presets of its own may not care.
                ledger.breach("refuses", f"it plans for an unknown {what}", mild=what != "option")

    def trains(self, out: Path) -> None:
        """The first training. Raises Stop when it fails."""
        ledger, setup = self.ledger, self.setup()
        handed = [setup.train.scenarios, setup.validation.scenarios, setup.train.training, tuple(setup.train.catalogue)]
        before = snapshot(handed)
        ledger.tried("trains")
        out.mkdir()
        try:
            self.make().train(setup, out)
        except (Exception, SystemExit) as error:
            raise ledger.stop("trains", told(error)) from error
        ledger.tried("leaves-input")
        if snapshot(handed) != before:
            ledger.breach("leaves-input", "the splits are no longer what they were")
        ledger.tried("in-folder")
        for path in sorted(out.parent.iterdir()):
            if path != out:
                ledger.breach("in-folder", f"it made {path.name} beside its folder")

    def artefacts(self, out: Path) -> dict[str, str]:
        """What it left: place -> hash of the content. Raises Stop when there is nothing."""
        ledger = self.ledger
        for clause in ("artefact", "card", "no-pickle"):
            ledger.tried(clause)
        for path in sorted(path for path in out.rglob("*") if path.is_file()):
            if path.suffix in _PICKLES or is_pickle(path):
                ledger.breach("no-pickle", str(path.relative_to(out)))
        cards = found_in(out)
        if not cards:
            raise ledger.stop("artefact", f"there is no {CARD} below its folder")
        for place, artefact in cards.items():
            if isinstance(artefact, HarnessError):
                ledger.breach("artefact", str(artefact))
                continue
            try:
                check(artefact)
            except HarnessError as error:
                ledger.breach("artefact", str(error))
            self.card(place, artefact)
        return contents(out)

    def card(self, place: str, artefact: Artifact) -> None:
        """Does it say where the artefact comes from? A bundle's parts speak for it."""
        card, setup = artefact.card, self.asked
        if card.parts:
            return
        missing = [field for field in ("kind", "name", "versions", "seeds") if not getattr(card, field)]
        missing += [] if setup.dataset in card.trained_on else ["trained_on"]
        missing += [] if card.data is not None and card.data.hash == setup.dataset_hash else ["data.hash"]
        if missing:
            self.ledger.breach("card", f"{place}: {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing or wrong")

    def goes_on(self, out: Path, found: Mapping[str, str]) -> None:
        """The same training once more, in the same folder."""
        ledger = self.ledger
        ledger.tried("goes-on")
        try:
            self.train(out)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("goes-on", f"asked again in the same folder: {told(error)}")
            return
        if contents(out) != found:
            ledger.breach("goes-on", "asked again in the same folder, it left other artefacts")

    def again(self, out: Path, found: Mapping[str, str]) -> None:
        """The same training elsewhere."""
        ledger = self.ledger
        ledger.tried("same-again")
        try:
            self.train(out)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("same-again", f"the second training raised {told(error)}")
            return
        other = contents(out)
        for place in sorted({*found, *other}):
            if found.get(place) != other.get(place):
                ledger.breach("same-again", f"{place}: its content is another")

    def interrupted(self, out: Path, found: Mapping[str, str]) -> None:
        """Ctrl-C, then the same command."""
        ledger, pause = self.ledger, Pause()
        with suppress(KeyboardInterrupt, Exception):
            self.train(out, progress=pause)
        if not pause.used:
            ledger.skip("interrupted", "it tells no progress, by which it could be interrupted")
            return
        ledger.tried("interrupted")
        for place, artefact in found_in(out).items():
            if isinstance(artefact, HarnessError) or damaged(artefact):
                ledger.breach("interrupted", f"{place}: half an artefact is left")
        try:
            self.train(out)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("interrupted", f"asked again, it raised {told(error)}")
            return
        if set(contents(out)) != set(found) or (not ledger.broken("same-again") and contents(out) != found):
            ledger.breach("interrupted", "asked again, it left other artefacts than an undisturbed training")

    def elsewhere(self, found: Mapping[str, str], elsewhere: Callable[[], Answer] | None) -> None:
        """Another process."""
        ledger = self.ledger
        if elsewhere is None:
            ledger.skip("same-elsewhere", "only tried for installed components")
            return
        ledger.tried("same-elsewhere")
        try:
            answer = elsewhere()
        except RuntimeError as error:
            ledger.breach("same-elsewhere", str(error))
            return
        if answer.error:
            ledger.breach("same-elsewhere", f"in another process it failed: {answer.error}")
        elif answer.digests != sorted(f"{place} {digest}" for place, digest in found.items()):
            ledger.breach("same-elsewhere", "another process made other artefacts")
