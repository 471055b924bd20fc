"""What validation has shown, which weights are kept for it, and the artefact that they become."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.artifactfiles import create
from harness.rollouts import Environment
from harness.wholefiles import write_atomically

from ....recommenders.smtpo.prompt import Prompting
from ....recommenders.smtpo.recommender import KIND
from ..context import StageContext
from .environment import ndcg_by_turn
from .policy import Player

_STATE: Final = "validation.json"


class Progress(msgspec.Struct):
    """What validation has shown so far."""

    curve: list[dict[str, float]] = []
    best_step: int = -1
    best_value: float = -1.0
    seconds: float = 0.0
    """CPU seconds of the first process up to the last validation."""

    @classmethod
    def load(cls, work: Path) -> Progress:
        """As saved, or the beginning."""
        file = work / _STATE
        return msgspec.json.decode(file.read_bytes(), type=cls) if file.exists() else cls()

    def save(self, work: Path) -> None:
        """After the best weights are written: those that it names are whole. Older ones go."""
        write_atomically(work / _STATE, msgspec.json.encode(self))
        for folder in work.glob("best-*"):
            if folder != best_folder(work, self.best_step):
                shutil.rmtree(folder, ignore_errors=True)


def best_folder(work: Path, step: int) -> Path:
    """Where the weights of a step are kept while they are the best."""
    return work / f"best-{step}"


def measured(worlds: Sequence[Environment], player: Player, scenarios: Any, turns: int, step: int) -> dict[str, float]:
    """One point of the validation curve: NDCG@10 at the last and the first turn and the share of faults, with each simulator;
    the first one's, which decides, go by their plain names."""
    point: dict[str, float] = {"step": float(step)}
    for place, world in enumerate(worlds):
        suffix = "" if place == 0 else f" {world.name}"
        records = player.play(world, scenarios, turns=turns)
        means = ndcg_by_turn(records, turns).mean(axis=0)
        faults = sum(record.stop == "recommender_fault" for record in records.values())
        point |= {
            f"ndcg@10{suffix}": float(means[-1]),
            f"ndcg@10 turn 1{suffix}": float(means[0]),
            f"faults{suffix}": faults / len(records),
        }
    return point


def save_recommender(
    context: StageContext, out: Path, start: Path, progress: Progress, against: str, what: str = "multi-turn RL"
) -> None:
    """Write the artefact: the best weights (a model's or an adapter's), or those of `start` where no step was better, in the
    number format of `start`, with what belongs to them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kept, best = progress.best_step > 0, best_folder(context.work, progress.best_step)
    stored = AutoModelForCausalLM.from_pretrained(str(start), dtype="auto", local_files_only=True).dtype
    if kept and (best / "adapter_config.json").exists():
        from peft import PeftModel

        base = AutoModelForCausalLM.from_pretrained(str(start), dtype=torch.float32, local_files_only=True)
        model = PeftModel.from_pretrained(base, str(best), local_files_only=True).merge_and_unload()
    else:
        model = AutoModelForCausalLM.from_pretrained(str(best if kept else start), dtype=torch.float32, local_files_only=True)
    card = context.card(
        KIND,
        summary=f"SMTPO's reasoning recommender after {what}"
        + ("" if kept else "; no step was better on validation: these are the weights of the start"),
        curves={"validation": progress.curve},
        trained_against=(against,),
        results={
            "validation ndcg@10": progress.best_value,
            "start": progress.curve[0]["ndcg@10"] if progress.curve else -1.0,
            "step": progress.best_step,
            "cpu seconds": round(progress.seconds),
        },
    )
    with create(out, card) as folder:
        model.to(stored).save_pretrained(str(folder))
        AutoTokenizer.from_pretrained(str(start), local_files_only=True).save_pretrained(str(folder))
        Prompting.load(start).save(folder)
