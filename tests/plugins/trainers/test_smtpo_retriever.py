"""The retriever's stage: it learns, survives a kill, and reads no label that it must not."""

from __future__ import annotations

import random
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from harness import artifacts
from harness.api import Catalogue, Conversation, Item, Message, Need, RecommenderSetup, Scenario, Split, TrainingDialogue
from harness.errors import DataError
from harness.text import AttributeIndex, normalise
from harness_plugins.recommenders.dualview.recommender import Options, SmtpoRetriever
from harness_plugins.recommenders.dualview.retriever import Retriever
from harness_plugins.recommenders.reading import Reader
from harness_plugins.trainers.smtpo import retriever_stage
from harness_plugins.trainers.smtpo.context import StageContext
from harness_plugins.trainers.smtpo.retriever_data import Feedback, examples
from harness_plugins.trainers.smtpo.retriever_stage import Settings

GENRES = ("action", "comedy", "crime", "drama", "fantasy", "horror")
MOODS = ("gloomy", "merry", "tense", "dreamy")
TINY = Settings(
    size=16, heads=2, item_size=6, folds=2, neighbours=2, hard=2, mine=8, epochs=3, batch=16, least=2, buckets=2, lr=0.01
)


def split(name: str, seed: int, rows: int) -> Split:
    """The targets have the genre that is asked for in other words than the catalogue's, and the mood in plain ones."""
    films = Catalogue(
        Item(f"m{n}", f"Quibble {n}", 1960 + n, {"genre": (GENRES[n % 6],), "mood": (MOODS[n // 6 % 4],)}) for n in range(48)
    )
    draw = random.Random(seed)
    scenarios, training = [], []
    for n in range(rows):
        target = draw.choice(films)
        liked = draw.choice([f for f in films if f.attributes["genre"] == target.attributes["genre"] and f is not target])
        genre, mood = target.attributes["genre"][0], target.attributes["mood"][0]
        context = (Message("seeker", f"I liked {liked.title}. A slang-{genre} thing, {mood}.", (liked.id,)),)
        source = f"{name}-{n}"
        scenarios.append(
            Scenario(f"{source}:1", source, context, Need((target.id,), (liked.id,), liked_attributes=target.attributes))
        )
        said = Message("recommender", f"{target.title}?", (target.id,))
        training.append(TrainingDialogue(source, (*context, said), (liked.id, target.id)))
    return Split(name, scenarios, training, films)


class Interrupted(Exception):
    pass


class Stops:
    """A progress display that is killed after some epochs."""

    def __init__(self, after: int) -> None:
        self.after = after

    def say(self, text: str) -> None:
        pass

    def step(self, what: str, done: int, total: int, values: Any) -> None:
        if done >= self.after:
            raise Interrupted


def context(folder: Path, progress: Any = None, train: Split | None = None) -> StageContext:
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    return StageContext(
        stage="retriever",
        train=train or split("train", 1, 96),
        validation=split("validation", 2, 24),
        dataset="made-up",
        work=work,
        log_file=folder / "log.jsonl",
        progress=progress,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    retriever_stage.run(context(folder), TINY, folder / "out")
    return folder / "out"


def test_a_killed_training_ends_where_an_uninterrupted_one_does(made: Path, tmp_path: Path) -> None:
    for after in (1, 2):
        with pytest.raises(Interrupted):
            retriever_stage.run(context(tmp_path, Stops(after)), TINY, tmp_path / "out")
    retriever_stage.run(context(tmp_path), TINY, tmp_path / "out")
    once, twice = artifacts.find(str(made)).card, artifacts.find(str(tmp_path / "out")).card
    assert once.files["model.safetensors"] == twice.files["model.safetensors"]
    points = [[{k: v for k, v in p.items() if k != "cpu_seconds"} for p in card.curves["validation"]] for card in (once, twice)]
    assert points[0] == points[1]
    assert [point["epoch"] for point in points[0]] == [1, 2, 3]


def test_it_learns_words_that_name_no_value(made: Path) -> None:
    data = split("test", 3, 60)
    retriever = Retriever.load(made, data.catalogue, data.training)
    hits = 0
    for row in examples(data, 2):
        best = [item for item, _ in retriever.recall(row.conversation(), 4, exclude=row.conversation().mentioned)]
        hits += any(data.catalogue[target].id in best for target in row.targets)
    assert hits / 60 > 0.3  # by chance 4/47, by the mood alone 4/12


def test_as_a_recommender_it_lists_the_nearest_and_records_its_candidates(made: Path) -> None:
    data = split("test", 3, 4)
    setup = RecommenderSetup(data.catalogue, data.training, 5, 0)
    opening = data.scenarios[0].context
    recommender = SmtpoRetriever(Options(artifact=str(made)))
    recommender.prepare(setup)
    first = recommender.recommend(Conversation(opening), 5)
    assert first.candidates is not None
    assert first.items == first.candidates[:5]
    assert len(first.candidates) == 47  # all but the film that the seeker has named
    turned_down = Message("seeker", "No.", rejected=first.items[:2])
    later = Conversation((*opening, Message("recommender", first.text, ranked=first.items), turned_down), 2)
    assert not set(first.items[:2]) & set(recommender.recommend(later, 47).items)
    keeps = SmtpoRetriever(Options(artifact=str(made), exclude_rejected=False, exclude_mentioned=False))
    keeps.prepare(setup)
    assert set(keeps.recommend(later, 48).items) == set(data.catalogue.ids)
    alone = SmtpoRetriever(Options(artifact=str(made), views="semantic"))
    alone.prepare(setup)
    assert alone.recommend(Conversation(opening), 48).scores != keeps.recommend(Conversation(opening), 48).scores


def test_the_card_says_what_it_was_made_of(made: Path) -> None:
    card = artifacts.find(str(made), kind="smtpo-retriever").card
    assert card.trained_on == ("made-up",)
    assert set(card.results) >= {"epoch", "score", "ndcg@10", "recall@50"}


def test_made_feedback_shows_no_target_and_names_no_film() -> None:
    data = split("train", 1, 40)
    rows, feedback = examples(data, 2), Feedback(data.catalogue, Reader(data.catalogue))
    titles = [normalise(item.title) for item in data.catalogue]
    for row in rows:
        turns = feedback.turns(row, range(48), 3, Random("x"))
        assert turns == feedback.turns(row, range(48), 3, Random("x"))
        shown = {item for message in turns for item in message.ranked}
        assert not shown & {data.catalogue[target].id for target in row.targets}
        assert [m.rejected for m in turns if m.role == "seeker"] == [m.ranked for m in turns if m.role == "recommender"]
        said = " ".join(normalise(message.text) for message in turns)
        assert not any(f" {title} " in f" {said} " for title in titles)


def test_a_seeker_that_knows_no_more_says_nothing_new_and_turns_down_no_target() -> None:
    data = split("train", 1, 40)
    index = AttributeIndex(data.catalogue)
    feedback = Feedback(data.catalogue, Reader(data.catalogue))
    silent = repeated = shown = kept = 0
    for row in examples(data, 2):
        turns = feedback.unsure(row, range(48), 3, Random(f"{row.messages[0].text}"))
        targets = {data.catalogue[target].id for target in row.targets}
        known = {(s.facet, s.value) for message in row.messages for s in index.statements(message.text)}
        gone: set[str] = set()
        for listed, answer in zip(turns[::2], turns[1::2], strict=True):
            assert not gone & set(listed.ranked), "shown again"
            assert set(answer.rejected) <= set(listed.ranked)
            assert not set(answer.rejected) & targets
            gone |= set(answer.rejected)
            said = {(s.facet, s.value) for s in index.statements(answer.text)}
            assert said <= known
            silent, repeated = silent + (not said), repeated + bool(said)
            shown += bool(targets & set(listed.ranked))
            kept += 0 < len(answer.rejected) < len(listed.ranked)
    assert min(silent, repeated, shown, kept) > 10


def test_a_row_shows_the_public_context_alone() -> None:
    data = split("train", 1, 10)
    hidden = [msgspec.structs.replace(s, need=msgspec.structs.replace(s.need, targets=("m0",))) for s in data.scenarios]
    for row, other in zip(examples(data, 2), examples(msgspec.structs.replace(data, scenarios=hidden), 2), strict=True):
        assert row.conversation() == other.conversation()


def test_without_dialogues_one_error_says_so(tmp_path: Path) -> None:
    nothing = msgspec.structs.replace(split("train", 1, 4), training=())
    with pytest.raises(DataError, match="no training dialogues"):
        retriever_stage.run(context(tmp_path, train=nothing), TINY, tmp_path / "out")
