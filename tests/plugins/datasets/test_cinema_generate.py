"""The generator: deterministic, and the packaged files are what it writes."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from harness.text import AttributeIndex, PhraseIndex, normalise
from harness_plugins.datasets.cinema import Cinema, Options, phrases
from harness_plugins.datasets.cinema.films import load_films
from harness_plugins.datasets.cinema.generate import SEED, USERS, dialogues, generate, main
from harness_plugins.datasets.cinema.levels import LEVELS
from harness_plugins.datasets.cinema.model import World, categorical
from harness_plugins.datasets.cinema.stored import file_name

FILMS = load_films()
PACKAGED = Path(__file__).parents[3] / "plugins" / "datasets" / "cinema" / "data"


@pytest.fixture(scope="module")
def world():
    return World(FILMS, SEED)


def lines(data: bytes) -> list[bytes]:
    # Another build of zlib may compress to other bytes.
    return gzip.decompress(data).splitlines()


@pytest.mark.parametrize("difficulty", LEVELS)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_all_packaged_files_are_what_the_generator_makes(world, difficulty, split):
    """Whole, but for the first half of two long ones: each user is made apart from all others."""
    whole = split != "train" or difficulty == "standard"
    packaged = lines((PACKAGED / file_name(difficulty, split)).read_bytes())
    data, count = generate(difficulty, split, SEED, USERS if whole else USERS // 2, world)
    made = lines(data)
    assert len(made) == count + 1
    if split == "test":
        assert count == 500
    if whole:
        assert made == packaged
    else:
        assert 1000 < count < len(packaged) - 1
        assert made[1:] == packaged[1 : count + 1]


def test_the_packaged_data_are_below_five_megabytes():
    files = list(PACKAGED.glob("*"))
    assert {f.name for f in files} == {file_name(d, s) for d in LEVELS for s in ("train", "validation", "test")}
    assert sum(f.stat().st_size for f in files) < 5_000_000


def test_equal_arguments_give_equal_bytes_and_another_seed_does_not():
    first, _ = generate("hard", "train", 3, 6)
    assert generate("hard", "train", 3, 6)[0] == first
    assert lines(generate("hard", "train", 4, 6)[0])[1:] != lines(first)[1:]


def test_more_users_do_not_change_the_first_ones(world):
    few = list(dialogues(world, "easy", "train", 3))
    many = list(dialogues(world, "easy", "train", 9))
    assert many[: len(few)] == few
    assert len(many) > len(few)


def test_a_world_of_ones_own(tmp_path, capsys):
    assert main(["--seed", "5", "--users", "12", "--difficulty", "easy", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("dialogues") == 3
    cinema = Cinema(Options(difficulty="easy", path=str(tmp_path)))
    split = cinema.load("validation")
    assert len({s.source for s in split.scenarios}) == 3
    assert split.notes[0].endswith("seed 5")
    scores = [ceiling.values["hr@10"] for ceiling in cinema.ceilings(split)]
    assert all(0.0 <= score <= 1.0 for score in scores)


def test_the_command_explains_itself():
    command = [sys.executable, "-m", "harness_plugins.datasets.cinema.generate"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    for option in ("--seed", "--users", "--out", "--difficulty"):
        assert option in done.stdout
    refused = subprocess.run([*command, "--users", "0"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--users must be at least 1" in refused.stderr


def test_draws_follow_the_weights():
    draw = Random(1)
    weights = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    found = np.bincount([categorical(draw, weights) for _ in range(4000)], minlength=5) / 4000
    assert found[[0, 2, 4]].sum() == 0
    assert found[3] == pytest.approx(0.75, abs=0.03)


def test_tastes_are_distributions_that_differ(world):
    assert world.taste.sum(axis=1) == pytest.approx(np.ones(len(world.taste)))
    assert world.distaste.sum(axis=1) == pytest.approx(np.ones(len(world.taste)))
    # Two draws from one type are the same film much more often than draws from two types: taste is shared structure, not noise.
    same = (world.taste**2).sum(axis=1).mean()
    other = (world.taste @ world.taste.T)[~np.eye(len(world.taste), dtype=bool)].mean()
    assert same > 3 * other


# ------------------------------------------------------------------------------------------------------------- the grammar


def sentences(bank):
    if isinstance(bank, str):
        yield bank
    elif isinstance(bank, dict):
        for part in bank.values():
            yield from sentences(part)
    elif isinstance(bank, tuple):
        for part in bank:
            yield from sentences(part)


def test_sentences_name_no_film_and_no_value_of_their_own():
    values, titles = AttributeIndex(FILMS), PhraseIndex()
    for item in FILMS:
        for name in (item.title, *item.aliases):
            titles.add(name, item.id)
    banks = [bank for name, bank in vars(phrases).items() if name.isupper() and name != "WITH_ARTICLE"]
    texts = [re.sub(r"\{\w+\}", "", text) for bank in banks for text in sentences(bank)]
    assert len(texts) > 200
    assert [text for text in texts if values.find(text) or titles.find(text)] == []


@pytest.mark.parametrize(("bank", "polarity"), [(phrases.WANTED, 1), (phrases.ALSO, 1), (phrases.UNWANTED, -1)])
def test_sentences_are_read_with_the_polarity_that_they_mean(bank, polarity):
    index = AttributeIndex(FILMS)
    examples = {"genre": "horror", "star": "Tom Hanks", "director": "Ridley Scott", "country": "France", "decade": "1990s"}
    for facet, texts in bank.items():
        for text in texts:
            said = [s for s in index.statements(text.format(value=examples[facet])) if s.facet == facet]
            assert [(s.value, s.polarity) for s in said] == [(examples[facet], polarity)], text


def test_every_value_has_looser_words_that_are_not_the_value():
    index = AttributeIndex(FILMS)
    for value, words in phrases.LOOSE.items():
        assert any(value in item.attributes[facet] for item in FILMS for facet in item.attributes)
        assert index.find(words) == []
    assert {g for item in FILMS for g in item.attributes["genre"]} <= set(phrases.LOOSE)


def test_slips_are_said_and_corrected(world):
    seen = 0
    for dialogue in dialogues(world, "easy", "train", 60):
        if dialogue.lines[0].text.islower():
            continue
        text = " ".join(line.text for line in dialogue.lines if line.seeker)
        for wish in dialogue.plan.wishes:
            for one in wish.said:
                if one.retracted < 0:
                    continue
                wrong, right = (world.values[one.facet][code] for code in (one.retracted, one.value))
                if wrong.lower() in text.lower() and right.lower() in text.lower():
                    seen += 1
    assert seen >= 5


def test_seekers_mistype_and_recommenders_do_not(world):
    known = {
        word
        for text in sentences(tuple(b for n, b in vars(phrases).items() if n.isupper()))
        for word in normalise(text).split()
    }
    for item in FILMS:
        names = (item.title, str(item.year), *(value for values in item.attributes.values() for value in values))
        known |= {word for name in names for word in normalise(name).split()}
    unknown = {0: Counter(), 1: Counter()}
    for dialogue in dialogues(world, "standard", "train", 40):
        for line in dialogue.lines:
            unknown[line.seeker].update(set(normalise(line.text).split()) - known)
    assert unknown[0] == {}
    assert len(unknown[1]) > 30


def test_users_keep_their_way_of_writing(world):
    texts: dict[str, str] = {}
    for dialogue in dialogues(world, "standard", "train", 40):
        texts[dialogue.plan.user] = texts.get(dialogue.plan.user, "") + "".join(x.text for x in dialogue.lines if x.seeker)
    lower = [text == text.lower() for text in texts.values()]
    assert 0.1 < sum(lower) / len(lower) < 0.6
