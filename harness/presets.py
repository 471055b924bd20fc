"""Named protocols: what is played and how it is read (protocol, section 7)."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.errors import UsageError

CUTOFFS = (1, 5, 10, 20, 50)
CANDIDATE_CUTOFFS = (10, 20, 50, 100)


class Preset(msgspec.Struct, frozen=True):
    """`success_k`: a target in the first that many is a success. `stop_on_success`: the harness ends the dialogue there.
    `final_reply`: the simulator answers the last list too. `read_at`: lists are scored at the last turn, or at the turn of
    success. `headline`: which average heads the table. `simulator_options`: those of its own simulator that aren't the
    simulator's defaults."""

    name: str
    summary: str
    turns: int = 5
    k: int = 10
    variant: Literal["novel", "all"] = "novel"
    simulator: str | None = "rule"
    simulator_options: dict[str, str] = {}
    success_k: int = 10
    stop_on_success: bool = False
    final_reply: bool = False
    read_at: Literal["last", "success"] = "last"
    headline: Literal["macro", "micro"] = "macro"


def presets() -> dict[str, Preset]:
    """All presets by name; `smtpo` is the default."""
    published = "as published, its faults included: K 50, success read from the hidden top 50, R@k at the turn of success"
    every = (
        Preset("smtpo", "the default: 5 turns, 10 items, novel targets, macro over scenarios"),
        Preset("static", "one list from the human context, no simulator", turns=1, simulator=None),
        Preset(
            "ievalm-free",
            f"iEvaLM free chat {published}",
            k=50, variant="all", simulator="ievalm", simulator_options={"style": "published"}, success_k=50,
            stop_on_success=True, final_reply=True, read_at="success", headline="micro",
        ),
        Preset(
            "ievalm-attr",
            f"iEvaLM attribute question answering {published}",
            k=50, variant="all", simulator="ievalm-attr", simulator_options={"style": "published"}, success_k=50,
            stop_on_success=True, final_reply=True, read_at="success", headline="micro",
        ),
        Preset(
            "ievalm-free-clean",
            "iEvaLM free chat under this project's protocol: 10 items shown, novel targets, macro",
            simulator="ievalm", stop_on_success=True, final_reply=True,
        ),
    )  # fmt: skip
    return {preset.name: preset for preset in every}


def find_preset(name: str) -> Preset:
    """Raises UsageError with the names there are."""
    known = presets()
    if name not in known:
        raise UsageError(f"unknown preset {name!r}; there are {', '.join(known)}")
    return known[name]


def cutoffs(k: int) -> list[int]:
    """The protocol's cut-offs as far as the list length allows, and the list length itself."""
    return sorted({c for c in CUTOFFS if c <= k} | {k})


def candidate_metrics(candidates: int) -> list[str]:
    """Names of the retrieval metrics of a run that records so many candidates per turn; empty where it records none."""
    return [f"candidate-recall@{c}" for c in CANDIDATE_CUTOFFS if c <= candidates]


def default_metrics(k: int, turns: int) -> list[str]:
    """Names of the metrics of a run, by family: ranking, interaction, recommender, simulator, cost."""
    names = [f"{metric}@{c}" for metric in ("ndcg", "recall", "hr", "mrr") for c in cutoffs(k)]
    if turns > 1:
        names += ["success", "sr", "at", "interaction-gain"]
    names += ["repetition", "coverage", "gini", "novelty", "diversity", "ooc", "validity"]
    if turns > 1:
        names += [
            "attribute-precision", "attribute-recall", "attribute-f1", "accept-precision", "accept-recall", "polarity",
            "contradiction", "leak-rate", "distinct-1", "distinct-2", "agreement",
        ]  # fmt: skip
    return [*names, "llm-calls", "prompt-tokens", "completion-tokens", "cost", "seconds"]
