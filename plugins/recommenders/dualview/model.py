"""The two views and their fusion.

    e   semantic: weighted sum of token vectors, each scaled by its context, then a residual MLP
    c   collaborative: vectors of the items a dialogue names, with the sign of the mention, and a learned null token
    z = LN(e + g * MHA(Q=e, K=V=[null, c...])),  g = sigmoid(W [e; att]),  score = cos(z_q, z_i) / tau

Token vectors are shared by both sides, so that a stated value matches the items that have it, whether training saw it or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .batches import Batch
from .features import AGES, CONTEXTS, ITEM_FIRST, ITEM_VALUE, MENTION_KINDS, REACTION, SEGMENTS, VALUE_FIRST
from .vocabulary import Tokens, Vocabulary, hash_vectors

Views = Literal["both", "semantic", "collaborative"]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the weights' shapes and the forward pass depend on."""

    size: Annotated[int, msgspec.Meta(ge=4, description="dimensions of every vector")] = 128
    heads: Annotated[int, msgspec.Meta(ge=1, description="heads of the cross-attention; divides size")] = 4
    item_size: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Dimensions of the collaborative vectors, the popularity included."""
    neighbours: Annotated[int, msgspec.Meta(ge=0)] = 4
    """Other items' vectors that an item's side attends to."""
    views: Views = "both"
    fusion: Literal["cross-attention", "concat"] = "cross-attention"
    encoder_size: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Dimensions of a sentence encoder's vectors, which then stand in for the words; 0: none."""


class TokenVectors(nn.Module):
    """The table of token vectors and how much each token weighs."""

    base: Tensor
    facet: Tensor
    rarity: Tensor

    def __init__(self, vocabulary: Vocabulary, tokens: Tokens, size: int) -> None:
        super().__init__()
        words, values = tokens.first_value, tokens.known
        self.words = nn.Parameter(torch.randn(words, size) * (0.1 / size**0.5))
        self.values = nn.Parameter(torch.zeros(values, size))
        self.word_weights = nn.Parameter(torch.zeros(words))
        self.value_weights = nn.Parameter(torch.zeros(values))
        self.facet_scale = nn.Parameter(torch.ones(len(vocabulary.facets) + 1))
        self.register_buffer("base", torch.from_numpy(hash_vectors(tokens.keys, size)), persistent=False)
        self.register_buffer("facet", torch.from_numpy(tokens.facet), persistent=False)
        rarity = np.log(np.maximum(tokens.rarity, 0.1))  # a weight of rarity^1 is the usual idf
        self.register_buffer("rarity", torch.from_numpy(np.concatenate([np.zeros(words, np.float32), rarity])), False)

    def forward(self, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(tokens, size) vectors and (tokens,) log-weights. `keep` (values,) of 0 and 1 drops what training has added to some
        values, so that the model also learns to do without, as it must for values it never saw."""
        added, weights = self.values, self.value_weights
        if keep is not None:
            added, weights = added * keep[:, None], weights * keep
        unseen = len(self.base) - len(added)
        values = self.base * self.facet_scale[self.facet][:, None] + F.pad(added, (0, 0, 0, unseen))
        return torch.cat([self.words, values]), torch.cat([self.word_weights, F.pad(weights, (0, unseen))])


class Pool(nn.Module):
    """Sum of token vectors by row: each times its weight exp(token + context + age + rarity) and its context's scale."""

    def __init__(self, size: int, facets: int) -> None:
        super().__init__()
        scale = torch.ones(CONTEXTS, size)
        scale[1:VALUE_FIRST:2] = 0.0  # odd contexts are negated words ...
        scale[VALUE_FIRST + 1 : ITEM_FIRST : 2] = -1.0  # ... and unwanted values, which push away from the start
        self.scale = nn.Parameter(scale)
        start = torch.zeros(CONTEXTS)
        start[:VALUE_FIRST] = -1.0
        # What was asked for before an earlier recommendation was about that one.
        start[VALUE_FIRST:ITEM_FIRST] = torch.tensor([0.0, -2.0, -2.3, -3.0]).repeat_interleave(4)
        start[ITEM_VALUE + 1 :] = -2.0
        self.bias = nn.Parameter(start)
        self.by_facet = nn.Parameter(torch.zeros(facets + 1, 3))  # stated: wanted, unwanted; held by an item
        self.by_rarity = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]).repeat(facets + 1, 1))
        self.age = nn.Parameter(torch.zeros(AGES))

    def forward(self, batch: Batch, table: Tensor, weights: Tensor, tokens: TokenVectors) -> Tensor:
        log = weights[batch.tokens] + self.bias[batch.contexts] + self.age[batch.ages]
        value = (batch.contexts >= VALUE_FIRST) & (batch.contexts <= ITEM_VALUE)
        facet = tokens.facet[(batch.tokens - len(tokens.words)).clamp(min=0)] if len(tokens.facet) else batch.tokens * 0
        use = torch.where(batch.contexts >= ITEM_FIRST, 2, batch.contexts % 2)
        log = log + value * (self.by_facet[facet, use] + self.by_rarity[facet, use] * tokens.rarity[batch.tokens])
        vectors = table[batch.tokens] * self.scale[batch.contexts] * log.clamp(max=4.0).exp()[:, None]
        return vectors.new_zeros(batch.count, vectors.shape[1]).index_add(0, batch.of, vectors)


class Residual(nn.Module):
    """LN(x) + MLP(LN(x))."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)
        self.drop = nn.Dropout(dropout)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        out: Tensor = x + self.down(self.drop(F.gelu(self.up(x))))
        return out


class CrossAttention(nn.Module):
    """Multi-head attention of one vector per row over a set of others: each is projected once, however many rows look at it.

    It starts from a mean that the scores' offsets alone weigh.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        for linear in (self.value, self.out):
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.query.weight, std=0.1 / size**0.5)

    def forward(self, e: Tensor, given: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
        """`given` (n, size), `index` (rows, slots) into it, `offsets` (rows, slots) added to the scores: -inf for empty slots;
        each row needs one that is not."""
        rows, size = e.shape
        query = self.query(e).view(rows, self.heads, -1)
        keys, values = (
            project(given)[index].view(rows, -1, self.heads, size // self.heads) for project in (self.key, self.value)
        )
        scores = torch.einsum("rhd,rshd->rhs", query, keys) / (size // self.heads) ** 0.5
        shares = (scores + offsets[:, None]).softmax(2)
        out: Tensor = self.out(torch.einsum("rhs,rshd->rhd", shares, values).reshape(rows, size))
        return out


class Fusion(nn.Module):
    """e and a set of collaborative vectors -> z: gated cross-attention, or a concatenation with their mean."""

    def __init__(self, size: int, heads: int, kind: str, offsets: Sequence[float]) -> None:
        """`offsets` start how much the null token and then each kind of vector is looked at."""
        super().__init__()
        self.null = nn.Parameter(torch.randn(size) * 0.02)
        self.offsets = nn.Parameter(torch.tensor(offsets))
        self.attention = CrossAttention(size, heads) if kind == "cross-attention" else None
        self.gate = nn.Linear(2 * size, size)
        if self.attention is None:  # it starts as the sum
            nn.init.eye_(self.gate.weight[:, :size])
            nn.init.eye_(self.gate.weight[:, size:])
            nn.init.zeros_(self.gate.bias)
        else:
            nn.init.normal_(self.gate.weight, std=0.1 / size**0.5)
            nn.init.constant_(self.gate.bias, 2.0)
        self.norm = nn.LayerNorm(size)

    def forward(self, e: Tensor, given: Tensor, index: Tensor, absent: Tensor, kinds: Tensor) -> Tensor:
        """`given` (n, size), `index` and `absent` (rows, slots): which of them belong to a row, and which slots are empty;
        `kinds` (rows, slots) from 0. The null token is always among what is attended to; in a concatenation it stands in for an
        empty set."""
        given = torch.cat([given, self.null[None]])
        index = torch.where(absent, len(given) - 1, index)
        if self.attention is None:
            there = (~absent).to(e.dtype)
            mean = (given[index] * there[:, :, None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1.0)
            alone = absent.all(1, keepdim=True)
            joined: Tensor = self.norm(self.gate(torch.cat([e, torch.where(alone, self.null, mean)], dim=1)))
            return joined
        null = index.new_full((len(e), 1), len(given) - 1)
        offsets = torch.where(absent, -torch.inf, self.offsets[kinds + 1])
        offsets = torch.cat([self.offsets[:1].expand(len(e), 1), offsets], dim=1)
        found = self.attention(e, given, torch.cat([null, index], dim=1), offsets)
        gate = torch.sigmoid(self.gate(torch.cat([e, found], dim=1)))
        out: Tensor = self.norm(e + gate * found)
        return out


class DualView(nn.Module):
    """Queries and items -> vectors of length 1, shape (rows, size)."""

    def __init__(self, shape: Shape, vocabulary: Vocabulary, tokens: Tokens, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        size, facets = shape.size, len(vocabulary.facets)
        self.tokens = TokenVectors(vocabulary, tokens, size)
        self.pool = Pool(size, facets)
        self.query_start, self.item_start = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))
        self.query_text, self.item_text = Residual(size, dropout), Residual(size, dropout)
        self.given, self.found = nn.Linear(shape.item_size, size), nn.Linear(shape.item_size, size)
        self.kind = nn.Parameter(torch.zeros(len(MENTION_KINDS), SEGMENTS, size))
        sign = torch.ones(len(MENTION_KINDS), SEGMENTS)
        sign[1], sign[3] = -0.5, -0.3
        self.sign = nn.Parameter(sign)
        self.reaction = nn.Linear(size, 1, bias=False)
        # Lists that were turned down are long and say little; an item's own vector says more than its neighbours'.
        self.query_fusion = Fusion(size, shape.heads, shape.fusion, (-1.0, 0.0, 0.0, 0.0, -3.0))
        self.item_fusion = Fusion(size, shape.heads, shape.fusion, (-2.0, 2.0, -1.0))
        self._as_collaborative()
        self.query_last = Residual(size, dropout)
        self.align_text, self.align_item = nn.Linear(size, size, bias=False), nn.Linear(shape.item_size, size, bias=False)
        self.outside = nn.Linear(shape.encoder_size, size, bias=False) if shape.encoder_size else None

    def _as_collaborative(self) -> None:
        """Start where the product of a given and a found vector is the collaborative method's own score, as far as they fit."""
        with torch.no_grad():
            nn.init.orthogonal_(self.given.weight)
            self.given.weight.mul_(0.6 * self.shape.size**0.5)
            self.found.weight.copy_(self.given.weight)
            for linear in (self.given, self.found):
                nn.init.zeros_(linear.bias)

    def table(self, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Token vectors and log-weights, made once per step."""
        out: tuple[Tensor, Tensor] = self.tokens(keep)
        return out

    def texts(self, batch: Batch, table: tuple[Tensor, Tensor], *, items: bool, outside: Tensor | None = None) -> Tensor:
        """e: the semantic view of queries or items. `outside`: a sentence encoder's vectors, (rows, encoder size)."""
        start, residual = (self.item_start, self.item_text) if items else (self.query_start, self.query_text)
        if self.shape.views == "collaborative":
            pooled = start.expand(batch.count, -1)
        else:
            pooled = self.pool(batch, *table, self.tokens) + start
            if self.outside is not None and outside is not None:
                pooled = pooled + self.outside(outside)
        out: Tensor = residual(pooled)
        return out

    def queries(self, e: Tensor, batch: Batch, given: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """z of dialogues. `given` (mentions, item size): the collaborative vectors of all mentions of the batch; rows of zeros
        are items without one, which say nothing. What the sum of views means is left to a last residual MLP."""
        keep = given.abs().sum(1) > 0
        if self.shape.views == "semantic":
            keep = torch.zeros_like(keep)
        of, slot = batch.mentions_of[keep], batch.slots[keep]
        width = int(slot.max()) + 1 if len(slot) else 0
        index, absent = torch.zeros(len(e), width, dtype=torch.long), torch.ones(len(e), width, dtype=torch.bool)
        kinds = torch.zeros_like(index)
        index[of, slot], absent[of, slot], kinds[of, slot] = keep.nonzero()[:, 0], False, batch.kinds[keep]
        sign = self.sign[batch.kinds, batch.segments] + self._reactions(batch, table)
        signed = self.given(given) * sign[:, None] + self.kind[batch.kinds, batch.segments]
        z = self.query_last(self.query_fusion(e, signed, index, absent, kinds))
        return F.normalize(z, dim=1)

    def items(self, e: Tensor, found: Tensor, index: Tensor) -> Tensor:
        """z of items. `found` (n, item size); `index` (items, 1 + neighbours): an item's own vector and others' in it. Vectors
        of zeros are absent."""
        used, place = torch.unique(index, return_inverse=True)
        some = found[used]
        absent = (some.abs().sum(1) == 0)[place]
        if self.shape.views == "semantic":
            absent = torch.ones_like(absent)
        kinds = (torch.arange(index.shape[1]) > 0).long().expand_as(index)  # its own, others'
        return F.normalize(self.item_fusion(e, self.found(some), place, absent, kinds), dim=1)

    def _reactions(self, batch: Batch, table: tuple[Tensor, Tensor]) -> Tensor:
        """What the words about a mention add to its sign, in -1..1 each way; 0 where nothing was said."""
        vectors, weights = table
        count = len(batch.mentions)
        if not len(batch.reactions):
            return vectors.new_zeros(count)
        strength = (vectors[batch.reactions] * self.pool.scale[REACTION]) @ self.reaction.weight[0]
        total = vectors.new_zeros(count).index_add(0, batch.reacted, strength * weights[batch.reactions].exp())
        return 2.0 * torch.tanh(total)
