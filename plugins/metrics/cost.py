"""What a dialogue cost: calls, tokens, money, time. Sums over its turns; the mean over scenarios is the price of one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from harness import DialogueView, MetricSetup, Unscored, Usage


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the cost metrics."""

    role: Annotated[Literal["both", "recommender", "simulator"], msgspec.Meta(description="whose cost is counted")] = "both"


class _Cost:
    level: Literal["turn", "dialogue", "run"] = "dialogue"
    family = "cost"
    higher_is_better = False
    bounds = (0.0, float("inf"))

    def __init__(self, options: Options | None = None) -> None:
        self.role = (options or Options()).role

    def prepare(self, setup: MetricSetup) -> None:
        pass

    def _usage(self, view: DialogueView) -> Usage | Unscored:
        """The sum of what components reported; a component that reports nothing may well have cost something."""
        reported = []
        for turn in view.turns:
            if turn.record is not None:
                if self.role != "simulator":
                    reported.append(turn.record.recommender_usage)
                if self.role != "recommender":
                    reported.append(turn.record.simulator_usage)
        known = [usage for usage in reported if usage is not None]
        return sum(known, Usage()) if known else Unscored("no component reported its usage")

    def score(self, view: DialogueView) -> float | Unscored:
        usage = self._usage(view)
        return usage if isinstance(usage, Unscored) else self._value(usage)

    def _value(self, usage: Usage) -> float | Unscored:
        raise NotImplementedError


class Calls(_Cost):
    """LLM calls per dialogue, answers from the cache included."""

    def _value(self, usage: Usage) -> float:
        return float(usage.calls)


class PromptTokens(_Cost):
    """Prompt tokens per dialogue."""

    def _value(self, usage: Usage) -> float:
        return float(usage.prompt_tokens)


class CompletionTokens(_Cost):
    """Completion tokens per dialogue."""

    def _value(self, usage: Usage) -> float:
        return float(usage.completion_tokens)


class Money(_Cost):
    """US dollars per dialogue. Calls that were paid by nobody knows how much are unscored, not free."""

    def _value(self, usage: Usage) -> float | Unscored:
        if not usage.cost and usage.calls > usage.cache_hits:
            return Unscored("no price is known for these calls")
        return usage.cost


class Seconds(_Cost):
    """Wall seconds per dialogue spent waiting for the components. It depends on machine, batch and concurrency."""

    def score(self, view: DialogueView) -> float | Unscored:
        spent = {role: s for role, s in view.dialogue.seconds.items() if self.role in ("both", role)}
        return sum(spent.values()) if spent else Unscored("no times are recorded")
