"""Stage `retriever`: trains the dual-view retriever (`recommenders.dualview`) on the train split, chosen on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from harness import artifactfiles
from harness.errors import DataError

from ...recommenders.dualview import KIND
from ...recommenders.dualview.collaborative import Kind
from ...recommenders.dualview.model import Views
from .context import StageContext


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the retriever. All are [inferred] unless marked: the paper's values are unknown. [measured]: chosen on
    cinema's validation split."""

    size: Annotated[int, msgspec.Meta(ge=4, description="d: dimensions of all vectors")] = 256
    heads: Annotated[int, msgspec.Meta(ge=1, description="heads of the cross-attention; divides size")] = 4
    views: Annotated[Views, msgspec.Meta(description="ablation: both views, or one alone")] = "both"
    fusion: Annotated[Literal["cross-attention", "concat"], msgspec.Meta(description="ablation: how the views are joined")] = (
        "cross-attention"
    )
    encoder: Annotated[
        str | None,
        msgspec.Meta(description="folder or name of a sentence-transformers model that reads the words; else our own"),
    ] = None
    collaborative: Annotated[Kind, msgspec.Meta(description="item vectors: ease (SVD of its matrix) or lightgcn")] = "ease"
    item_size: Annotated[int, msgspec.Meta(ge=1, description="dimensions of the collaborative vectors")] = 48
    l2: Annotated[float, msgspec.Meta(gt=0, description="EASE's lambda")] = 50.0
    disliked: Annotated[float, msgspec.Meta(ge=0, description="weight of a disliked item against a liked one, with minus")] = (
        0.5
    )
    folds: Annotated[
        int, msgspec.Meta(ge=2, description="dialogues learn from collaborative vectors that were made without their fold")
    ] = 5
    neighbours: Annotated[int, msgspec.Meta(ge=0, description="other items that an item's side attends to")] = 4
    tau: Annotated[float, msgspec.Meta(gt=0, description="temperature of InfoNCE")] = 0.05
    alignment: Annotated[float, msgspec.Meta(ge=0, description="weight of the alignment loss")] = 0.1
    hard: Annotated[int, msgspec.Meta(ge=0, description="hard negatives per row, drawn from its own best list")] = 8
    mine: Annotated[int, msgspec.Meta(ge=1, description="length of the best lists; made anew after each epoch")] = 50
    drawn: Annotated[
        int, msgspec.Meta(ge=0, description="items drawn from the catalogue as negatives per step; all of a smaller catalogue")
    ] = 1024
    feedback: Annotated[float, msgspec.Meta(ge=0, le=1, description="share of rows that are continued by made feedback")] = 0.5
    unsure: Annotated[
        float, msgspec.Meta(ge=0, le=1, description="share of them by a seeker that knows no more than its context says")
    ] = 0.5
    rounds: Annotated[int, msgspec.Meta(ge=1, description="made rounds of list and answer, at most")] = 4
    epochs: Annotated[int, msgspec.Meta(ge=1)] = 8
    patience: Annotated[int, msgspec.Meta(ge=1, description="epochs without a better validation score before it stops")] = 5
    batch: Annotated[int, msgspec.Meta(ge=2)] = 384
    lr: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    token_decay: Annotated[float, msgspec.Meta(ge=0, description="weight decay of what tokens learn of their own")] = 1.0
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1, description="of the MLPs")] = 0.3
    token_dropout: Annotated[float, msgspec.Meta(ge=0, lt=1, description="share of a dialogue's tokens left out")] = 0.3
    mention_dropout: Annotated[float, msgspec.Meta(ge=0, lt=1, description="share of a dialogue's mentions left out")] = 0.2
    bare: Annotated[float, msgspec.Meta(ge=0, lt=1, description="share of rows that show items of a dialogue and no text")] = (
        0.25
    )
    cold: Annotated[
        float, msgspec.Meta(ge=0, lt=1, description="share of items, and of values, that are trained as if unseen")
    ] = 0.3
    fresh: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="users of a freshly dealt catalogue per epoch, whose dialogues train the text view as well; 0: none",
        ),
    ] = 0
    least: Annotated[int, msgspec.Meta(ge=1, description="messages that a word must stand in to have its own vector")] = 10
    buckets: Annotated[int, msgspec.Meta(ge=1, description="vectors that all other words share")] = 64
    threads: Annotated[int, msgspec.Meta(ge=1, description="threads of a step on a CPU")] = 1


def run(context: StageContext, settings: Settings, out: Path) -> None:
    """Train, keep the best epoch, write the artefact `out`. Goes on from the last epoch in `context.work`."""
    from .retriever_loop import Loop

    if not context.train.scenarios or not context.train.training:
        raise DataError(f"stage retriever: {context.dataset} has no training dialogues to learn from")
    loop = Loop(context, settings)
    loop.train()
    card = context.card(
        KIND,
        summary="dual-view retriever: text and co-mentions fused by gated cross-attention",
        curves={"validation": loop.curve},
        results=loop.best,
        notes=(
            "later turns were trained on with made feedback: sentences of the trainer's own, from the needs of the train split",
            "collaborative vectors belong to the items of the training catalogue; unseen items have none",
        ),
    )
    with artifactfiles.create(out, card) as folder:
        loop.write(folder)
