"""TRL's GRPOTrainer with credit per turn or per rank of the list.

What is TRL's: data flow, generation batches, reference model, optimisation, checkpoints, distribution, vLLM's weights.
What is ours: `rollout_func` plays whole dialogues (one row per turn, num_generations = G x T), the group statistics are over
dialogues at the same turn and not over all G x T rows, advantages are [rows, tokens], and rows that teach nothing (turns not
played, groups without variance) cost no forward pass. `_generate_and_score_completions` and `_compute_loss` are private to TRL:
the version is pinned, and a test compares our loss with theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from trl import GRPOTrainer

from harness.errors import HarnessError

from .rollout import Rollouts, Row, credited, item_tokens
from .settings import RlSettings


class TurnTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is hardly typed
    """`rollouts` plays; `rl` says how credit is given; `level` is the unit of the ratio: a token, or an item of the list."""

    def __init__(
        self,
        *,
        rollouts: Callable[[GRPOTrainer], Rollouts],
        rl: RlSettings,
        level: Literal["token", "item"] = "token",
        **arguments: Any,
    ) -> None:
        self._rl, self._level = rl, level
        self._rows: list[Row] = []
        self._longest = max(rl.horizon)
        super().__init__(reward_funcs=[_total], rollout_func=lambda prompts, trainer: trainer._play(prompts), **arguments)
        self._rollouts = rollouts(self)

    # ---------------------------------------------------------------------------------------------------------- rollouts

    def _play(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Rows of this process: `prompts` are scenario ids, each G x T times in a row over all processes."""
        horizon, group = self._longest, self._rl.group
        answers = group if self._rl.credit == "state-group" else 1
        whole = horizon * answers
        if len(prompts) % whole:
            raise HarnessError(
                f"a process has {len(prompts)} rows, no multiple of {whole}: take a micro_batch and a number of processes "
                "with which each process gets whole dialogues"
            )
        first = self.accelerator.process_index * len(prompts)
        dialogues = [
            (str(prompts[at]), 0 if answers > 1 else ((first + at) % (group * horizon)) // horizon)
            for at in range(0, len(prompts), whole)
        ]
        step = int(self.state.global_step)
        self._rows = self._rollouts.rows(
            dialogues,
            turns=self._rl.turns_at(step),
            horizon=horizon,
            seed=int(self.args.seed) * 1_000_003 + step,
            answers=answers,
        )
        known = all(row.logprobs is not None for row in self._rows if row.played)
        return {
            "prompt_ids": [row.prompt for row in self._rows],
            "completion_ids": [row.completion for row in self._rows],
            "logprobs": [row.logprobs or [0.0] * len(row.completion) for row in self._rows]
            if known and self.use_vllm
            else None,
            "env_mask": [[int(row.played)] * len(row.completion) for row in self._rows],
        }

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        out = super()._generate_and_score_completions(inputs)
        rows, device = self._rows, self.accelerator.device
        k = max((len(row.hits) for row in rows), default=0) or 10
        plain = torch.tensor(
            [[*row.terms, float(row.played), float(row.ended), *(row.hits or (0.0,) * k)] for row in rows],
            dtype=torch.float64,
        )
        everybody = self.accelerator.gather(plain.to(device)).cpu().numpy()
        found = credited(
            everybody[:, :3],
            everybody[:, 3] > 0,
            everybody[:, 4] > 0,
            everybody[:, 5:],
            group=self._rl.group,
            horizon=self._longest,
            weights=self._rl.weights,
            credit=self._rl.credit_settings,
        )
        own = slice(self.accelerator.process_index * len(rows), (self.accelerator.process_index + 1) * len(rows))
        advantage, mask, items = self._by_token(
            found.advantage[own], found.used[own], None if found.by_rank is None else found.by_rank[own], out
        )
        out["advantages"] = advantage.to(device)
        out["tool_mask"] = mask.to(device)
        out["items"] = items.to(device)
        out["num_items_in_batch"] = self.accelerator.gather((out["completion_mask"] * out["tool_mask"]).sum()).sum()
        lengths = [len(row.completion) for row in rows if row.played]
        told = {
            **found.log,
            "length": float(np.mean(lengths)) if lengths else 0.0,
            "truncated": float(np.mean([row.truncated for row in rows if row.played])) if lengths else 0.0,
            "turns": float(self._rl.turns_at(int(self.state.global_step))),
        }
        for name, value in told.items():
            self._metrics["train"][f"smtpo/{name}"].append(value)
        return out

    def _by_token(
        self, advantage: Any, used: Any, by_rank: Any, out: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Advantages, loss mask and items [rows, tokens]. With ranks, the tokens of a list's item have the rank's advantage,
        all others (the reasoning) the turn's."""
        shape = out["completion_ids"].shape
        values = np.repeat(np.asarray(advantage)[:, None], shape[1], axis=1)
        mask = np.repeat(np.asarray(used, dtype=np.int64)[:, None], shape[1], axis=1)
        items = np.full(shape, -1, dtype=np.int64)
        if by_rank is not None:
            for number, row in enumerate(self._rows):
                if not row.played:
                    continue
                ranks = np.array(item_tokens(self._tokenizer, row.completion, by_rank.shape[1]))
                items[number, : len(ranks)] = ranks
                inside = np.flatnonzero(ranks >= 0)
                values[number, inside] = by_rank[number, ranks[inside]]
        return (
            torch.tensor(values, dtype=torch.float32),
            torch.tensor(mask, dtype=out["completion_mask"].dtype),
            torch.tensor(items),
        )

    # -------------------------------------------------------------------------------------------------------------- loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """The clipped surrogate with KL, mean over the tokens of the whole generation batch (loss_type "dapo")."""
        inputs = _needed(inputs)
        mask = inputs["completion_mask"] * inputs["tool_mask"]
        logps, entropies, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].size(1),
            compute_entropy=True,
        )
        old = inputs.get("old_per_token_logps")
        difference = logps - (logps.detach() if old is None else old)
        if self._level == "item":
            difference = item_means(difference, inputs["items"], mask)
        ratio, advantage = torch.exp(difference), inputs["advantages"]
        bounded = torch.clamp(ratio, 1 - self.epsilon_low, 1 + self.epsilon_high)
        loss = -torch.min(ratio * advantage, bounded * advantage)
        if self.use_vllm and "importance_sampling_ratio" in inputs:
            loss = loss * inputs["importance_sampling_ratio"]
        if self.beta:
            apart = inputs["ref_per_token_logps"] - logps
            kl = torch.exp(apart) - apart - 1
            if self.args.use_bias_correction_kl:
                kl = kl * ratio
            loss = loss + self.beta * kl
            self._tell("smtpo/kl", kl, mask)
        self._tell("smtpo/entropy", entropies, mask)
        stopped = ((ratio < 1 - self.epsilon_low) & (advantage < 0)) | ((ratio > 1 + self.epsilon_high) & (advantage > 0))
        self._tell("smtpo/clipped", stopped.float(), mask)
        share = self.current_gradient_accumulation_steps / self.args.steps_per_generation
        tokens = inputs["num_items_in_batch"].clamp(min=1.0) / self.accelerator.num_processes * share
        return (loss * mask).sum() / tokens

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **more: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """TRL's own on GPUs. On CPUs its fused head computes the whole prompt's logits, two thirds of a step: here, those of
        the answers alone, and nothing for rows that were not played."""
        if input_ids.device.type != "cpu" or any(value is not None and value is not False for value in more.values()):
            found: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None] = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **more
            )
            return found
        rows = torch.arange(len(input_ids))
        if not torch.is_grad_enabled() and len(self._rows) == len(input_ids):
            rows = rows[torch.tensor([row.played for row in self._rows])]
        logps = input_ids.new_zeros((len(input_ids), logits_to_keep), dtype=torch.float32)
        entropies = torch.zeros_like(logps)
        for some in rows.split(batch_size or len(input_ids)):
            told, spread = _log_probabilities(model, input_ids[some], attention_mask[some], logits_to_keep, self.temperature)
            logps = logps.index_put((some,), told)
            entropies[some] = spread
        return logps, entropies if compute_entropy else None, None

    def _tell(self, name: str, values: torch.Tensor, mask: torch.Tensor) -> None:
        sums = torch.stack([(values.detach() * mask).sum(), mask.sum().float()])
        whole = self.accelerator.reduce(sums, reduction="sum")
        if float(whole[1]):
            self._metrics["train"][name].append(float(whole[0] / whole[1]))


def _log_probabilities(
    model: Any, ids: torch.Tensor, attention: torch.Tensor, last: int, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each of the last tokens, and the entropy that it was drawn with (no gradient), both [rows, last]."""
    logits = model(input_ids=ids, attention_mask=attention, logits_to_keep=last + 1, use_cache=False).logits[:, :-1]
    logits = logits.float() / temperature
    normaliser = logits.logsumexp(-1)
    logps = logits.gather(-1, ids[:, -last:, None])[..., 0] - normaliser
    with torch.no_grad():
        entropy = normaliser - (torch.exp(logits - normaliser[..., None]) * logits).sum(-1)
    return logps, entropy


def item_means(difference: torch.Tensor, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Rank-GRPO's log-ratio: the mean over an item's tokens, at each of them; other tokens keep their own. [rows, tokens]"""
    count = int(items.max()) + 2
    place = (items + 1).clamp(min=0)
    kept = mask.to(difference.dtype)
    sums = difference.new_zeros(len(items), count).scatter_add(1, place, difference * kept)
    sizes = difference.new_zeros(len(items), count).scatter_add(1, place, kept)
    means = (sums / sizes.clamp(min=1.0)).gather(1, place)
    return torch.where(items >= 0, means, difference)


def _needed(inputs: dict[str, Any]) -> dict[str, Any]:
    """Rows with a token in the loss, at least one, without the columns that are padding in all of them."""
    mask = inputs["completion_mask"] * inputs["tool_mask"]
    rows = mask.any(dim=1)
    if not bool(rows.any()):
        rows = torch.zeros_like(rows)
        rows[0] = True  # every process makes a forward pass
    left = int((~inputs["prompt_mask"][rows].bool().any(dim=0)).sum())
    width = max(1, int(inputs["completion_mask"][rows].bool().any(dim=0).sum()))
    out = dict(inputs)
    for name, value in inputs.items():
        if not isinstance(value, torch.Tensor) or value.dim() == 0:
            continue
        value = value[rows]
        if name in ("prompt_ids", "prompt_mask"):
            value = value[:, left:]
        elif value.dim() == 2 and value.size(1) == inputs["completion_ids"].size(1):
            value = value[:, :width]
        out[name] = value
    return out


def _total(prompts: Sequence[Any], **_: Any) -> list[float]:
    """TRL asks for a reward per row; the true ones are the rollouts', and so are the group statistics."""
    return [0.0] * len(prompts)
