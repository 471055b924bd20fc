"""A catalogue with the rows that are learned from in it, numbered for the model; and the batches made of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Catalogue, Conversation, Message, TrainingDialogue
from harness.errors import DataError

from ...recommenders.dualview.batches import Batch, collate
from ...recommenders.dualview.encoder import Encoder, conversation_text, item_text
from ...recommenders.dualview.features import Features, Featuriser
from ...recommenders.dualview.items import ItemTables
from ...recommenders.dualview.vocabulary import Tokens
from ...recommenders.training import dialogue_items, mention_counts
from .retriever_data import Example, Feedback, fold_of

Ints = NDArray[np.int64]
_SCRIPTS = 3


class Row(msgspec.Struct, frozen=True):
    """What one row of a batch shows, what is to be found, and which items are no negatives."""

    features: Features
    target: int
    spared: set[int]
    fold: int
    conversation: Conversation


class World:
    """`mined` holds for each row its best items that are neither targets nor spared, best first: hard negatives, and what made
    lists show. At first it is the most mentioned ones."""

    def __init__(
        self,
        catalogue: Catalogue,
        rows: Sequence[Example],
        training: Sequence[TrainingDialogue],
        tokens: Tokens,
        held: ItemTables,
        given: Tensor,
        settings: Any,
        seed: int,
        encoder: Encoder | None = None,
    ) -> None:
        """`given` (folds + 1, items, size): collaborative vectors of named items without each fold, and whole."""
        self.catalogue, self.rows, self.held, self.given = catalogue, rows, held, given
        self.settings, self.seed, self.encoder = settings, seed, encoder
        self.found = torch.from_numpy(held.found)
        self.featuriser = Featuriser(catalogue, tokens, text=encoder is None, remember=200_000)
        self.feedback = Feedback(catalogue, self.featuriser.reader)
        self.items = [self.featuriser.item(item) for item in catalogue]
        self.fixed = [self.featuriser.conversation(row.conversation()) for row in rows]
        signed = [(dialogue_items(catalogue, d), fold_of(d.id, settings.folds)) for d in training]
        self.sets = [(items, fold) for items, fold in signed if len(items) > 1 and max(items.values()) > 0]
        best = np.argsort(-mention_counts(catalogue, training), kind="stable")[: settings.mine]
        self.mined: Ints = np.tile(best, (len(rows), 1))
        counts = np.zeros(len(catalogue))
        for row in rows:
            counts[list(row.targets)] += 1.0 / len(row.targets)
        self._target_share = counts / max(len(rows), 1)

    # ------------------------------------------------------------------------------------------------- rows

    def row(self, number: int, rng: Random, *, bare: float) -> Row:
        """The row as it is, continued by feedback, or at times (`bare`) a random dialogue's items in its place."""
        row = self.rows[number]
        if self.sets and rng.random() < bare:
            return _bare(rng.choice(self.sets), rng)
        turns = self._continued(number, rng)
        conversation = row.conversation(turns or ())
        features = self.fixed[number] if turns is None else self.featuriser.conversation(conversation)
        spared = {*row.spared, *row.targets, *features.mentions.tolist()}
        return Row(features, rng.choice(row.targets), spared, row.fold, conversation)

    def _continued(self, number: int, rng: Random) -> list[Message] | None:
        """Made later turns, or None for the row as it is."""
        if rng.random() >= self.settings.feedback:
            return None
        # A few scripts per row: what was read once need not be read again.
        script = Random(f"{self.seed}:{number}:{rng.randrange(_SCRIPTS)}")
        rounds = rng.randint(1, self.settings.rounds)
        made = self.feedback.unsure if script.random() < self.settings.unsure else self.feedback.turns
        return made(self.rows[number], self.mined[number].tolist(), rounds, script)

    # --------------------------------------------------------------------------------------------- batches

    def pool(self, targets: Ints, draw: np.random.Generator) -> Ints:
        """The negatives that all rows share: the other rows' targets and drawn items; all items of a small catalogue."""
        count = len(self.catalogue)
        if count <= self.settings.drawn:
            return np.arange(count)
        return np.unique(np.concatenate([targets, draw.choice(count, self.settings.drawn, replace=False)]))

    def log_chance(self, pool: Ints, rows: int) -> Tensor | None:
        """Of each item of the pool, to stand in it; None where all items do."""
        if len(pool) == len(self.catalogue):
            return None
        missed = (1.0 - self._target_share[pool]) ** rows * (1.0 - self.settings.drawn / len(self.catalogue))
        return torch.from_numpy(np.log(1.0 - missed).astype(np.float32))

    def item_batch(self, rows: Ints) -> tuple[Batch, Tensor | None]:
        """Items' features, and what the sentence encoder makes of them."""
        batch = collate([self.items[row] for row in rows])
        if self.encoder is None:
            return batch, None
        return batch, torch.from_numpy(self.encoder([item_text(self.catalogue[int(row)]) for row in rows]))

    def outside(self, conversations: Sequence[Conversation]) -> Tensor | None:
        """What the sentence encoder makes of conversations."""
        if self.encoder is None:
            return None
        return torch.from_numpy(self.encoder([conversation_text(c) for c in conversations]))


def unknown_items(catalogue: Catalogue, tokens: Tokens, size: int, neighbours: int) -> ItemTables:
    """Tables of a catalogue none of whose items has vectors. Raises DataError where it has values that `tokens` lacks."""
    if any(tokens.value(f, v) is None for item in catalogue for f, held in item.attributes.items() for v in held):
        raise DataError("stage retriever: a fresh catalogue has attribute values that the training catalogue lacks")
    count = len(catalogue)
    nobody = np.full((count, neighbours), count, dtype=np.int64)
    return ItemTables(np.zeros((count, size), np.float32), np.zeros((count + 1, size), np.float32), nobody, nobody)


def thinned(features: Features, tokens: float, mentions: float, draw: np.random.Generator) -> Features:
    """Some tokens and mentions left out; at times all mentions, so that the null token is learned."""
    kept = draw.random(len(features.tokens)) >= tokens
    held = draw.random(len(features.mentions)) >= (1.0 if draw.random() < mentions / 2 else mentions)
    place = np.cumsum(held) - 1
    about = held[features.reacted]
    return Features(
        features.tokens[kept], features.contexts[kept], features.ages[kept],
        features.mentions[held], features.kinds[held], features.segments[held],
        features.reactions[about], place[features.reacted[about]],
    )  # fmt: skip


def _bare(chosen: tuple[dict[int, int], int], rng: Random) -> Row:
    """A liked item of a dialogue, to be found by some of the dialogue's other items, and no word."""
    items, fold = chosen
    target = rng.choice([row for row, sign in items.items() if sign > 0])
    others = [row for row in items if row != target]
    shown = rng.sample(others, rng.randint(1, min(6, len(others))))
    none = np.zeros(0, dtype=np.int64)
    kinds = np.array([int(items[row] < 0) for row in shown], dtype=np.int64)
    features = Features(none, none, none, np.array(shown, dtype=np.int64), kinds, np.zeros_like(kinds), none, none)
    return Row(features, target, set(items), fold, Conversation(()))
