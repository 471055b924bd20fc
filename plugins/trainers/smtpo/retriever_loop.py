"""The epochs of the retriever's training: losses, validation, checkpoints.

All randomness comes from (seed, epoch), and an epoch starts from what the checkpoint holds: a killed training goes on to
the same weights, bit for bit on one machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.api import Conversation
from harness.errors import UsageError

from ...recommenders.dualview import files
from ...recommenders.dualview.batches import collate
from ...recommenders.dualview.collaborative import item_vectors
from ...recommenders.dualview.encoder import Encoder
from ...recommenders.dualview.features import Features
from ...recommenders.dualview.items import key, tables, with_popularity
from ...recommenders.dualview.losses import alignment, info_nce
from ...recommenders.dualview.model import DualView, Shape
from ...recommenders.dualview.vocabulary import Tokens, Vocabulary
from ...recommenders.reading import Reader
from ...recommenders.training import mention_counts
from .context import StageContext
from .failures import finite
from .retriever_checkpoint import Checkpoint
from .retriever_data import Example, examples, fold_of
from .retriever_world import Ints, World, thinned, unknown_items

_FIRST = 500_000
"""Number of the first fresh catalogue of seed 0; other stages count from elsewhere."""
_ROWS = 256
_BLOCK = 2_048


class Loop:
    """One training. `curve` has a point per epoch, `best` the best one's numbers."""

    curve: list[dict[str, Any]]
    best: dict[str, Any]

    def __init__(self, context: StageContext, settings: Any) -> None:
        self.context, self.settings = context, settings
        torch.set_num_threads(settings.threads)
        catalogue, training = context.train.catalogue, context.train.training
        reader = Reader(catalogue)
        texts = [reader.read(m).words + reader.read(m).negative for d in training for m in d.messages]
        self.vocabulary = Vocabulary.of(texts, catalogue, least=settings.least, buckets=settings.buckets)
        self.tokens = Tokens(self.vocabulary, catalogue)
        self.encoder = None if settings.encoder is None else Encoder(settings.encoder)
        self._collaborative()
        self.world = World(
            catalogue, examples(context.train, settings.folds), training, self.tokens, self.held, self.given, settings,
            context.seed, self.encoder,
        )  # fmt: skip
        self.checks = examples(context.validation, settings.folds)
        encoder_size = 0 if self.encoder is None else int(self.encoder(["."]).shape[1])
        self.shape = Shape(
            size=settings.size, heads=settings.heads, item_size=self.held.given.shape[1], neighbours=settings.neighbours,
            views=settings.views, fusion=settings.fusion, encoder_size=encoder_size,
        )  # fmt: skip
        torch.manual_seed(context.seed)
        self.model = DualView(self.shape, self.vocabulary, self.tokens, settings.dropout)
        self.optimizer = torch.optim.AdamW(_groups(self.model, settings), lr=settings.lr, betas=(0.9, 0.98))
        self.curve, self.best = [], {}

    def _collaborative(self) -> None:
        s, catalogue, training = self.settings, self.context.train.catalogue, self.context.train.training
        folds = [fold_of(dialogue.id, s.folds) for dialogue in training]
        vectors = item_vectors(
            catalogue, training, folds, kind=s.collaborative, size=s.item_size, l2=s.l2, disliked=s.disliked,
            seed=self.context.seed,
        )  # fmt: skip
        self.vectors = with_popularity(vectors, mention_counts(catalogue, training))
        self.keys = tuple(key(item.id, item.title) for item in catalogue)
        known = {k: row for row, k in enumerate(self.keys)}
        self.held = tables(catalogue, self.tokens, known, self.vectors.given, self.vectors.found, s.neighbours)
        whole = np.broadcast_to(self.vectors.given, (s.folds + 1, *self.vectors.given.shape)).copy()
        whole[: len(self.vectors.folds)] = self.vectors.folds
        self.given = torch.from_numpy(whole)

    # ------------------------------------------------------------------------------------------------ epochs

    def train(self) -> None:
        """All epochs that are left."""
        checkpoint = Checkpoint(self.context.work)
        start, since, self.world.mined = checkpoint.load(self.model, self.optimizer) or (0, 0, self.world.mined)
        self.curve, self.best = checkpoint.curve, checkpoint.best
        for epoch in range(start, self.settings.epochs):
            if since >= self.settings.patience:
                break
            started = time.process_time()
            loss = self._epoch(epoch)
            items = self._item_vectors()
            self.world.mined = self._mine(items)
            point = {"epoch": epoch + 1, "loss": loss, **self._validate(items)}
            point["cpu_seconds"] = round(time.process_time() - started, 1)
            self.curve.append(point)
            since += 1
            if not self.best or point["score"] > self.best["score"]:
                since, self.best = 0, point
                checkpoint.keep(self.model)
            self.context.log(**point)
            self.context.step(epoch + 1, self.settings.epochs, **{k: v for k, v in point.items() if k != "epoch"})
            checkpoint.save(self.model, self.optimizer, epoch + 1, since, self.world.mined, self.curve, self.best)
        checkpoint.restore_best(self.model)

    def _epoch(self, epoch: int) -> float:
        s, world = self.settings, self.world
        rng = Random(f"{self.context.seed}:{epoch}")
        torch.manual_seed(rng.getrandbits(62))
        draw = np.random.default_rng(rng.getrandbits(62))
        fresh = self._fresh(epoch) if s.fresh else None
        order = draw.permutation(len(world.rows))
        steps = max(1, len(order) // s.batch)
        self.model.train()
        total = 0.0
        for step, part in enumerate(np.array_split(order, steps)):
            for group in self.optimizer.param_groups:
                group["lr"] = s.lr * _schedule(epoch + step / steps, s.epochs)
            loss = self._loss(world, part, rng, draw)
            if fresh is not None and step % 2 == 0:
                loss = loss + self._loss(fresh, draw.permutation(len(fresh.rows))[: s.batch], rng, draw)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            total += finite(float(loss.detach()), "loss", epoch * steps + step)
        return total / steps

    def _fresh(self, epoch: int) -> World:
        """Dialogues about a catalogue that was dealt anew: nothing but the text view can help there."""
        if self.context.resources is None:
            raise UsageError("stage retriever: fresh catalogues need the trainer that runs the stages")
        s = self.settings
        number = _FIRST + 1_000 * self.context.seed + epoch
        try:
            split = self.context.resources.split("train", {"fresh": number, "users": s.fresh})
        except UsageError as error:
            raise UsageError(f"{self.context.dataset} deals no fresh catalogues ({error}): set retriever.fresh=0") from None
        tokens = Tokens(self.vocabulary, split.catalogue)
        size = self.shape.item_size
        held = unknown_items(split.catalogue, self.tokens, size, s.neighbours)
        given = torch.zeros(s.folds + 1, len(split.catalogue), size)
        return World(
            split.catalogue, examples(split, s.folds), (), tokens, held, given, s, self.context.seed + epoch, self.encoder
        )  # fmt: skip

    def _loss(self, world: World, numbers: Ints, rng: Random, draw: np.random.Generator) -> Tensor:
        s, model = self.settings, self.model
        known = world is self.world
        rows = [world.row(int(n), rng, bare=s.bare if known and s.views != "semantic" else 0.0) for n in numbers]
        batch = collate([thinned(row.features, s.token_dropout, s.mention_dropout, draw) for row in rows])
        table = model.table(torch.from_numpy((draw.random(self.tokens.known) >= s.cold).astype(np.float32)))
        e = model.texts(batch, table, items=False, outside=world.outside([row.conversation for row in rows]))
        fold = torch.tensor([row.fold for row in rows])[batch.mentions_of]
        queries = model.queries(e, batch, world.given[fold, batch.mentions], table)

        targets = np.array([row.target for row in rows])
        pool = world.pool(targets, draw)
        # Where all items are negatives already, there is nothing to add.
        count = 0 if len(pool) == len(world.catalogue) else min(s.hard, world.mined.shape[1])
        hard = np.array([rng.sample(list(world.mined[n]), count) for n in numbers], dtype=np.int64).reshape(len(rows), count)
        everything = np.unique(np.concatenate([pool, targets, hard.ravel()]))
        item_batch, outside = world.item_batch(everything)
        texts = model.texts(item_batch, table, items=True, outside=outside)
        cold = draw.random(len(everything)) < s.cold
        vectors = model.items(texts, world.found, torch.from_numpy(world.held.beside(everything, cold)))

        def at(items: Ints) -> Tensor:
            return vectors[torch.from_numpy(np.searchsorted(everything, items))]

        place = {int(item): n for n, item in enumerate(pool)}
        banned = np.zeros((len(rows), len(pool)), dtype=bool)
        for n, row in enumerate(rows):
            banned[n, [place[item] for item in row.spared if item in place]] = True
        twice = np.array(
            [[int(item) in row.spared or int(item) in place for item in own] for row, own in zip(rows, hard, strict=True)]
        )
        loss = info_nce(
            queries,
            at(targets),
            at(pool),
            torch.from_numpy(banned),
            tau=s.tau,
            hard=at(hard) if count else None,
            hard_banned=torch.from_numpy(twice) if count else None,
            log_chance=world.log_chance(pool, len(rows)),
        )
        if known and s.alignment and s.views == "both":
            warm = np.flatnonzero(np.abs(world.held.found[everything]).sum(1) > 0)[:: max(1, len(everything) // s.batch)]
            items = world.found[torch.from_numpy(everything[warm])]
            loss = loss + s.alignment * alignment(model.align_text(texts[warm]), model.align_item(items), tau=s.tau)
        return loss

    # ---------------------------------------------------------------------------------- lists and validation

    @torch.no_grad()
    def _item_vectors(self) -> Tensor:
        self.model.eval()
        table, world = self.model.table(), self.world
        parts = []
        for start in range(0, len(world.catalogue), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(world.catalogue)))
            batch, outside = world.item_batch(rows)
            e = self.model.texts(batch, table, items=True, outside=outside)
            parts.append(self.model.items(e, world.found, torch.from_numpy(world.held.beside(rows))))
        return torch.cat(parts)

    @torch.no_grad()
    def _scores(
        self, rows: Sequence[Example], features: Sequence[Features], items: Tensor, *, known: bool,
        conversations: Sequence[Conversation] | None = None,
    ) -> Iterator[Tensor]:  # fmt: skip
        """Scores of all items in batches of rows; `known`: the rows are of the train split, whose own fold is left out."""
        table = self.model.table()
        for start in range(0, len(rows), _ROWS):
            some, read = rows[start : start + _ROWS], features[start : start + _ROWS]
            batch = collate(read)
            told = [row.conversation() for row in some] if conversations is None else conversations[start : start + _ROWS]
            e = self.model.texts(batch, table, items=False, outside=self.world.outside(told))
            fold = torch.tensor([row.fold if known else len(self.given) - 1 for row in some])[batch.mentions_of]
            scores = self.model.queries(e, batch, self.given[fold, batch.mentions], table) @ items.T
            for at, one in enumerate(read):
                scores[at, one.mentions] = -torch.inf
            yield scores

    def _mine(self, items: Tensor) -> Ints:
        """For each train row its best items that are neither targets nor spared."""
        found, at = [], 0
        for scores in self._scores(self.world.rows, self.world.fixed, items, known=True):
            for line, row in zip(scores, self.world.rows[at : at + len(scores)], strict=True):
                line[[*row.targets, *row.spared]] = -torch.inf
            at += len(scores)
            found.append(scores.topk(min(self.settings.mine, scores.shape[1]), dim=1).indices.numpy())
        return np.concatenate(found)

    def _validate(self, items: Tensor) -> dict[str, float]:
        """NDCG@10, recall@10 and recall@50 on validation: from the context, and after two made rounds. `score` is the mean
        of NDCG@10 and recall@50 of both."""
        self.model.eval()
        read = self.world.featuriser.conversation
        first = torch.cat(
            list(self._scores(self.checks, [read(row.conversation()) for row in self.checks], items, known=False))
        )
        values = measure(first, self.checks)
        later = []
        for at, (row, scores) in enumerate(zip(self.checks, first, strict=True)):
            shown = scores.topk(min(50, len(scores))).indices.tolist()
            later.append(row.conversation(self.world.feedback.turns(row, shown, 2, Random(f"validation:{at}"))))
        again = self._scores(self.checks, [read(talk) for talk in later], items, known=False, conversations=later)
        values |= {f"{name} after feedback": value for name, value in measure(torch.cat(list(again)), self.checks).items()}
        parts = [value for name, value in values.items() if name.startswith(("ndcg@10", "recall@50"))]
        return {"score": round(sum(parts) / len(parts), 6), **values}

    def write(self, folder: Path) -> None:
        """The artefact's files."""
        config = files.Config(shape=self.shape, vocabulary=self.vocabulary, items=self.keys, encoder=self.settings.encoder)
        files.write(folder, config, self.model.state_dict(), self.vectors.given, self.vectors.found)


def _groups(model: DualView, settings: Any) -> list[dict[str, Any]]:
    """Weight decay: what tokens learn of their own, other matrices, and none for the rest."""
    tokens = [p for name, p in model.tokens.named_parameters() if name != "facet_scale"]
    others = [p for p in model.parameters() if all(p is not token for token in tokens)]
    return [
        {"params": tokens, "weight_decay": settings.token_decay},
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _schedule(epoch: float, epochs: int) -> float:
    """Linear warm-up over half an epoch, then a cosine to 0.05."""
    warm = min(1.0, (epoch + 1e-3) / 0.5)
    return float(warm * (0.05 + 0.95 * 0.5 * (1.0 + np.cos(np.pi * min(1.0, epoch / epochs)))))


def measure(scores: Tensor, rows: Sequence[Example]) -> dict[str, float]:
    """Means over rows of NDCG@10 and recall at 10 and 50. `scores` (rows, items)."""
    totals = {"ndcg@10": 0.0, "recall@10": 0.0, "recall@50": 0.0}
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, 12)))
    for row, line in zip(rows, scores, strict=True):
        ranks = [int((line > line[target]).sum()) + 1 for target in row.targets]
        gains = sum(1.0 / np.log2(rank + 1) for rank in ranks if rank <= 10)
        totals["ndcg@10"] += float(gains / ideal[min(len(ranks), 10) - 1])
        for k in (10, 50):
            totals[f"recall@{k}"] += sum(rank <= k for rank in ranks) / len(ranks)
    return {name: round(total / max(len(rows), 1), 4) for name, total in totals.items()}
