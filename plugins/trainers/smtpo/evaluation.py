"""How good a recommender is on validation dialogues: the evaluation's own loop, greedy answers, the training's simulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.api import DialogueRecord, Scenario
from harness.errors import UsageError
from harness.rollouts import Environment

from ...recommenders.smtpo.prompt import Prompting
from ...recommenders.smtpo.recommender import Options, Smtpo
from .context import StageContext
from .rl.environment import ndcg_by_turn
from .rl.players import environments
from .rl.rewards import ndcg


def load_retriever(context: StageContext) -> Any:
    """The retriever of this training. Raises UsageError where there is none yet."""
    from ...recommenders.dualview.retriever import Retriever

    return Retriever.load(context.artifact("retriever"), context.train.catalogue, context.train.training)


class Player:
    """Plays validation scenarios with the model of a folder."""

    def __init__(self, context: StageContext, how: Prompting, retriever: Any, simulator: Environment | None = None) -> None:
        """`simulator` is the environment whose simulator answers; None: the one that the training learns with."""
        self._context, self._how, self._retriever = context, how, retriever
        environment = environments(context, "")[0] if simulator is None else simulator
        self.environment = Environment(context.validation, environment.simulator, name=environment.name)

    def play(
        self, folder: Path, scenarios: Sequence[Scenario], *, turns: int, seed: int
    ) -> dict[tuple[str, int], DialogueRecord]:
        """Records by (scenario, trial)."""
        llm = self._context.resources.model(f"hf:{folder}")
        recommender = Smtpo.assembled(Options(), self._how, self._retriever, llm, self._context.validation.catalogue)
        return self.environment.play(recommender, scenarios, turns=turns, seed=seed)


def evaluate(player: Player, folder: Path, scenarios: Sequence[Scenario], *, turns: int, seed: int) -> dict[str, Any]:
    """NDCG@10 at the first and the last turn, the retriever's own at the first, its recall at 20, share of valid turns.

    Raises UsageError for no scenario.
    """
    if not scenarios:
        raise UsageError("there is no validation scenario to play")
    records = player.play(folder, scenarios, turns=turns, seed=seed)
    table = ndcg_by_turn(records, turns)
    firsts = [record.turns[0] for record in records.values() if record.turns]
    candidates = [tuple(turn.candidates or ()) for turn in firsts]
    targets = [record.targets for record in records.values() if record.turns]
    faults = sum(record.stop == "recommender_fault" for record in records.values())
    played = sum(len(record.turns) for record in records.values())
    count = max(1, len(firsts))
    return {
        "simulator": player.environment.name,
        "scenarios": len(records),
        "ndcg@10 turn 1": float(table[:, 0].mean()),
        f"ndcg@10 turn {turns}": float(table[:, -1].mean()),
        "retriever ndcg@10 turn 1": sum(map(ndcg, candidates, targets)) / count,
        "candidate-recall@20 turn 1": sum(bool(set(c[:20]) & set(t)) for c, t in zip(candidates, targets, strict=True)) / count,
        "valid turns": (played) / max(1, played + faults),
    }
