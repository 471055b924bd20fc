"""The epochs of the retriever's training: batches, losses, validation, checkpoints.

All randomness comes from (seed, epoch), and an epoch starts from what the checkpoint holds: a killed training goes on to
the same weights, bit for bit on one machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.api import Conversation

from ...recommenders.dualview import files
from ...recommenders.dualview.collaborative import item_vectors
from ...recommenders.dualview.encoder import Encoder, conversation_text, item_text
from ...recommenders.dualview.features import Features, Featuriser
from ...recommenders.dualview.items import key, tables, with_popularity
from ...recommenders.dualview.losses import alignment, info_nce
from ...recommenders.dualview.model import Batch, DualView, Shape, collate
from ...recommenders.dualview.vocabulary import Tokens, Vocabulary
from ...recommenders.reading import Reader
from ...recommenders.training import dialogue_items, mention_counts
from .context import StageContext
from .failures import finite
from .retriever_checkpoint import Checkpoint
from .retriever_data import Example, Feedback, examples, fold_of

Ints = NDArray[np.int64]
_SCRIPTS = 3


class _Row(msgspec.Struct, frozen=True):
    """What one row of a batch shows, what is to be found, and which items are no negatives."""

    features: Features
    target: int
    spared: set[int]
    fold: int
    conversation: Conversation


class Loop:
    """One training. `curve` has a point per epoch, `best` the best one's numbers."""

    curve: list[dict[str, Any]]
    best: dict[str, Any]

    def __init__(self, context: StageContext, settings: Any) -> None:
        self.context, self.settings = context, settings
        torch.set_num_threads(settings.threads)
        self.catalogue = context.train.catalogue
        self.rows = examples(context.train, settings.folds)
        self.checks = examples(context.validation, settings.folds)
        self.feedback = Feedback(self.catalogue)
        reader = Reader(self.catalogue)
        texts = [reader.read(m).words + reader.read(m).negative for d in context.train.training for m in d.messages]
        self.vocabulary = Vocabulary.of(texts, self.catalogue, least=settings.least, buckets=settings.buckets)
        self.tokens = Tokens(self.vocabulary, self.catalogue)
        self.encoder = None if settings.encoder is None else Encoder(settings.encoder)
        self.featuriser = Featuriser(self.catalogue, self.tokens, text=self.encoder is None, remember=200_000)
        self._collaborative()
        encoder_size = 0 if self.encoder is None else int(self.encoder(["."]).shape[1])
        self.shape = Shape(
            size=settings.size, heads=settings.heads, item_size=self.held.given.shape[1], neighbours=settings.neighbours,
            views=settings.views, fusion=settings.fusion, encoder_size=encoder_size,
        )  # fmt: skip
        torch.manual_seed(context.seed)
        self.model = DualView(self.shape, self.vocabulary, self.tokens, settings.dropout)
        tokens = {p for name, p in self.model.tokens.named_parameters() if name != "facet_scale"}
        decayed = [p for p in self.model.parameters() if p.ndim > 1 and p not in tokens]
        plain = [p for p in self.model.parameters() if p.ndim <= 1 and p not in tokens]
        groups = [
            {"params": [p for p in self.model.parameters() if p in tokens], "weight_decay": settings.token_decay},
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98))
        self.item_features = [self.featuriser.item(item) for item in self.catalogue]
        signed = [(dialogue_items(self.catalogue, d), fold_of(d.id, settings.folds)) for d in context.train.training]
        self.sets = [(items, fold) for items, fold in signed if len(items) > 1 and max(items.values()) > 0]
        self.fixed = [self.featuriser.conversation(row.conversation()) for row in self.rows]
        self.curve, self.best = [], {}

    def _collaborative(self) -> None:
        s, training = self.settings, self.context.train.training
        folds = [fold_of(dialogue.id, s.folds) for dialogue in training]
        vectors = item_vectors(
            self.catalogue, training, folds, kind=s.collaborative, size=s.item_size, l2=s.l2, disliked=s.disliked,
            seed=self.context.seed,
        )  # fmt: skip
        vectors = with_popularity(vectors, mention_counts(self.catalogue, training))
        self.vectors = vectors
        self.keys = tuple(key(item.id, item.title) for item in self.catalogue)
        known = {k: row for row, k in enumerate(self.keys)}
        self.held = tables(self.catalogue, self.tokens, known, vectors.given, vectors.found, s.neighbours)
        self.given = torch.from_numpy(np.concatenate([vectors.folds, vectors.given[None]]))
        """(folds + 1, items, size): without each fold, and whole."""
        self.found = torch.from_numpy(self.held.found)

    # ------------------------------------------------------------------------------------------------ epochs

    def train(self) -> None:
        """All epochs that are left."""
        checkpoint = Checkpoint(self.context.work)
        start, since, self.mined = checkpoint.load(self.model, self.optimizer) or (0, 0, self._popular())
        self.curve, self.best = checkpoint.curve, checkpoint.best
        for epoch in range(start, self.settings.epochs):
            if since >= self.settings.patience:
                break
            started = time.process_time()
            loss = self._epoch(epoch)
            items = self._item_vectors()
            self.mined = self._mine(items)
            point = {"epoch": epoch + 1, "loss": loss, **self._validate(items)}
            point["cpu_seconds"] = round(time.process_time() - started, 1)
            self.curve.append(point)
            since += 1
            if not self.best or point["score"] > self.best["score"]:
                since, self.best = 0, point
                checkpoint.keep(self.model)
            self.context.log(**point)
            self.context.step(epoch + 1, self.settings.epochs, **{k: v for k, v in point.items() if k != "epoch"})
            checkpoint.save(self.model, self.optimizer, epoch + 1, since, self.mined, self.curve, self.best)
        checkpoint.restore_best(self.model)

    def _epoch(self, epoch: int) -> float:
        s = self.settings
        rng = Random(f"{self.context.seed}:{epoch}")
        torch.manual_seed(rng.getrandbits(62))
        draw = np.random.default_rng(rng.getrandbits(62))
        order = draw.permutation(len(self.rows))
        steps = max(1, len(order) // s.batch)
        self.model.train()
        total = 0.0
        for step, part in enumerate(np.array_split(order, steps)):
            for group in self.optimizer.param_groups:
                group["lr"] = s.lr * _schedule(epoch + step / steps, s.epochs)
            loss = self._loss([int(n) for n in part], rng, draw)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            total += finite(float(loss.detach()), "loss", epoch * steps + step)
        return total / steps

    def _loss(self, numbers: Sequence[int], rng: Random, draw: np.random.Generator) -> Tensor:
        s = self.settings
        rows = [self._row(n, rng) for n in numbers]
        batch = collate([_thinned(row.features, s.token_dropout, s.mention_dropout, draw) for row in rows])
        keep = torch.from_numpy((draw.random(self.tokens.known) >= s.cold).astype(np.float32))
        table = self.model.table(keep)
        outside = self._outside([row.conversation for row in rows])
        e = self.model.texts(batch, table, items=False, outside=outside)
        fold = torch.tensor([row.fold for row in rows])[batch.mentions_of]
        queries = self.model.queries(e, batch, self.given[fold, batch.mentions], table)

        targets = np.array([row.target for row in rows])
        hard = np.array([rng.sample(list(self.mined[n]), s.hard) for n in numbers]).reshape(len(rows), s.hard)
        pool = self._pool(targets, draw)
        if len(pool) == len(self.catalogue):
            hard = hard[:, :0]  # all of them are negatives already
        everything = np.unique(np.concatenate([pool, targets, hard.ravel()]))
        cold = draw.random(len(everything)) < s.cold
        batch_of_items = self._items(everything)
        texts = self.model.texts(batch_of_items, table, items=True, outside=self._outside_items(everything))
        vectors = self.model.items(texts, self.found, torch.from_numpy(self.held.beside(everything, cold)))

        shared = torch.from_numpy(np.searchsorted(everything, pool))
        banned = np.zeros((len(rows), len(pool)), dtype=bool)
        hard_banned = np.zeros(hard.shape, dtype=bool)
        where = {int(row): at for at, row in enumerate(pool)}
        in_pool = np.isin(hard, pool)
        for at, row in enumerate(rows):
            banned[at, [where[r] for r in row.spared if r in where]] = True
            hard_banned[at] = [int(r) in row.spared for r in hard[at]]
        loss = info_nce(
            queries,
            vectors[torch.from_numpy(np.searchsorted(everything, targets))],
            vectors[shared],
            torch.from_numpy(banned),
            tau=s.tau,
            hard=vectors[torch.from_numpy(np.searchsorted(everything, hard))] if hard.size else None,
            hard_banned=torch.from_numpy(hard_banned | in_pool) if hard.size else None,
            log_chance=self._log_chance(pool, len(rows)),
        )
        if s.alignment and s.views == "both":
            warm = np.flatnonzero(np.abs(self.held.found[everything]).sum(1) > 0)[:: max(1, len(everything) // s.batch)]
            items = self.found[torch.from_numpy(everything[warm])]
            aligned = alignment(self.model.align_text(texts[warm]), self.model.align_item(items), tau=s.tau)
            loss = loss + s.alignment * aligned
        return loss

    def _row(self, number: int, rng: Random) -> _Row:
        """The row as it is, continued by feedback, or at times a random dialogue's mentions in its place."""
        row = self.rows[number]
        if rng.random() < self.settings.bare and self.sets:
            return _bare(rng.choice(self.sets), rng)
        turns = self._continued(number, rng)
        conversation = row.conversation(turns or ())
        features = self.fixed[number] if turns is None else self.featuriser.conversation(conversation)
        spared = {*row.spared, *row.targets, *features.mentions.tolist()}
        return _Row(features, rng.choice(row.targets), spared, row.fold, conversation)

    def _continued(self, number: int, rng: Random) -> list[Any] | None:
        """Made later turns, or None for the row as it is."""
        if rng.random() >= self.settings.feedback:
            return None
        # A few scripts per row: what was read once need not be read again.
        script = Random(f"{self.context.seed}:{number}:{rng.randrange(_SCRIPTS)}")
        rounds = rng.randint(1, self.settings.rounds)
        return self.feedback.turns(self.rows[number], self.mined[number].tolist(), rounds, script)

    def _pool(self, targets: Ints, draw: np.random.Generator) -> Ints:
        """The negatives that all rows share: the other rows' targets and drawn items; all items of a small catalogue."""
        if len(self.catalogue) <= self.settings.drawn:
            return np.arange(len(self.catalogue))
        drawn = draw.choice(len(self.catalogue), self.settings.drawn, replace=False)
        return np.unique(np.concatenate([targets, drawn]))

    def _log_chance(self, pool: Ints, rows: int) -> Tensor | None:
        if len(pool) == len(self.catalogue):
            return None
        missed = (1.0 - self._target_share()[pool]) ** rows * (1.0 - self.settings.drawn / len(self.catalogue))
        return torch.from_numpy(np.log(1.0 - missed).astype(np.float32))

    def _target_share(self) -> NDArray[np.float64]:
        counts = np.zeros(len(self.catalogue))
        for row in self.rows:
            counts[list(row.targets)] += 1.0 / len(row.targets)
        return counts / len(self.rows)

    def _items(self, rows: Ints) -> Batch:
        return collate([self.item_features[row] for row in rows])

    def _outside(self, conversations: Sequence[Any]) -> Tensor | None:
        if self.encoder is None:
            return None
        return torch.from_numpy(self.encoder([conversation_text(c) for c in conversations]))

    def _outside_items(self, rows: Ints) -> Tensor | None:
        if self.encoder is None:
            return None
        return torch.from_numpy(self.encoder([item_text(self.catalogue[int(row)]) for row in rows]))

    # ---------------------------------------------------------------------------------- lists and validation

    @torch.no_grad()
    def _item_vectors(self) -> Tensor:
        self.model.eval()
        table = self.model.table()
        parts = []
        for rows in np.array_split(np.arange(len(self.catalogue)), max(1, len(self.catalogue) // 2048)):
            e = self.model.texts(self._items(rows), table, items=True, outside=self._outside_items(rows))
            parts.append(self.model.items(e, self.found, torch.from_numpy(self.held.beside(rows))))
        return torch.cat(parts)

    @torch.no_grad()
    def _scores(
        self, rows: Sequence[Example], features: Sequence[Features], items: Tensor, *, known: bool, conversations: Any = None
    ) -> Iterator[Tensor]:
        """Scores of all items in batches of rows; `known`: the rows are of the train split, whose own fold is left out."""
        table = self.model.table()
        for start in range(0, len(rows), 256):
            some = rows[start : start + 256]
            batch = collate(features[start : start + 256])
            told = [row.conversation() for row in some] if conversations is None else conversations[start : start + 256]
            e = self.model.texts(batch, table, items=False, outside=self._outside(told))
            fold = torch.tensor([row.fold if known else len(self.given) - 1 for row in some])[batch.mentions_of]
            z = self.model.queries(e, batch, self.given[fold, batch.mentions], table)
            scores = z @ items.T
            for at, features_of in enumerate(features[start : start + 256]):
                scores[at, features_of.mentions] = -torch.inf
            yield scores

    def _mine(self, items: Tensor) -> Ints:
        """For each train row its best items that are neither targets nor spared."""
        found = []
        rows = iter(self.rows)
        for scores in self._scores(self.rows, self.fixed, items, known=True):
            for at in range(len(scores)):
                row = next(rows)
                scores[at, [*row.targets, *row.spared]] = -torch.inf
            found.append(scores.topk(min(self.settings.mine, scores.shape[1]), dim=1).indices.numpy())
        return np.concatenate(found)

    def _popular(self) -> Ints:
        best = np.argsort(-mention_counts(self.catalogue, self.context.train.training), kind="stable")[: self.settings.mine]
        return np.tile(best, (len(self.rows), 1))

    def _validate(self, items: Tensor) -> dict[str, float]:
        """NDCG@10, recall@10 and recall@50 on validation: from the context, and after two made rounds. `score` is the mean
        of NDCG@10 and recall@50 of both."""
        self.model.eval()
        features = [self.featuriser.conversation(row.conversation()) for row in self.checks]
        first = list(self._scores(self.checks, features, items, known=False))
        values = {f"{name}": value for name, value in _measure(first, self.checks).items()}
        later, conversations = [], []
        for at, (row, scores) in enumerate(zip(self.checks, torch.cat(first), strict=True)):
            shown = scores.topk(min(50, len(scores))).indices.tolist()
            turns = self.feedback.turns(row, shown, 2, Random(f"validation:{at}"))
            conversations.append(row.conversation(turns))
            later.append(self.featuriser.conversation(conversations[-1]))
        again = _measure(list(self._scores(self.checks, later, items, known=False, conversations=conversations)), self.checks)
        values |= {f"{name} after feedback": value for name, value in again.items()}
        parts = [v for name, v in values.items() if name.startswith(("ndcg@10", "recall@50"))]
        return {"score": round(sum(parts) / len(parts), 6), **values}

    def write(self, folder: Path) -> None:
        """The artefact's files."""
        config = files.Config(shape=self.shape, vocabulary=self.vocabulary, items=self.keys, encoder=self.settings.encoder)
        files.write(folder, config, self.model.state_dict(), self.vectors.given, self.vectors.found)


def _bare(chosen: tuple[dict[int, int], int], rng: Random) -> _Row:
    """A liked item of a dialogue, to be found by some of the dialogue's other items, and no word."""
    items, fold = chosen
    target = rng.choice([row for row, sign in items.items() if sign > 0])
    others = [row for row in items if row != target]
    shown = rng.sample(others, rng.randint(1, min(6, len(others))))
    none = np.zeros(0, dtype=np.int64)
    kinds = np.array([int(items[row] < 0) for row in shown], dtype=np.int64)
    features = Features(none, none, none, np.array(shown, dtype=np.int64), kinds, np.zeros_like(kinds), none, none)
    return _Row(features, target, set(items), fold, Conversation(()))


def _schedule(epoch: float, epochs: int) -> float:
    """Linear warm-up over half an epoch, then a cosine to 0.05."""
    warm = min(1.0, (epoch + 1e-3) / 0.5)
    return float(warm * (0.05 + 0.95 * 0.5 * (1.0 + np.cos(np.pi * min(1.0, epoch / epochs)))))


def _thinned(features: Features, tokens: float, mentions: float, draw: np.random.Generator) -> Features:
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


def _measure(scores: Sequence[Tensor], rows: Sequence[Example]) -> dict[str, float]:
    """Means over rows of NDCG@10 and recall at 10 and 50."""
    totals = {"ndcg@10": 0.0, "recall@10": 0.0, "recall@50": 0.0}
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, 12)))
    for row, line in zip(rows, torch.cat(list(scores)), strict=True):
        ranks = [int((line > line[target]).sum()) + 1 for target in row.targets]
        gains = sum(1.0 / np.log2(rank + 1) for rank in ranks if rank <= 10)
        totals["ndcg@10"] += float(gains / ideal[min(len(ranks), 10) - 1])
        for k in (10, 50):
            totals[f"recall@{k}"] += sum(rank <= k for rank in ranks) / len(ranks)
    return {name: round(total / len(rows), 4) for name, total in totals.items()}
