"""What the training dialogues offer to learn from: mention counts, signed item sets, and (context -> item) examples."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from harness.api import Catalogue, Message, TrainingDialogue
from harness.errors import UsageError

from .evidence import known_rows
from .topk import Positions, Scores


def require_training(name: str, training: Sequence[TrainingDialogue]) -> None:
    """Raises UsageError where a recommender that learns from dialogues is given none."""
    if not training:
        raise UsageError(
            f"recommender {name!r} learns from training dialogues and this data set has none; "
            "add a training split, or use one that does not need it: bm25, attribute-match, copy-history, random"
        )


def mention_counts(catalogue: Catalogue, training: Iterable[TrainingDialogue]) -> Scores:
    """Mentions per catalogue row: each linked item of each message counts once. Shape (items,)."""
    linking = (message.items for dialogue in training for message in dialogue.messages if message.items)
    mentions = Counter(itertools.chain.from_iterable(items if len(items) == 1 else set(items) for items in linking))
    return np.array([mentions[item.id] for item in catalogue], dtype=np.float64)


def popularity_order(catalogue: Catalogue, training: Iterable[TrainingDialogue]) -> Positions:
    """Catalogue rows, most mentioned first, ties by catalogue order: the tie-break of the scoring recommenders."""
    return np.argsort(-mention_counts(catalogue, training), kind="stable")


def dialogue_items(catalogue: Catalogue, dialogue: TrainingDialogue) -> dict[int, int]:
    """Catalogue rows of a dialogue's items: +1 mentioned or labelled liked, -1 labelled disliked (liked wins over disliked)."""
    signs = dict.fromkeys((row for m in dialogue.messages for row in known_rows(catalogue, m.items)), 1)
    signs.update(dict.fromkeys(known_rows(catalogue, dialogue.disliked), -1))
    signs.update(dict.fromkeys(known_rows(catalogue, dialogue.liked), 1))
    return signs


def examples(
    catalogue: Catalogue, training: Iterable[TrainingDialogue]
) -> Iterator[tuple[tuple[Message, ...], tuple[int, ...]]]:
    """(messages so far, rows of the items that come next) for each recommender message that links items not linked before.

    The same cut as the scenarios of the variant `novel`. Messages are the dialogue's own, oldest first.
    """
    for dialogue in training:
        linked: set[str] = set()
        for place, message in enumerate(dialogue.messages):
            new = known_rows(catalogue, dict.fromkeys(i for i in message.items if i not in linked))
            linked.update(message.items)
            if new and message.role == "recommender":
                yield dialogue.messages[:place], tuple(new)
