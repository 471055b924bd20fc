"""The batch that a local model computes: rows join, get a token per step, and leave when they are done.

What a row says depends on the row alone. Its own generator draws for it, and where batching could turn a choice by rounding,
the choice is made again from the row computed alone: see `Engine._choose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from harness.llm import hf_cache, hf_sampling
from harness.llm.api import LlmError
from harness.llm.hf_load import HfOptions, Loaded
from harness.llm.hf_pattern import Guide, allowed
from harness.llm.hf_prefix import BLOCK, Beginning, PrefixStore, common
from harness.llm.hf_prompt import Prompter

MARGIN = 2e-5
"""How far batching may move a float32 logit, as a part of the row's largest absolute one. What it does move them by is printed
by benchmarks/local_model.py. A choice within the margin costs one more computation of its row."""


IDLE = 1 / 8
"""Part of the batch that may be computed in vain, for rows that are done, before the batch is made anew without them."""

GROUP = 8_192
"""Prompt tokens computed in one forward pass, at most (unless a single prompt is longer): bounds the memory of activations."""

SMALL = 1_024
"""Prompt tokens under which a forward pass is hardly cheaper for having fewer."""


class Row:
    """One answer in the making."""

    def __init__(
        self, prompt: list[int], limit: int, stops: Sequence[str], rule: hf_sampling.Rule, guide: Guide | None = None
    ) -> None:
        self.prompt, self.limit, self.stops, self.rule, self.guide = prompt, limit, stops, rule, guide
        self.said: list[int] = []
        self.text: str | None = None
        self.finish: str | None = None
        self.cancelled = False
        self.begun: Beginning | None = None
        self.known = 0
        """Tokens of the prompt whose keys and values are known from `begun`."""

    @property
    def held(self) -> int:
        """Tokens whose keys and values are computed: all but the latest."""
        return len(self.prompt) + len(self.said) - 1

    @property
    def final(self) -> int:
        """Tokens at the end, at most."""
        return len(self.prompt) + self.limit

    @property
    def live(self) -> bool:
        return self.finish is None and not self.cancelled


class Engine:
    """Computes rows. Used by one thread only, inside torch.inference_mode()."""

    def __init__(self, loaded: Loaded, prompter: Prompter, options: HfOptions) -> None:
        self._loaded, self._prompter = loaded, prompter
        self._store = PrefixStore(options.max_batch_tokens) if options.prefix_cache else None
        self._max_batch, self._max_tokens = options.max_batch, options.max_batch_tokens
        self._rows: list[Row] = []
        self._cache: Any = None
        self._mask: Any = None
        self._latest: Any = None
        self._positions: Any = None
        self.choices = 0
        self.rechecked = 0
        """Choices that were made again from the row alone."""

    @property
    def rows(self) -> list[Row]:
        """Rows that aren't done."""
        return [row for row in self._rows if row.live]

    def room(self, waiting: Sequence[Row]) -> int:
        """How many of the waiting rows, from the first, fit into the batch now. One always fits into an empty batch."""
        rows = self.rows
        longest, count = max((row.final for row in rows), default=0), len(rows)
        for number, row in enumerate(waiting):
            longest, count = max(longest, row.final), count + 1
            if count > self._max_batch or (count > 1 and count * longest > self._max_tokens):
                return number
        return len(waiting)

    def admit(self, waiting: Sequence[Row]) -> None:
        """Compute these rows' prompts and first tokens; those that go on join the batch."""
        live = [n for n, row in enumerate(self._rows) if row.live]
        rows = [self._rows[n] for n in live]
        parts = [hf_cache.Part(self._cache, live)] if live else []
        if self._store is not None:
            self._look_up(self._store, waiting)
        for group in _groups(waiting):
            cache, logits = self._prefill(group)
            self._advance(group, logits)
            self._keep(group, range(len(group)), cache)
            going = [n for n, row in enumerate(group) if row.live]
            if going:
                parts.append(hf_cache.Part(cache, going))
                rows += [group[n] for n in going]
        self._rebuild(rows, parts)

    def step(self) -> None:
        """One more token for every row. Afterwards rows that are done have a text and a finish."""
        live = [n for n, row in enumerate(self._rows) if row.live]
        if len(live) <= (1 - IDLE) * len(self._rows):
            self._rebuild([self._rows[n] for n in live], [hf_cache.Part(self._cache, live)])
            live = list(range(len(live)))
        if not live:
            return
        width = hf_cache.used(self._cache) + 1
        if self._mask.shape[1] < width:
            self._mask = torch.nn.functional.pad(self._mask, (0, hf_cache.ROOM), value=True)
        logits = hf_cache.logits(self._loaded, self._latest, self._mask[:, :width], self._positions, self._cache)[:, -1]
        self._positions += 1
        if len(live) == len(self._rows):
            self._latest = self._advance(self._rows, logits)
        else:
            self._latest[live] = self._advance([self._rows[n] for n in live], logits[live])
        self._keep(self._rows, live, self._cache)

    def clear(self) -> list[Row]:
        """Empty the batch, after an error; returns what was in it."""
        rows = self.rows
        self._rebuild([], [])
        return rows

    def _rebuild(self, rows: list[Row], parts: Sequence[hf_cache.Part]) -> None:
        """Make the batch anew from rows of caches: who is done leaves, who is new joins, columns that nobody needs go."""
        self._rows = rows
        if not rows:
            self._cache = self._mask = self._latest = self._positions = None
            return
        device = self._loaded.device
        lengths = [row.held for row in rows]
        width = max(lengths)
        self._cache = hf_cache.join(parts, width)
        self._mask = hf_cache.mask(lengths, width, device, extra=hf_cache.ROOM)
        self._positions = torch.tensor(lengths, device=device)[:, None]
        self._latest = torch.tensor([row.said[-1:] for row in rows], device=device)

    def _look_up(self, store: PrefixStore, waiting: Sequence[Row]) -> None:
        """Find what is known of each prompt; what several have in common, and is not known, is computed once for all."""
        alike: dict[tuple[int, ...], list[Row]] = {}
        for row in waiting:
            alike.setdefault(tuple(row.prompt[: 2 * BLOCK]), []).append(row)
        for rows in alike.values():
            # Any two of them share at least what the first and the last in order do.
            head = min(row.prompt for row in rows)
            head = head[: common(head, max(row.prompt for row in rows))]
            if (len(rows) - 1) * (len(head) - store.find(head)[1]) >= SMALL:
                cache, _ = self._prefill([self._informed(store, Row(head, 1, (), rows[0].rule))])
                store.add(Beginning(head, hf_cache.cut(cache, 0, len(head))))
            for row in rows:
                self._informed(store, row)

    @staticmethod
    def _informed(store: PrefixStore, row: Row) -> Row:
        row.begun, row.known = store.find(row.prompt)
        return row

    def _keep(self, rows: Sequence[Row], numbers: Iterable[int], cache: Any) -> None:
        """Store what was computed for those of the rows that are done now."""
        if self._store is not None:
            for n in numbers:
                row = rows[n]
                if row.finish is not None:
                    known = Beginning(row.prompt + row.said[:-1], hf_cache.cut(cache, n, row.held))
                    self._store.add(known, instead=row.begun)

    def _prefill(self, group: Sequence[Row]) -> tuple[Any, torch.Tensor]:
        """Cache of these rows' prompts, and the logits after them.

        All compute as many tokens as the row that knows least of its prompt must, so that padding is only ever on the left.
        """
        device = self._loaded.device
        fresh = max(len(row.prompt) - row.known for row in group)
        known = [max(0, len(row.prompt) - fresh) for row in group]
        width = max(known)
        begun = [None if row.begun is None else row.begun.layers for row in group]
        cache = hf_cache.lay(begun, known, width) if width else hf_cache.empty()
        ids = torch.tensor([[0] * (fresh - len(row.prompt)) + row.prompt[-fresh:] for row in group], device=device)
        mask = hf_cache.mask([len(row.prompt) for row in group], width + fresh, device)
        positions = (mask.cumsum(1) - 1).clamp_(min=0)[:, width:]
        return cache, hf_cache.logits(self._loaded, ids, mask, positions, cache)[:, -1]

    def _advance(self, rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
        """Choose every row's next token and see who is done. Returns the tokens [rows, 1]."""
        tokens = self._choose(rows, logits)
        ends = self._loaded.end_tokens
        for row, token in zip(rows, tokens.tolist(), strict=True):
            row.said.append(token)
            complete = row.guide is not None and token not in ends and row.guide.take(token)
            if token in ends:
                row.finish, row.text = "stop", self._prompter.text(row.said[:-1])
            elif row.stops and (text := self._prompter.stopped(row.said, row.stops)) is not None:
                row.finish, row.text = "stop", text
            elif complete:
                row.finish, row.text = "stop", self._prompter.text(row.said)
            elif len(row.said) >= row.limit:
                row.finish, row.text = "length", self._prompter.text(row.said)
        return tokens[:, None]

    def _choose(self, rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
        """Next tokens [rows].

        The batch a row is in changes the order in which its sums are added up, and so the last bits of its logits: the kernels
        chosen, the padding, what was cached. In float32 that is far below MARGIN. A choice that a change within MARGIN could
        turn is made again from logits that depend on the row alone: its tokens computed anew in one forward pass, without
        padding, cache or neighbours. Other choices come out the same in any batch.
        """
        sampled = [n for n, row in enumerate(rows) if row.rule.generator is not None]
        gumbel = hf_sampling.noise([rows[n].rule for n in sampled], logits) if sampled else None
        may = allowed([row.guide for row in rows], logits)
        tokens, unsure = self._pick(rows, logits, may, sampled, gumbel)
        self.choices += len(rows)
        for n in unsure.nonzero()[:, 0].tolist():
            alone = self._alone(rows[n]) if self._loaded.exact else logits[n : n + 1]
            if not bool(torch.isfinite(alone.max())):
                raise LlmError(
                    "its logits are no numbers: the weights are broken, or the number format overflows (try dtype=float32)"
                )
            own = [sampled.index(n)] if n in sampled else []
            own_may = None if may is None else may[n : n + 1]
            tokens[n] = self._pick([rows[n]], alone, own_may, [0] * len(own), None if gumbel is None else gumbel[own])[0][0]
        return tokens

    def _alone(self, row: Row) -> torch.Tensor:
        """Logits [1, vocabulary] of a row computed by itself."""
        self.rechecked += 1
        ids = torch.tensor([row.prompt + row.said], device=self._loaded.device)
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        return hf_cache.logits(self._loaded, ids, torch.ones_like(ids), positions, None)[:, -1]

    def _pick(
        self, rows: Sequence[Row], logits: Any, may: Any, sampled: Sequence[int], gumbel: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Choices and doubts, both [rows], among the tokens that `may` allows [rows, vocabulary] (None: all).

        Where the model isn't exact, only rows with NaN are in doubt. What rounding moves is a part of all logits, so the margin
        is taken before any is ruled out.
        """
        margin = logits.abs().amax(-1) * (MARGIN if self._loaded.exact else 0.0)
        if may is not None:
            logits = logits.masked_fill(~may, -float("inf"))
        if not sampled:
            return hf_sampling.largest(logits, margin)
        index = torch.tensor(sampled, device=logits.device)
        temperature = torch.tensor([rows[n].rule.temperature for n in sampled], device=logits.device)
        top_p = torch.tensor([rows[n].rule.top_p for n in sampled], device=logits.device)
        drawn = hf_sampling.draw(logits[index], gumbel, temperature, top_p, margin[index])
        if len(sampled) == len(rows):
            return drawn
        tokens, unsure = hf_sampling.largest(logits, margin)
        tokens[index], unsure[index] = drawn
        return tokens, unsure


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that have about as many tokens to compute, so that little is computed for padding; at most GROUP tokens together."""
    group: list[Row] = []
    most = 0
    for row in sorted(rows, key=lambda r: len(r.prompt) - r.known, reverse=True):
        fresh = len(row.prompt) - row.known
        # A forward pass of few tokens costs about as much as one of fewer still, so small groups may be padded more.
        similar = 0.8 if len(group) * most >= SMALL else 0.5
        if group and (fresh < similar * most or (len(group) + 1) * most > GROUP):
            yield group
            group = []
        most = most if group else fresh
        group.append(row)
    if group:
        yield group
