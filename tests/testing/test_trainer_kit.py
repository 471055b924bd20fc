"""The kit finds what is wrong with a trainer, and nothing where nothing is wrong. Each trainer here has one fault."""

from __future__ import annotations

import itertools
import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import TrainerSetup
from harness.artifactfiles import create, versions
from harness.artifacts import CARD, Card, Data
from harness.errors import UsageError
from harness.testing import Report, check_trainer


class Sound:
    """Counts mentions in two steps, and tells of each."""

    def __init__(self, options: None = None) -> None: ...

    def plan(self, setup: TrainerSetup) -> dict[str, Any]:
        if setup.stage not in ("", "count") or setup.preset != "tiny":
            raise UsageError(f"there is no stage {setup.stage!r} or preset {setup.preset!r}")
        if set(setup.options) - {"count.start"}:
            raise UsageError(f"unknown option among {', '.join(setup.options)}")
        return {"count": {"start": int(setup.options.get("count.start", 0))}}

    def counts(self, setup: TrainerSetup) -> Any:
        counts = dict.fromkeys(setup.train.catalogue.ids, self.plan(setup)["count"]["start"])
        for dialogue in setup.train.training:
            for message in dialogue.messages:
                for item in message.items:
                    counts[item] += 1
        return counts

    def card(self, setup: TrainerSetup) -> Card:
        data = Data(name=setup.dataset, hash=setup.dataset_hash)
        return Card(
            kind="counts", name="counts", trained_on=(setup.dataset,), data=data, seeds=(setup.seed,), versions=versions()
        )

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        if setup.resume and (output_dir / "count" / CARD).is_file():
            return
        with create(output_dir / "count", self.card(setup)) as folder:
            for step, name in enumerate(("counts.json", "again.json"), start=1):
                (folder / name).write_bytes(msgspec.json.encode(self.counts(setup)))
                if setup.progress is not None:
                    setup.progress.step("count", step, 2, {})


def failed(report: Report) -> set[str]:
    return {finding.clause for finding in report.of("failed")}


def test_a_sound_one_breaks_nothing() -> None:
    report = check_trainer(Sound, name="sound", options={"count.start": "3"})
    report.raise_if_failed()
    assert not report.of("warned")
    assert [f.clause for f in report.of("skipped")] == ["same-elsewhere"]


class Broken(Sound):
    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        raise KeyError("genre")


class Later(Sound):
    async def train(self, setup: TrainerSetup, output_dir: Path) -> None:  # type: ignore[override]
        """Never awaited."""


class Idle(Sound):
    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        (output_dir / "counts.json").write_text("{}")


class Anonymous(Sound):
    def card(self, setup: TrainerSetup) -> Card:
        return Card(kind="counts", name="counts")


class OtherData(Sound):
    def card(self, setup: TrainerSetup) -> Card:
        return msgspec.structs.replace(super().card(setup), trained_on=("redial",))


class Pickles(Sound):
    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        if not (output_dir / "count" / CARD).is_file():
            with create(output_dir / "count", self.card(setup)) as folder:
                (folder / "counts.dat").write_bytes(pickle.dumps(self.counts(setup)))
                if setup.progress is not None:
                    setup.progress.step("count", 1, 1, {})


class Litters(Sound):
    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        (output_dir.parent / f"{output_dir.name}.log").write_text("trained")
        super().train(setup, output_dir)


class Tampers(Sound):
    """Writes into an artefact that is finished."""

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        super().train(setup, output_dir)
        (output_dir / "count" / "counts.json").write_text("{}")


runs: Iterator[int] = itertools.count()


class Restarts(Sound):
    """A finished training is trained anew, and comes out different."""

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        with create(output_dir / "count", self.card(setup)) as folder:
            (folder / "counts.json").write_text(str(next(runs)))


class HalfDone(Sound):
    """Writes its card first, by hand, and takes what has one for finished."""

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        target = output_dir / "count"
        if (target / CARD).is_file():
            return
        with create(target, self.card(setup)) as folder:
            (folder / "counts.json").write_text("{}")
        (target / "counts.json").unlink()
        if setup.progress is not None:
            setup.progress.step("count", 1, 1, {})
        (target / "counts.json").write_text("{}")


class Muddles(Sound):
    def counts(self, setup: TrainerSetup) -> Any:
        for item in setup.train.catalogue:
            item.attributes.clear()
        return {}


class Settles(Sound):
    def counts(self, setup: TrainerSetup) -> Any:
        os.environ["HOME"] = "/nowhere"
        return {}


class PlansByChance(Sound):
    def plan(self, setup: TrainerSetup) -> dict[str, Any]:
        return {"count": {**super().plan(setup)["count"], "mood": random.SystemRandom().random()}}


class PlansByData(Sound):
    def plan(self, setup: TrainerSetup) -> dict[str, Any]:
        return {"count": {**super().plan(setup)["count"], "first": setup.train.training[0].id}}


class Careless(Sound):
    """Takes any option, and trains what it likes."""

    def plan(self, setup: TrainerSetup) -> dict[str, Any]:
        return {"count": {"start": 0}}


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them does harm."""
    monkeypatch.setenv("HOME", os.environ["HOME"])


@pytest.mark.parametrize(
    ("make", "clauses"),
    [
        (Broken, {"trains"}),
        (Later, {"declares"}),
        (Idle, {"artefact"}),
        (Anonymous, {"card"}),
        (OtherData, {"card"}),
        (Pickles, {"no-pickle"}),
        (Litters, {"in-folder"}),
        (Tampers, {"artefact"}),
        (Restarts, {"goes-on"}),
        (HalfDone, {"interrupted"}),
        (Muddles, {"leaves-input"}),
        (Settles, {"leaves-process"}),
        (PlansByChance, {"plans"}),
        (PlansByData, {"plans"}),
        (Careless, {"refuses"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_fault_breaks_its_own_clause(make: Any, clauses: set[str]) -> None:
    report = check_trainer(make)
    assert failed(report) == clauses, report.of("failed")
    assert all(finding.what and finding.fix for finding in report.of("failed"))


class Unsteady(Sound):
    def counts(self, setup: TrainerSetup) -> Any:
        return random.SystemRandom().random()


class OneStage(Sound):
    """Has no stages nor presets, and looks at neither."""

    def plan(self, setup: TrainerSetup) -> dict[str, Any]:
        return super().plan(msgspec.structs.replace(setup, stage="", preset="tiny"))


class Silent(Sound):
    """Tells nobody how far it is."""

    def train(self, setup: TrainerSetup, output_dir: Path) -> None:
        super().train(msgspec.structs.replace(setup, progress=None), output_dir)


def test_what_a_trainer_may_have_its_reasons_for() -> None:
    for make, clause in ((Unsteady, "same-again"), (OneStage, "refuses")):
        report = check_trainer(make)
        assert report.ok, report.of("failed")
        assert [f.clause for f in report.of("warned")] == [clause]
    silent = check_trainer(Silent)
    assert silent.ok
    assert silent["interrupted"].state == "skipped"
