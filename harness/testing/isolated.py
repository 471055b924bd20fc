"""Checks a recommender that isn't trusted: each of its instances runs in a process of its own, behind the walls of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from harness.config import Choice, RunConfig
from harness.errors import HarnessError
from harness.isolation.opening import gaps, open_isolated
from harness.isolation.recommender import IsolatedRecommender
from harness.registry import Entry, Registry
from harness.testing import declarations
from harness.testing.calls import Caller, snapshot
from harness.testing.clauses import Ledger, Report, told
from harness.testing.elsewhere import Answer
from harness.testing.installed import K, model_for, world_for
from harness.testing.probes import for_recommender
from harness.testing.recommenders import CLAUSES, check_recommender, setup_for
from harness.testing.trials import digest, setup_of
from harness.testing.world import World

_OWN: Final = "it has a process of its own"
_COPY: Final = "it is handed a copy, in a process of its own"
UNSEEN: Final[Mapping[str, str]] = {
    "leaves-setup": _COPY,
    "leaves-input": _COPY,
    "no-global-random": _OWN,
    "leaves-process": _OWN,
    "lets-go": _OWN,
    "closes": "its close() is called in a process of its own",
    "best-first": "scores stay in its process: a run has no use for them",
    "reads-no-data": "isolation keeps it from the files of data sets",
}
"""Clauses of recommenders whose breach harms nobody, and shows nowhere, behind the walls."""
_UNSEEN: Final[Mapping[str, str]] = {
    "light": "its package is listed in processes of its own only",
    "announced": "its package is listed in processes of its own only",
    "observes": "nothing of its package is loaded into the harness",
    "leaves-options": _COPY,
    "options-by-text": "its options' types stay in its process",
}
HASH_SEED: Final = "1"
"""Of the other process; the first one has 0."""


def check_isolated(registry: Registry, config: RunConfig, dataset: Choice | None = None) -> tuple[Entry, Report, str]:
    """As `check_installed`, of `config.recommender`, with `config`'s isolation, time limit and language model. Returns what the
    component is, the report, and what is to be known of walls that can't stand (empty: all do).

    The package is imported nowhere but there, if `harness.isolation.opening.keep_out` was called before the registry was made.
    `dataset` is the data that it is tried on, in place of the small world. Raises what opening an isolated recommender raises.
    """
    check = _Check(registry, config, world_for(registry, dataset))
    report = check.report()
    return check.entry, report, gaps({"missing": check.missing})


class _Check:
    """One examination."""

    entry: Entry
    missing: dict[str, str]

    def __init__(self, registry: Registry, config: RunConfig, world: World) -> None:
        # A model that its package brings along would be loaded by the harness: what was said, or a stub, is asked instead.
        self._model = model_for(config.rec_llm)
        self._config = msgspec.structs.replace(config, rec_llm=config.rec_llm or Choice(self._model.name))
        self._registry, self._world = registry, world
        self._ends: list[list[str]] = []
        self._documented = True

    def make(self, hash_seed: str = "0") -> IsolatedRecommender:
        """A new instance, in a new process."""
        part, recommender = open_isolated(self._registry, self._config, hash_seed=hash_seed)
        self.entry, self.missing = part.entry, recommender.missing
        self._documented = recommender.opened.documented
        self._ends.append(recommender.ends)
        return recommender

    def report(self) -> Report:
        """Everything that shows from here."""
        ledger = Ledger(declarations.CLAUSES, _UNSEEN)
        findings, tried_on = Ledger(CLAUSES).findings(), self._world.name
        other = self._elsewhere(self.make(HASH_SEED))
        self._announced(ledger)
        ledger.tried("survives")
        if not self._ended(ledger):
            files = self.missing.get("files")
            unseen = UNSEEN if files is None else {**UNSEEN, "reads-no-data": f"isolation has no wall `files` here: {files}"}
            report = check_recommender(
                self.make, name=self.entry.name, world=self._world, k=K, timeout=self._config.transport.timeout,
                llm=self._model, elsewhere=lambda: other, unseen=unseen,
            )  # fmt: skip
            findings, tried_on = list(report.findings), report.world
            self._ended(ledger)
        tried_on += ", in processes of its own"
        return Report("recommender", self.entry.name, (*ledger.findings(), *findings), tried_on)

    def _announced(self, ledger: Ledger) -> None:
        """What its descriptor says, and that it could be opened at all."""
        component = self.entry.component
        for clause in ("summary", "imports", "documented", "options"):
            ledger.tried(clause)
        if not component.summary.strip():
            ledger.breach("summary", "the summary is empty")
        if not self._documented:
            ledger.breach("documented", f"{component.target} has no docstring")
        if component.knowledge is not None:
            ledger.breach("announced", f"a recommender has no knowledge level, the descriptor says {component.knowledge}")

    def _elsewhere(self, instance: IsolatedRecommender) -> Answer:
        """The same calls in a process where sets have another order."""
        setup = setup_for(self._world, self._world.training, K, self._model)
        try:
            instance.prepare(setup_of(instance, setup))
        except HarnessError as error:
            return Answer([], [], told(error))
        probes = for_recommender(self._world, K)
        caller = Caller(self._config.transport.timeout, self._model)
        outcomes = caller.ask(instance, "recommend", [probe.arguments for probe in probes])
        own = getattr(instance, "revision", None)
        return Answer([digest(each) for each in outcomes], [], revision=snapshot(own()).decode() if own else "")

    def _ended(self, ledger: Ledger) -> bool:
        ends = [end for one in self._ends for end in one]
        if ends:
            ledger.breach("survives", ends[0])
        return bool(ends)
