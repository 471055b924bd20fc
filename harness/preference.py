"""Two runs before a judge of pairs: every pair of dialogues is shown in both orders, and a win needs both verdicts.

Judges prefer what stands first (or second) more often than its quality explains. Asking both orders turns a preference for the
place into a tie, and shows how often the place decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from harness.api import DialogueRecord, DialogueView, MetricSetup, Scenario, Unscored
from harness.columns import BoundMetric, blame
from harness.errors import DataError, PluginError, UsageError
from harness.judging import Judging, is_async
from harness.statistics import RESAMPLES, clustered_bootstrap, paired_permutation
from harness.views import dialogue_view, find_scenario, status

VERDICTS: Final = ("first", "second", "tie")


class Share(msgspec.Struct, frozen=True):
    """A share of the judged pairs with its interval (by source dialogue)."""

    value: float | Unscored
    ci: tuple[float, float] | Unscored


class Preference(msgspec.Struct, frozen=True):
    """Run a against run b over `n` pairs (same scenario, same trial) that were judged in both orders.

    A win is a pair where both verdicts are for a, a loss where both are for b; all else is a tie. `difference` is the share of
    wins minus that of losses. `p` is the sign test over source dialogues (two-sided sign-flip of their summed wins minus
    losses; with one pair per source it is the ordinary sign test without ties). `same_verdict`: both orders agreed;
    `first_place`: the share of verdicts, ties aside, for what stood first: 0.5 would be fair.
    """

    metric: str
    wins: int
    ties: int
    losses: int
    win_share: Share
    tie_share: Share
    loss_share: Share
    difference: float | Unscored
    ci: tuple[float, float] | Unscored
    p: float | Unscored
    exact: bool
    n: int
    clusters: int
    unscored: dict[str, int]
    only_a: int
    only_b: int
    same_verdict: float | Unscored
    first_place: float | Unscored


class _Pair(msgspec.Struct, frozen=True):
    first: DialogueView
    second: DialogueView


def prefer(
    records_a: Iterable[DialogueRecord],
    records_b: Iterable[DialogueRecord],
    scenarios: Mapping[str, Scenario],
    bound: BoundMetric,
    setup: MetricSetup,
    judging: Judging,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Preference:
    """Judge all pairs. Raises UsageError for a metric that is no judge of pairs, PluginError when it fails, BudgetExceeded."""
    method: Any = getattr(bound.metric, "prefer", None)
    if not is_async(method):
        raise UsageError(f"metric {bound.name} is no judge of pairs: it has no async prefer(first, second)")
    with blame(bound.name):
        bound.metric.prepare(setup)
    a, b = (_views(records, scenarios, setup.max_turns) for records in (records_a, records_b))
    pairs = [_Pair(a[key], b[key]) for key in sorted(a.keys() & b.keys())]
    orders = [order for pair in pairs for order in ((pair.first, pair.second), (pair.second, pair.first))]
    verdicts = judging.each(bound.name, method, orders, lambda row: f"scenario {pairs[row // 2].first.dialogue.scenario!r}")
    return _summed(bound.name, pairs, verdicts, len(a) - len(pairs), len(b) - len(pairs), resamples=resamples, seed=seed)


def _views(
    records: Iterable[DialogueRecord], scenarios: Mapping[str, Scenario], max_turns: int
) -> dict[tuple[str, int], DialogueView]:
    """The valid dialogues by scenario and trial."""
    views: dict[tuple[str, int], DialogueView] = {}
    for record in records:
        if status(record) != "valid":
            continue
        if (record.scenario, record.trial) in views:
            raise DataError(f"scenario {record.scenario!r}, trial {record.trial}: two finished dialogues are recorded")
        view = dialogue_view(record, find_scenario(record, scenarios), max_turns)
        views[record.scenario, record.trial] = view
    return views


def _summed(
    name: str, pairs: Sequence[_Pair], verdicts: Sequence[Any], only_a: int, only_b: int, *, resamples: int, seed: int
) -> Preference:
    outcomes: list[int] = []
    clusters: list[str] = []
    unscored: Counter[str] = Counter()
    given: Counter[str] = Counter()
    same = 0
    for number, pair in enumerate(pairs):
        there, back = (_checked(name, verdict) for verdict in verdicts[2 * number : 2 * number + 2])
        lacking = next((verdict for verdict in (there, back) if isinstance(verdict, Unscored)), None)
        if lacking is not None:
            unscored[lacking.reason] += 1
            continue
        given.update((there, back))
        # The second question showed the dialogues in the other order.
        sides = there, {"first": "second", "second": "first"}.get(back, back)
        same += sides[0] == sides[1]
        outcomes.append(1 if sides == ("first", "first") else -1 if sides == ("second", "second") else 0)
        clusters.append(pair.first.dialogue.source)
    values = np.array(outcomes, dtype=np.float64)
    columns = np.stack([values > 0, values == 0, values < 0, values], axis=1)
    estimates = clustered_bootstrap(columns, clusters, resamples=resamples, seed=seed)
    test = paired_permutation(values, np.zeros(len(values)), clusters, permutations=resamples, seed=seed)
    decided = given["first"] + given["second"]
    none = Unscored("no pair was judged")
    return Preference(
        metric=name,
        wins=outcomes.count(1),
        ties=outcomes.count(0),
        losses=outcomes.count(-1),
        win_share=Share(estimates[0].value, estimates[0].ci),
        tie_share=Share(estimates[1].value, estimates[1].ci),
        loss_share=Share(estimates[2].value, estimates[2].ci),
        difference=estimates[3].value,
        ci=estimates[3].ci,
        p=test.p,
        exact=test.exact,
        n=len(outcomes),
        clusters=estimates[3].clusters,
        unscored=dict(unscored),
        only_a=only_a,
        only_b=only_b,
        same_verdict=same / len(outcomes) if outcomes else none,
        first_place=given["first"] / decided if decided else none if not outcomes else Unscored("every verdict is a tie"),
    )


def _checked(name: str, verdict: Any) -> Any:
    if isinstance(verdict, Unscored) or verdict in VERDICTS:
        return verdict
    raise PluginError(f"metric {name!r}: prefer() gave {verdict!r}; it must be one of {', '.join(VERDICTS)}, or Unscored")
