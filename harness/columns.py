"""One metric's numbers over a run, held as arrays: a few floats per dialogue, whatever the length of its transcript.

Inside, NaN stands for "unscored" and a code beside it for the reason; neither leaves this module but as `Unscored` text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import DialogueView, TurnView, Unscored
from harness.errors import BudgetExceeded, HarnessError, PluginError
from harness.judging import Judging, is_async

Floats = NDArray[np.float64]
Codes = NDArray[np.int16]
Flags = NDArray[np.bool_]
Overs = Literal["last", "mean"]

_SLACK = 1e-9
"""Rounding that a metric may add to its bounds."""


class BoundMetric(msgspec.Struct, frozen=True):
    """A metric instance and the name that it goes by in this run ("ndcg@10")."""

    name: str
    metric: Any


@contextmanager
def blame(name: str, where: str = "") -> Iterator[None]:
    """What a metric raises becomes a PluginError with its name; errors that are meant for the user pass."""
    try:
        yield
    except (HarnessError, BudgetExceeded):
        raise
    except Exception as error:
        raise PluginError(f"metric {name!r} failed{where}: {type(error).__name__}: {error}") from error


class Chunk:
    """Some dialogues at once: their views, and the ranks of their targets as one array."""

    __slots__ = ("label_owner", "label_ranks", "ranks", "read", "success", "targets", "views")

    def __init__(self, views: Sequence[DialogueView], *, success_k: int, read_at: Literal["last", "success"]) -> None:
        self.views = views
        turns = len(views[0].turns)
        self.targets = np.array([len(view.turns[0].ranks) for view in views], dtype=np.int64)
        widest = max(1, int(self.targets.max()))
        padded = [turn.ranks + (0,) * (widest - len(turn.ranks)) for view in views for turn in view.turns]
        self.ranks = np.array(padded, dtype=np.int64).reshape(len(views), turns, widest)
        """[dialogues, turns, targets], 0 where a target is absent (or there is no such target)."""
        hit: Flags = np.any((self.ranks > 0) & (self.ranks <= success_k), axis=2)
        self.success: Flags = np.any(hit, axis=1)
        """Was any target among the first `success_k` at any turn?"""
        first = np.where(self.success, hit.argmax(axis=1), turns - 1)
        self.read = first if read_at == "success" else np.full(len(views), turns - 1)
        """The 0-based turn at which ranking metrics are read."""
        self.label_owner = np.repeat(np.arange(len(views)), self.targets)
        at_read = self.ranks[np.arange(len(views)), self.read]
        self.label_ranks = at_read[np.arange(widest)[None, :] < self.targets[:, None]]
        """The rank of every single target at the turn that is read; `label_owner` says whose it is."""


class Column:
    """Collects one turn- or dialogue-level metric. Call `add` per chunk, then `finish` once, then read the arrays.

    `judging` is needed for a metric that asks a language model.
    """

    def __init__(self, bound: BoundMetric, judging: Judging | None = None) -> None:
        metric = bound.metric
        self.name = bound.name
        self.metric = metric
        self.level: str = metric.level
        if self.level not in ("turn", "dialogue"):
            raise PluginError(f"metric {bound.name!r} has level {self.level!r}; there are turn, dialogue and run")
        self.over_turns: Overs = getattr(metric, "over_turns", "last")
        if self.over_turns not in ("last", "mean"):
            raise PluginError(f"metric {bound.name!r} has over_turns {self.over_turns!r}; there are last and mean")
        self.has_micro = self.level == "turn" and metric.family == "ranking"
        self._judging = judging if is_async(getattr(metric, "score", None)) else None
        self._reasons: dict[str, int] = {"": 0}
        self._parts: list[tuple[Floats, Codes, Floats, Codes, Floats, Floats]] = []
        self.values: Floats = np.empty(0)
        """[dialogues]: the value of each dialogue."""
        self.codes: Codes = np.empty(0, dtype=np.int16)
        self.turns: Floats = np.empty((0, 0))
        """[dialogues, turns]; no turns for a dialogue-level metric."""
        self.turn_codes: Codes = np.empty((0, 0), dtype=np.int16)
        self.label_sums: Floats = np.empty(0)
        """[dialogues]: sum of the metric over the dialogue's labels, each scored as the only target ..."""
        self.label_counts: Floats = np.empty(0)
        """... and how many labels that were."""

    def add(self, chunk: Chunk) -> None:
        """Score a chunk. Raises PluginError when the metric fails, or gives something else than a number within its bounds."""
        count = len(chunk.views)
        nothing, no_codes = np.empty((count, 0)), np.empty((count, 0), dtype=np.int16)
        if self.level == "dialogue":
            values, codes = self._score_each(chunk.views)
            self._parts.append((values, codes, nothing, no_codes, np.zeros(count), np.zeros(count)))
            return
        per_turn = chunk.ranks.shape[1]
        if hasattr(self.metric, "score_ranks"):
            targets = np.repeat(chunk.targets, per_turn)
            flat, flat_codes = self._score_ranks(chunk.ranks.reshape(count * per_turn, -1), targets)
        else:
            flat, flat_codes = self._score_each([turn for view in chunk.views for turn in view.turns])
        turns, turn_codes = flat.reshape(count, per_turn), flat_codes.reshape(count, per_turn)
        if self.over_turns == "mean":
            there = np.isfinite(turns)
            scored = there.sum(axis=1)
            values = np.where(scored > 0, np.where(there, turns, 0.0).sum(axis=1) / np.maximum(scored, 1), np.nan)
            codes = np.where(scored > 0, 0, turn_codes[:, 0]).astype(np.int16)
        else:
            read = chunk.read if self.metric.family == "ranking" else np.full(count, per_turn - 1)
            values, codes = turns[np.arange(count), read], turn_codes[np.arange(count), read]
        sums, counts = self._micro(chunk) if self.has_micro else (np.zeros(count), np.zeros(count))
        self._parts.append((values, codes, turns, turn_codes, sums, counts))

    def finish(self, order: NDArray[np.int64], turns: int) -> None:
        """Put the dialogues into their final order."""
        if self._parts:
            joined = [np.concatenate(arrays)[order] for arrays in zip(*self._parts, strict=True)]
            self.values, self.codes, self.turns, self.turn_codes, self.label_sums, self.label_counts = joined
        else:
            self.turns = np.empty((0, turns if self.level == "turn" else 0))
            self.turn_codes = np.empty(self.turns.shape, dtype=np.int16)
        self._parts = []
        self._names = list(self._reasons)

    def best_so_far(self) -> Floats:
        """[dialogues, turns]: the best value up to each turn, by the metric's own direction."""
        best = np.fmax if self.metric.higher_is_better else np.fmin
        return best.accumulate(self.turns, axis=1) if self.turns.size else self.turns

    def reason(self, code: int) -> str:
        """Why a value is missing."""
        return self._names[code]

    def unscored(self) -> dict[str, int]:
        """Reason -> number of dialogues without a value."""
        counted = Counter(self.codes[self.codes > 0].tolist())
        return {self._names[code]: number for code, number in sorted(counted.items())}

    def unscored_turn(self, turn: int) -> dict[str, int]:
        """The same at one 0-based turn."""
        counted = Counter(self.turn_codes[self.turn_codes[:, turn] > 0, turn].tolist())
        return {self._names[code]: number for code, number in sorted(counted.items())}

    # --------------------------------------------------------------------------------------------- scoring

    def _micro(self, chunk: Chunk) -> tuple[Floats, Floats]:
        """Every (dialogue, label) on its own, with that label as the only target."""
        count = len(chunk.views)
        if hasattr(self.metric, "score_ranks"):
            values, _ = self._score_ranks(chunk.label_ranks[:, None], np.ones(len(chunk.label_ranks), dtype=np.int64))
        else:
            values, _ = self._score_each(
                [turn for view, read in zip(chunk.views, chunk.read, strict=True) for turn in _single_labels(view.turns[read])]
            )
        there = np.isfinite(values)
        sums, counts = np.zeros(count), np.zeros(count)
        np.add.at(sums, chunk.label_owner, np.where(there, values, 0.0))
        np.add.at(counts, chunk.label_owner, there)
        return sums, counts

    def _score_ranks(self, ranks: NDArray[np.int64], targets: NDArray[np.int64]) -> tuple[Floats, Codes]:
        with blame(self.name):
            scored = self.metric.score_ranks(ranks, targets)
            if isinstance(scored, Unscored):
                return np.full(len(ranks), np.nan), np.full(len(ranks), self._code(scored.reason), dtype=np.int16)
            values = np.asarray(scored, dtype=np.float64)
        if values.shape != (len(ranks),):
            raise PluginError(f"metric {self.name!r}: score_ranks gave {values.shape} values for {len(ranks)} lists")
        codes = np.zeros(len(ranks), dtype=np.int16)
        if len(ranks) and not targets.all():
            codes[targets == 0] = self._code("no targets")
            values = np.where(targets == 0, np.nan, values)
        return self._checked(values, codes)

    def _score_each(self, views: Sequence[TurnView | DialogueView]) -> tuple[Floats, Codes]:
        values, codes = np.full(len(views), np.nan), np.zeros(len(views), dtype=np.int16)
        score = self.metric.score
        n = 0
        judged: list[Any] | None = None
        if self._judging is not None:
            rows = [(view,) for view in views]
            judged = self._judging.each(self.name, score, rows, lambda row: f"scenario {views[row].dialogue.scenario!r}")
        try:
            for n, view in enumerate(views):
                value = score(view) if judged is None else judged[n]
                if isinstance(value, Unscored):
                    codes[n] = self._code(value.reason)
                else:
                    values[n] = value if type(value) is float else as_number(self.name, value)
        except HarnessError:
            raise
        except Exception as error:
            where = f"scenario {views[n].dialogue.scenario!r}"
            raise PluginError(f"metric {self.name!r} failed on {where}: {type(error).__name__}: {error}") from error
        return self._checked(values, codes)

    def _checked(self, values: Floats, codes: Codes) -> tuple[Floats, Codes]:
        """A value that is no number has a reason too; a value out of bounds is a bug of the metric."""
        odd = ~np.isfinite(values) & (codes == 0)
        if odd.any():
            codes[odd] = self._code("the metric gave a value that is not finite")
            values = np.where(odd, np.nan, values)
        check_bounds(self.name, self.metric, values)
        return values, codes

    def _code(self, reason: str) -> int:
        # Reasons are for counting: a metric that writes a new one for every dialogue must not fill the memory.
        if reason not in self._reasons and len(self._reasons) >= 1000:
            reason = "other reasons"
        return self._reasons.setdefault(reason or "no reason given", len(self._reasons))


def as_number(name: str, value: Any) -> float:
    """A metric's return value as float. Raises PluginError for anything but a number."""
    if isinstance(value, bool | int | float | np.number):
        return float(value)
    raise PluginError(f"metric {name!r} returned {type(value).__name__}; a float or Unscored(reason) is needed")


def check_bounds(name: str, metric: Any, values: Floats) -> None:
    """Raises PluginError for a value outside of the metric's bounds (NaN is none)."""
    low, high = metric.bounds
    outside = (values < low - _SLACK) | (values > high + _SLACK)
    if outside.any():
        raise PluginError(
            f"metric {name!r} gave {values[outside][0]:g}, outside of its bounds {low:g} to {high:g}: mend the metric or "
            "its `bounds`"
        )


def _single_labels(turn: TurnView) -> list[TurnView]:
    """The turn once per target, as if that target were the only one."""
    return [
        msgspec.structs.replace(turn, ranks=(rank,), dialogue=msgspec.structs.replace(turn.dialogue, targets=(target,)))
        for target, rank in zip(dict.fromkeys(turn.dialogue.targets), turn.ranks, strict=True)
    ]
