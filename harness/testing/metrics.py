"""The protocol's clauses for metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from harness.api import DialogueRecord, MetricSetup, RunView, TurnView, Unscored
from harness.columns import BoundMetric
from harness.config import Transport
from harness.errors import HarnessError
from harness.judging import Judging
from harness.llm.api import ChatModel
from harness.scoring import score_run
from harness.testing.clauses import Ledger, Report, Stop, shown, told
from harness.testing.elsewhere import Answer
from harness.testing.limited import Overdue
from harness.testing.metricclauses import CLAUSES
from harness.testing.recommenders import tried_on, type_name
from harness.testing.records import TURNS, K, best, played, worst
from harness.testing.scorer import Scorer, alike, views_of, where
from harness.testing.stub import StubModel
from harness.testing.surroundings import watched_generators
from harness.testing.world import World, small_world
from harness.views import dialogue_view

_UNSCORED = "unscored"


def check_metric(
    make: Callable[[], Any],
    *,
    name: str = "",
    world: World | None = None,
    timeout: float = Transport().timeout,
    llm: ChatModel | None = None,
    elsewhere: Callable[[], Answer] | None = None,
) -> Report:
    """Try a metric against every clause that it can break, on made-up records of every course that a dialogue can take.

    `llm` is the language model of a judge, in place of a stub, and `timeout` (seconds) the limit of each value. `elsewhere`
    gives the values of another process.
    """
    world, model = world or small_world(), llm or StubModel()
    ledger = Ledger(CLAUSES)
    with watched_generators() as used, suppress(Stop), Judging(timeout=timeout, closing=[model.close]) as judging:
        _Examination(ledger, make, world, model, judging, timeout).run(elsewhere)
    ledger.tried("no-global-random")
    for name in used:
        ledger.breach("no-global-random", f"scoring changed the state of the global generator {name}")
    return Report("metric", name or type_name(make), tuple(ledger.findings()), f"made-up records on {tried_on(world, model)}")


class _Examination(Scorer):
    """Everything that is tried, one method each."""

    def run(self, elsewhere: Callable[[], Answer] | None) -> None:
        """Try everything; raises Stop when nothing more can be tried."""
        metric = self.prepared(TURNS, K)
        values = self.values(metric, self.records, TURNS)
        self.values(self.prepared(1, 5), played(self.world, 1, 5), 1)
        self.ledger.tried("has-value")
        if all(isinstance(value, Unscored) for value in values) and not hasattr(metric, "prefer"):
            reasons = dict.fromkeys(value.reason for value in values)
            self.ledger.breach("has-value", f"Unscored everywhere: {'; '.join(reasons)}")
        for view in views_of(metric, self.records, None, TURNS):
            self.judge(metric, view, self.score(metric, view, "without-scenario"))
        self.again(metric, values)
        self.words(metric, values)
        self.elsewhere(values, elsewhere)
        self.whole_runs(metric)
        self.ranks(metric)
        self.direction(metric)
        self.pairs(metric)
        self.core()

    def again(self, metric: Any, values: Sequence[Any]) -> None:
        """A new instance sees the dialogues in the other order."""
        self.ledger.tried("same-again")
        fresh = self.prepared(TURNS, K)
        back = [self.score(fresh, view) for view in views_of(fresh, self.records[::-1], self.scenarios, TURNS)]
        width = TURNS if metric.level == "turn" else 1  # dialogues in the other order, turns of one in the same
        rows = [back[n : n + width] for n in range(0, len(back), width)][::-1]
        views = views_of(metric, self.records, self.scenarios, TURNS)
        for view, one, other in zip(views, values, [value for row in rows for value in row], strict=True):
            if not alike(one, other):
                self.ledger.breach("same-again", f"{where(view)}: {shown(one)}, then {shown(other)}")

    def words(self, metric: Any, values: Sequence[Any]) -> None:
        """The same lists, other words: what is computed from targets must not move."""
        ledger = self.ledger
        if metric.family not in ("ranking", "interaction"):
            ledger.skip("not-from-words", "only asked of ranking and interaction")
            return
        if ledger.broken("same-again"):
            ledger.skip("not-from-words", "not even two equal dialogues agree")
            return
        ledger.tried("not-from-words")
        views = views_of(metric, self.records, self.scenarios, TURNS)
        others = [self.score(metric, v) for v in views_of(metric, [_reworded(r) for r in self.records], self.scenarios, TURNS)]
        for view, one, other in zip(views, values, others, strict=True):
            if not alike(one, other):
                ledger.breach("not-from-words", f"{where(view)}: {shown(one)}, and {shown(other)} when other words were said")

    def elsewhere(self, values: Sequence[Any], elsewhere: Callable[[], Answer] | None) -> None:
        """The same records in another process."""
        ledger = self.ledger
        if elsewhere is None:
            ledger.skip("same-elsewhere", "only tried for installed components")
            return
        if ledger.broken("number", "no-exceptions"):
            ledger.skip("same-elsewhere", "not tried, because of what failed above")
            return
        ledger.tried("same-elsewhere")
        try:
            answer = elsewhere()
        except RuntimeError as error:
            ledger.breach("same-elsewhere", str(error))
            return
        if answer.error:
            ledger.breach("same-elsewhere", f"in another process it failed: {answer.error}")
        for number, (value, there) in enumerate(zip(values, answer.digests, strict=False)):
            other = Unscored("there") if there == _UNSCORED else float(there)
            if not alike(value, other):
                what = "unscored" if isinstance(value, Unscored) else f"{value:g}"
                ledger.breach("same-elsewhere", f"value {number} is {what} here, {there} in another process")

    def whole_runs(self, metric: Any) -> None:
        """A run's dialogues come as a stream, and there may be none."""
        ledger = self.ledger
        if metric.level != "run":
            for clause in ("streams", "empty-run"):
                ledger.skip(clause, "not a metric of whole runs")
            return
        ledger.tried("streams")
        views = [dialogue_view(record, self.scenarios[record.scenario], TURNS) for record in self.records]
        once, listed = self.score(metric, RunView(iter(views))), self.score(metric, RunView(views))
        if not alike(once, listed):
            ledger.breach("streams", f"{shown(once)} for a stream, {shown(listed)} for a list that can be read twice")
        self.judge(metric, RunView([]), self.score(metric, RunView([]), "empty-run"))

    def ranks(self, metric: Any) -> None:
        """`score_ranks` against `score`."""
        ledger = self.ledger
        if not hasattr(metric, "score_ranks") or metric.level != "turn":
            ledger.skip("scores-ranks", "it has no score_ranks()")
            return
        ledger.tried("scores-ranks")
        views = [v for v in views_of(metric, self.records, self.scenarios, TURNS) if isinstance(v, TurnView)]
        widest = max(len(view.ranks) for view in views) + 1
        ranks = np.array([view.ranks + (0,) * (widest - len(view.ranks)) for view in views], dtype=np.int64)
        targets = np.array([len(view.ranks) for view in views], dtype=np.int64)
        given = ranks.copy(), targets.copy()
        try:
            values = self.thread.call(self.timeout, metric.score_ranks, *given)
            if not np.array_equal(given[0], ranks) or not np.array_equal(given[1], targets):
                ledger.breach("leaves-input", "score_ranks() changed its arrays")
            if not isinstance(values, Unscored) and np.shape(values) != (len(views),):
                ledger.breach("scores-ranks", f"{len(views)} lists gave an array of shape {np.shape(values)}")
                return
            rows = [values] * len(views) if isinstance(values, Unscored) else [float(value) for value in values]
        except Overdue as error:
            raise ledger.stop("in-time", f"score_ranks(): {error}") from error
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("scores-ranks", told(error))
            return
        for view, row in zip(views, rows, strict=True):
            single = self.score(metric, view)
            if not alike(single, row):
                ledger.breach("scores-ranks", f"ranks {view.ranks}: score gives {shown(single)}, score_ranks {shown(row)}")

    def direction(self, metric: Any) -> None:
        """Is the best dialogue better than the worst?"""
        ledger = self.ledger
        if metric.family not in ("ranking", "interaction") or metric.level == "run":
            ledger.skip("direction", "only tried for ranking and interaction")
            return
        ledger.tried("direction")
        good, bad = (
            self.score(metric, views_of(metric, [record], self.scenarios, TURNS)[-1])
            for record in (best(self.world), worst(self.world))
        )
        if isinstance(good, Unscored) or isinstance(bad, Unscored) or ledger.broken("number"):
            return
        if (good < bad) if metric.higher_is_better else (good > bad):
            ledger.breach("direction", f"{good:g} with the targets on top of the first list, {bad:g} without any target")

    def pairs(self, metric: Any) -> None:
        """A judge of pairs."""
        ledger = self.ledger
        if not hasattr(metric, "prefer"):
            ledger.skip("prefers", "not a judge of pairs")
            return
        ledger.tried("prefers")
        views = [dialogue_view(r, self.scenarios[r.scenario], TURNS) for r in (best(self.world), worst(self.world))]
        try:
            answers = self.judging.each("checked", metric.prefer, [tuple(views), tuple(views[::-1])], lambda _: "a pair")
        except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's code
            ledger.breach("prefers", told(error))
            return
        for answer in answers:
            if not isinstance(answer, Unscored) and answer not in ("first", "second", "tie"):
                ledger.breach("prefers", f"it says {shown(answer)}")
        if all(isinstance(answer, Unscored) for answer in answers):
            ledger.breach("has-value", f"Unscored for pairs: {answers[0].reason}")

    def core(self) -> None:
        """Through the core's own scoring."""
        ledger = self.ledger
        if ledger.broken("no-exceptions", "number", "bounds", "scores-ranks"):
            ledger.skip("scores-a-run", "not tried, because of what failed above")
            return
        ledger.tried("scores-a-run")
        setup = MetricSetup(self.world.catalogue, self.mentions, K, TURNS, K, self.model)
        try:
            for scenarios in (self.scenarios, None):
                bound = BoundMetric("checked", self.make())
                score_run(self.records, [bound], setup, scenarios, judging=self.judging, resamples=50)
        except HarnessError as error:
            ledger.breach("scores-a-run", told(error))


def numbers(make: Callable[[], Any], world: World, model: ChatModel, timeout: float) -> list[str]:
    """The values of the made-up records as texts, for another process to compare."""
    with Judging(timeout=timeout, closing=[model.close]) as judging:
        scorer = _Examination(Ledger(CLAUSES), make, world, model, judging, timeout)
        metric = scorer.prepared(TURNS, K)
        values = [scorer.score(metric, view) for view in views_of(metric, scorer.records, scorer.scenarios, TURNS)]
    return [_UNSCORED if isinstance(value, Unscored) else repr(float(value)) for value in values]


def _reworded(record: DialogueRecord) -> DialogueRecord:
    """What was recommended stays; texts, and what the simulator said to have accepted, do not."""
    turns = tuple(
        msgspec.structs.replace(
            turn, text="Well.", reasoning=None, user_text="Thanks, that is it, I accept!", accepted=(), statements=None
        )
        for turn in record.turns
    )
    return msgspec.structs.replace(record, turns=turns)
