"""What every reinforcement learning of this package can be told, with or without a language model."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .credit import Baseline, Credit, CreditSettings
from .objective import Clip
from .rewards import Weights

_Weight = Annotated[float, msgspec.Meta(ge=0)]


class RlSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Horizon, group, rewards, credit, step size limits, and how the weights that are kept are chosen."""

    method: Annotated[
        Literal["rl", "sft-continued"],
        msgspec.Meta(description="sft-continued: the control of equal compute; the same steps spent on supervised learning"),
    ] = "rl"
    steps: Annotated[int, msgspec.Meta(ge=1)] = 100
    scenarios: Annotated[int, msgspec.Meta(ge=1, description="scenarios per step")] = 16
    group: Annotated[int, msgspec.Meta(ge=2, description="dialogues per scenario (state-group: lists per state)")] = 8
    horizon: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1)], ...],
        msgspec.Meta(min_length=1, description="turns of a rollout, one after another in equal parts of the steps"),
    ] = (1, 2, 3)
    credit: Annotated[Credit, msgspec.Meta(description="trajectory, turn (return-to-go) or state-group")] = "turn"
    baseline: Annotated[Baseline, msgspec.Meta(description="what a return is compared with")] = "group"
    gamma: Annotated[float, msgspec.Meta(ge=0, le=1, description="discount of later turns")] = 1.0
    ranks: Annotated[
        Literal["off", "exp_inf", "log_decay"], msgspec.Meta(description="rank-grpo: advantages per rank of the list")
    ] = "off"
    format_reward: Annotated[_Weight, msgspec.Meta(description="weight of the format term")] = 0.1
    recommendation_reward: Annotated[_Weight, msgspec.Meta(description="weight of NDCG@10")] = 1.0
    preference_reward: Annotated[_Weight, msgspec.Meta(description="weight of the stated preferences' F1")] = 0.3
    clip_low: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.2
    clip_high: Annotated[float, msgspec.Meta(ge=0)] = 0.28
    beta: Annotated[float, msgspec.Meta(ge=0, description="weight of the KL to the start")] = 1e-3
    check_every: Annotated[int, msgspec.Meta(ge=1, description="steps between checkpoints and validations")] = 10
    check_scenarios: Annotated[int, msgspec.Meta(ge=1, description="validation scenarios, at most")] = 200
    check_turns: Annotated[int, msgspec.Meta(ge=1, description="turns of a validation dialogue")] = 5
    patience: Annotated[
        int, msgspec.Meta(ge=0, description="stop after so many validations without a better one; 0: never")
    ] = 0
    held_out: Annotated[
        str,
        msgspec.Meta(description="simulator that the policy never learns with, validated beside; empty: rule, or exclude-only"),
    ] = ""

    @property
    def weights(self) -> Weights:
        return Weights(format=self.format_reward, recommendation=self.recommendation_reward, preference=self.preference_reward)

    @property
    def credit_settings(self) -> CreditSettings:
        return CreditSettings(credit=self.credit, baseline=self.baseline, gamma=self.gamma, ranks=self.ranks)

    @property
    def clip(self) -> Clip:
        return Clip(low=self.clip_low, high=self.clip_high, beta=self.beta)

    def turns_at(self, step: int) -> int:
        """The horizon at a step from 0."""
        return self.horizon[min(step * len(self.horizon) // self.steps, len(self.horizon) - 1)]
