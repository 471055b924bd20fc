"""The dual-view retriever: losses by hand, the null token, the gate, exact search, unseen items, views."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from small_world import FILMS, human, of_items, random_conversation, random_world, seeker, shown, talk

from harness.api import Catalogue, Item
from harness.errors import DataError, UsageError
from harness_plugins.recommenders.dualview import files
from harness_plugins.recommenders.dualview.collaborative import item_vectors, signed_matrix
from harness_plugins.recommenders.dualview.features import Featuriser
from harness_plugins.recommenders.dualview.items import key, with_popularity
from harness_plugins.recommenders.dualview.lightgcn import lightgcn
from harness_plugins.recommenders.dualview.losses import alignment, info_nce
from harness_plugins.recommenders.dualview.model import DualView, Fusion, Shape
from harness_plugins.recommenders.dualview.retriever import Retriever
from harness_plugins.recommenders.dualview.vocabulary import Tokens, Vocabulary
from harness_plugins.recommenders.training import mention_counts

CATALOGUE, TRAINING = random_world(11)


def rows(*vectors: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(vectors)


def same(one: Any, other: Any) -> bool:
    """Equal but for the order of additions."""
    return np.allclose(one, other, rtol=0, atol=1e-6)


def artifact(folder: Path, catalogue: Catalogue = CATALOGUE, training: Any = TRAINING, **shape: Any) -> Path:
    """A retriever as it is before training, with noise in every weight."""
    texts = [m.text.lower().split() for d in training for m in d.messages]
    vocabulary = Vocabulary.of(texts, catalogue, least=2, buckets=4)
    vectors = item_vectors(catalogue, training, [n % 2 for n in range(len(training))], size=8)
    vectors = with_popularity(vectors, mention_counts(catalogue, training))
    torch.manual_seed(5)
    whole = Shape(size=32, heads=2, item_size=vectors.given.shape[1], neighbours=2, **shape)
    model = DualView(whole, vocabulary, Tokens(vocabulary, catalogue))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    items = tuple(key(item.id, item.title) for item in catalogue)
    folder.mkdir(exist_ok=True)
    config = files.Config(shape=whole, vocabulary=vocabulary, items=items)
    files.write(folder, config, model.state_dict(), vectors.given, vectors.found)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("made") / "retriever")


# ------------------------------------------------------------------------------------------------------------ losses


def test_info_nce_is_the_mean_of_the_two_rows_by_hand() -> None:
    queries, positives = rows((1.0, 0.0), (0.0, 1.0)), rows((1.0, 0.0), (0.6, 0.8))
    candidates = rows((1.0, 0.0), (0.6, 0.8), (0.0, -1.0))
    banned = torch.tensor([[True, False, False], [False, True, False]])
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(1.2) + math.exp(0)))
    second = -math.log(math.exp(1.6) / (math.exp(1.6) + math.exp(0) + math.exp(-2)))
    loss = info_nce(queries, positives, candidates, banned, tau=0.5)
    assert float(loss) == pytest.approx((first + second) / 2, abs=1e-6)


def test_a_false_negative_counts_for_nothing_and_hard_negatives_for_their_own_row_alone() -> None:
    query, positive = rows((1.0, 0.0)), rows((0.8, 0.6))
    candidates = rows((0.8, 0.6), (1.0, 0.0))  # the second would cost most, but the row names it
    alone = info_nce(query, positive, candidates, torch.tensor([[True, True]]), tau=1.0)
    assert float(alone) == pytest.approx(0.0, abs=1e-7)
    hard = rows((0.6, 0.8), (0.0, 1.0))[None]
    loss = info_nce(
        query, positive, candidates, torch.tensor([[True, True]]), tau=1.0, hard=hard, hard_banned=torch.tensor([[False, True]])
    )
    assert float(loss) == pytest.approx(math.log(math.exp(0.8) + math.exp(0.6)) - 0.8, abs=1e-6)


def test_items_that_are_often_drawn_are_not_pushed_away_for_that() -> None:
    query, positive, others = rows((1.0, 0.0)), rows((1.0, 0.0)), rows((0.0, 1.0))
    loss = info_nce(query, positive, others, torch.tensor([[False]]), tau=1.0, log_chance=torch.tensor([math.log(0.25)]))
    # one item drawn with chance 1/4 stands for four
    assert float(loss) == pytest.approx(math.log(math.e + 4.0) - 1.0, abs=1e-6)


def test_alignment_by_hand_and_of_a_single_item() -> None:
    same = alignment(rows((2.0, 0.0), (0.0, 3.0)), rows((1.0, 0.0), (0.0, 1.0)), tau=1.0)
    assert float(same) == pytest.approx(math.log(1.0 + math.exp(-1.0)), abs=1e-6)
    assert float(alignment(rows((1.0, 0.0)), rows((0.0, 1.0)), tau=1.0)) == 0.0


# ------------------------------------------------------------------------------------------------- fusion and views


def test_a_closed_gate_leaves_the_text_and_an_open_one_adds_what_attention_found() -> None:
    torch.manual_seed(1)
    fusion = Fusion(4, 2, "cross-attention", (0.0, 0.0))
    e, given = torch.randn(1, 4), torch.randn(2, 4)
    given_slots = torch.tensor([[0, 1]]), torch.tensor([[False, True]]), torch.tensor([[0, 0]])
    assert fusion.attention is not None
    with torch.no_grad():
        fusion.gate.weight.zero_()
        fusion.gate.bias.fill_(-1e4)
        assert torch.allclose(fusion(e, given, *given_slots), fusion.norm(e))
        fusion.gate.bias.fill_(1e4)
        a = fusion.attention
        there = torch.stack([fusion.null, given[0]])  # the second is absent
        found = []
        for head in (slice(0, 2), slice(2, 4)):
            scores = (a.key(there)[:, head] @ a.query(e)[0, head]) / math.sqrt(2)
            found.append(scores.softmax(0) @ a.value(there)[:, head])
        assert torch.allclose(fusion(e, given, *given_slots), fusion.norm(e + a.out(torch.cat(found))), atol=1e-6)


def test_without_a_known_item_the_null_token_speaks(trained: Path) -> None:
    more = Catalogue([*CATALOGUE, Item("new", "Nobody Knows This One", 2020, {"genre": ("drama",)})])
    retriever = Retriever.load(trained, more)
    plain = retriever.vector(talk(seeker("I would like a drama film")))
    unknown = retriever.vector(talk(seeker("I would like a drama film", "new")))
    known = retriever.vector(talk(seeker("I would like a drama film", CATALOGUE.ids[3])))
    assert same(plain, unknown)
    assert not np.allclose(plain, known)


@pytest.mark.parametrize("fusion", ["cross-attention", "concat"])
def test_each_view_alone_ignores_the_other(tmp_path: Path, fusion: str) -> None:
    folder = artifact(tmp_path / "a", fusion=fusion)
    one, other = talk(seeker("I would like a drama film", "m1")), talk(seeker("I would like a drama film", "m2"))
    third = talk(seeker("anything but a western", "m1"))
    semantic = Retriever.load(folder, CATALOGUE, views="semantic")
    collaborative = Retriever.load(folder, CATALOGUE, views="collaborative")
    both = Retriever.load(folder, CATALOGUE)
    assert same(semantic.vector(one), semantic.vector(other))
    assert not np.allclose(semantic.vector(one), semantic.vector(third))
    assert same(collaborative.vector(one), collaborative.vector(talk(seeker("I would like an action film", "m1"))))
    assert not np.allclose(collaborative.vector(one), collaborative.vector(other))
    assert not np.allclose(both.vector(one), both.vector(other))
    assert not np.allclose(both.vector(one), both.vector(third))


def test_a_view_that_was_not_trained_is_refused(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a", views="semantic")
    with pytest.raises(UsageError, match="trained with views=semantic"):
        Retriever.load(folder, CATALOGUE, views="both")


# ------------------------------------------------------------------------------------------------------------ search


def test_recall_is_exact_and_company_changes_nothing(trained: Path) -> None:
    retriever = Retriever.load(trained, CATALOGUE, TRAINING)
    talks = [random_conversation(CATALOGUE, seed, 1 + seed % 4) for seed in range(12)]
    gone = [CATALOGUE.ids[n % 5 :: 7] for n in range(12)]
    found = retriever.recall_batch(talks, 9, exclude=gone)
    assert found == [retriever.recall(t, 9, exclude=out) for t, out in zip(talks, gone, strict=True)]
    for one, out, best in zip(talks, gone, found, strict=True):
        cosine = retriever.scores(one)
        expected = sorted((i for i in CATALOGUE.ids if i not in out), key=lambda i: -cosine[CATALOGUE.position(i)])[:9]
        assert [cosine[CATALOGUE.position(i)] for i, _ in best] == [cosine[CATALOGUE.position(i)] for i in expected]
        assert [score for _, score in best] == [float(cosine[CATALOGUE.position(i)]) for i, _ in best]
        assert not {i for i, _ in best} & set(out)
        assert all(-1.0001 < score < 1.0001 for _, score in best)
    assert len(retriever.recall(talks[0], 500)) == len(CATALOGUE)


def test_feedback_and_refusals_move_the_query(trained: Path) -> None:
    retriever = Retriever.load(trained, CATALOGUE)
    opening = seeker("I would like a film")
    before = retriever.vector(talk(opening))
    stated = retriever.vector(talk(opening, shown("m1", "m2"), seeker("no westerns, drama please")))
    turned_down = retriever.vector(talk(opening, shown("m1", "m2"), seeker("no westerns, drama please", rejected=("m1",))))
    assert not np.allclose(before, stated)
    assert not np.allclose(stated, turned_down)
    # what the recommender itself said tells nothing about the seeker
    chatty = shown("m1", "m2", text="You love horror and m5!")
    assert same(stated, retriever.vector(talk(opening, chatty, seeker("no westerns, drama please"))))


def test_a_value_that_training_never_saw_still_finds_its_items(trained: Path) -> None:
    values = ("zeppelin opera", "cheese noir", "moss western", "lamp musical")
    unseen = Catalogue(
        Item(f"x{n}", f"Quiet Title {n}", 1990 + n, {"genre": (values[n % 4],), "hue": (f"tint {n}",)}) for n in range(12)
    )
    retriever = Retriever.load(trained, unseen)
    for n, value in enumerate(values):
        best = [item_id for item_id, _ in retriever.recall(talk(seeker(f"I would like a {value} film")), 3)]
        assert set(best) == {f"x{n}", f"x{n + 4}", f"x{n + 8}"}


def test_an_id_alone_makes_no_item_known(trained: Path) -> None:
    known = Retriever.load(trained, CATALOGUE)
    other = Catalogue(msgspec.structs.replace(item, title=f"Another {n}") for n, item in enumerate(CATALOGUE))
    foreign = Retriever.load(trained, other)
    asked = talk(seeker("I would like a drama film", "m1"))
    assert not np.allclose(known.vector(asked), foreign.vector(asked))
    assert same(foreign.vector(asked), foreign.vector(talk(seeker("I would like a drama film"))))


def test_an_empty_catalogue_and_an_empty_dialogue(trained: Path) -> None:
    assert Retriever.load(trained, Catalogue(())).recall(talk(seeker("hello")), 5) == []
    assert len(Retriever.load(trained, CATALOGUE).recall(talk(), 5)) == 5


@pytest.mark.parametrize("name", [files.CONFIG, files.WEIGHTS])
def test_damaged_files_are_told(tmp_path: Path, name: str) -> None:
    folder = artifact(tmp_path / "a")
    (folder / name).write_bytes(b"{}")
    with pytest.raises(DataError, match="no retriever can be read"):
        Retriever.load(folder, CATALOGUE)


# ---------------------------------------------------------------------------------------------- what the views are made of


def test_ease_vectors_give_back_eases_scores_and_folds_leave_their_dialogues_out() -> None:
    folds = [n % 2 for n in range(len(TRAINING))]
    vectors = item_vectors(CATALOGUE, TRAINING, folds, size=len(CATALOGUE), l2=5.0, disliked=0.5)
    product = vectors.given @ vectors.found.T
    matrix = np.asarray(signed_matrix(CATALOGUE, TRAINING, 0.5).toarray())
    known = np.flatnonzero(np.abs(matrix).sum(0))
    inverse = np.linalg.inv(matrix[:, known].T @ matrix[:, known] + 5.0 * np.eye(len(known)))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    mine = product[np.ix_(known, known)]
    assert np.allclose(mine / np.abs(mine).max(), expected / np.abs(expected).max(), atol=1e-5)
    half = item_vectors(CATALOGUE, TRAINING[1::2], [0] * len(TRAINING[1::2]), size=len(CATALOGUE), l2=5.0, disliked=0.5)
    one, other = vectors.folds[0] @ vectors.found.T, half.given @ half.found.T
    assert np.allclose(one / np.abs(one).max(), other / np.abs(other).max(), atol=1e-4)


def test_lightgcn_puts_items_of_one_taste_together() -> None:
    draw = np.random.default_rng(0)
    dialogues = [[f"m{i}" for i in draw.choice(range(20) if n % 2 else range(20, 40), 4, replace=False)] for n in range(60)]
    matrix = signed_matrix(CATALOGUE, of_items(*dialogues), 0.5)
    vectors = lightgcn(matrix, 8, 0, steps=80, lr=0.05)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors.T
    assert cosine[:20, :20].mean() > cosine[:20, 20:].mean() + 0.5
    again = lightgcn(matrix, 8, 0, steps=80, lr=0.05)
    assert np.array_equal(vectors, again / np.linalg.norm(again, axis=1, keepdims=True))


def test_what_was_said_about_an_item_stands_with_it() -> None:
    vocabulary = Vocabulary.of([["loved", "bored", "me"]], FILMS, least=1, buckets=1)
    reads = Featuriser(FILMS, Tokens(vocabulary, FILMS))
    words = dict(enumerate(vocabulary.words))
    told = reads.conversation(
        talk(
            seeker("Cold Orbit bored me. Paper Moons I loved.", "f6", "f5"),
            human("Try Two Left Feet.", "f2"),
            seeker("That bored me! Comedy please."),
            shown("f4", "f1"),
            seeker("No horror.", rejected=("f4", "f1")),
        )
    )
    about: dict[int, list[str]] = {}
    for word, place in zip(told.reactions.tolist(), told.reacted.tolist(), strict=True):
        about.setdefault(int(told.mentions[place]), []).append(words.get(word, "?"))
    assert "bored" in about[6]
    assert "loved" not in about[6]
    assert "loved" in about[5]
    assert "bored" in about[2]
    assert dict(zip(told.mentions.tolist(), told.kinds.tolist(), strict=True)) == {6: 0, 5: 0, 2: 2, 4: 3, 1: 3}
    # the first message was followed by one recommendation of an item
    assert dict(zip(told.mentions.tolist(), told.segments.tolist(), strict=True))[6] == 1
