"""The bundled data as a user gets them."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from harness.api import Dataset, Message
from harness.errors import DataError, UsageError
from harness.text import AttributeIndex, PhraseIndex, normalise
from harness_plugins.datasets.cinema import Cinema, Options
from harness_plugins.datasets.cinema.films import load_films, parse_films, table_bytes
from harness_plugins.datasets.cinema.levels import LEVELS
from harness_plugins.datasets.cinema.stored import file_name

FILMS = load_films()
PACKAGED = Path(__file__).parents[3] / "plugins" / "datasets" / "cinema" / "data"


@pytest.fixture(scope="module")
def splits():
    return {split: Cinema().load(split) for split in ("train", "validation", "test")}


# ------------------------------------------------------------------------------------------------------------- films


def test_a_thousand_films_as_facts_only():
    assert len(FILMS) == 1000
    for item in FILMS:
        assert item.text == ""
        assert set(item.attributes) == {"genre", "director", "star", "country", "decade"}
        assert item.attributes["decade"] == (f"{item.year // 10}0s",)
        assert all(value.strip() == value != "" for values in item.attributes.values() for value in values)
    alien = next(item for item in FILMS if item.title == "Alien")
    assert (alien.year, alien.attributes["director"], alien.attributes["country"]) == (
        1979,
        ("Ridley Scott",),
        ("United States",),
    )


def test_titles_are_unique_and_none_is_read_in_a_persons_name():
    names = Counter(normalise(name) for item in FILMS for name in {item.title, *item.aliases})
    assert [name for name, count in names.items() if count > 1] == []
    values = {normalise(value) for item in FILMS for values in item.attributes.values() for value in values}
    assert [name for name in names if any(f" {name} " in f" {value} " for value in values)] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0].replace("title", "name"), *lines[1:]], r"line 1: the header"),
        (lambda lines: [lines[0], lines[1] + "\textra"], r"line 2: 9 cells where 8"),
        (lambda lines: [*lines[:2], lines[2].replace("1996", "MCM")], r"line 3, year: 'MCM'"),
        (lambda lines: [lines[0], lines[1].replace("United States", "")], r"line 2: country is empty"),
    ],
)
def test_a_broken_film_table_is_named_by_line(change, message):
    lines = table_bytes().decode().splitlines()[:4]
    with pytest.raises(DataError, match=message):
        parse_films("\n".join(change(lines)))


# ------------------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("difficulty", LEVELS)
def test_sizes(difficulty):
    cinema = Cinema(Options(difficulty=difficulty))
    assert isinstance(cinema, Dataset)
    for name, least in (("validation", 500), ("test", 500)):
        split = cinema.load(name)
        assert len(split.training) >= 4000
        assert len({scenario.source for scenario in split.scenarios}) >= least
        assert 1000 <= len(split.scenarios) <= 2000


def test_levels_share_users_but_not_statements(splits):
    hard = Cinema(Options(difficulty="hard")).load("test")
    assert [s.source for s in hard.scenarios[:1]] == [s.source for s in splits["test"].scenarios[:1]]
    assert [s.need for s in hard.scenarios] != [s.need for s in splits["test"].scenarios]


def test_a_split_that_is_read_again_is_the_same(splits):
    again = Cinema.load.__wrapped__(Cinema(), "test")
    assert again is not splits["test"]
    assert again.scenarios == splits["test"].scenarios
    assert again.training == splits["test"].training
    assert list(again.catalogue) == list(splits["test"].catalogue)


def test_no_dialogue_stands_in_two_splits(splits):
    sources = {name: {s.source for s in split.scenarios} for name, split in splits.items()}
    assert sources["train"] == {d.id for d in splits["train"].training}
    assert not sources["train"] & sources["test"]
    assert not sources["train"] & sources["validation"]
    assert not sources["validation"] & sources["test"]
    texts = {name: {tuple(m.text for m in d.messages) for d in split.training} for name, split in splits.items()}
    longest = {s.source: tuple(m.text for m in s.context) for s in splits["test"].scenarios}
    assert not [s for s in longest.values() if any(t[: len(s)] == s for t in texts["train"]) and len(s) > 4]


def test_dialogues_have_the_form_of_human_ones(splits):
    dialogues = splits["train"].training
    lengths = [len(d.messages) for d in dialogues]
    assert min(lengths) >= 6
    assert sum(6 <= n <= 14 for n in lengths) / len(lengths) > 0.99
    for dialogue in dialogues:
        roles = [m.role for m in dialogue.messages]
        assert all(a != b for a, b in pairwise(roles))
        named = {i for m in dialogue.messages for i in m.items}
        assert named.issuperset(dialogue.liked + dialogue.disliked + dialogue.seen)
        assert not set(dialogue.liked) & set(dialogue.disliked)


def test_scenarios_are_the_recommending_turns(splits):
    by_id = {d.id: d.messages for d in splits["train"].training}
    wanted = [
        (d.id, turn, m.items)
        for d in splits["train"].training
        for turn, m in enumerate(d.messages)
        if m.role != "seeker" and m.items
    ]
    assert [(s.source, len(s.context), s.need.targets) for s in splits["train"].scenarios] == wanted
    for scenario in splits["train"].scenarios:
        assert scenario.context == by_id[scenario.source][: len(scenario.context)]
        assert scenario.id == f"{scenario.source}:{len(scenario.context)}"


def test_some_rows_repeat_a_film_of_the_context(splits):
    rows = splits["test"].scenarios
    repeated = [s for s in rows if set(s.need.targets) & {i for m in s.context for i in m.items}]
    assert 0.1 < len(repeated) / len(rows) < 0.2
    assert any(f"{len(repeated)} of {len(rows)} rows" in note for note in splits["test"].notes)


# ------------------------------------------------------------------------------------------------------------- needs and texts


def test_a_need_holds_what_was_said_and_more(splits):
    more = 0
    for scenario in splits["test"].scenarios:
        need = scenario.need
        for facet, value, polarity in scenario.private["said"]:
            assert value in (need.liked_attributes if polarity > 0 else need.disliked_attributes)[facet]
        more += len(scenario.private["unsaid"]) > 0
        for facet, values in need.liked_attributes.items():
            assert len(set(values)) == len(values)
            assert not set(values) & set(need.disliked_attributes.get(facet, ()))
        assert not set(need.liked_items) & set(need.disliked_items)
        fresh = set(need.targets) - {i for m in scenario.context for i in m.items}
        assert not fresh & {*need.liked_items, *need.disliked_items, *need.seen_items}
    assert more / len(splits["test"].scenarios) > 0.7


@pytest.mark.parametrize("difficulty", LEVELS)
def test_facets_are_as_reliable_as_the_level_says(difficulty):
    """A stated value is the target's own at least with the facet's reliability, for persons with little more."""
    split = Cinema(Options(difficulty=difficulty)).load("test")
    said, true = Counter(), Counter()
    for scenario in split.scenarios:
        if {film for _, film in scenario.private["named"]} & set(scenario.need.targets):
            continue
        own = FILMS.get(scenario.need.targets[0]).attributes
        for facet, values in scenario.need.liked_attributes.items():
            said[facet] += 1
            true[facet] += values[0] in own[facet]
    for facet, trust in LEVELS[difficulty].reliability.items():
        share = true[facet] / said[facet]
        error = (trust * (1 - trust) / said[facet]) ** 0.5
        assert share > trust - 3 * error
        if facet in ("director", "star"):
            assert share < trust + 3 * error + 0.05


def test_titles_stand_in_the_text_that_links_them(splits):
    titles = PhraseIndex()
    for item in FILMS:
        for name in (item.title, *item.aliases):
            titles.add(name, item.id)
    linked = found = 0
    for dialogue in splits["train"].training[:1000]:
        for message in dialogue.messages:
            read = {film for match in titles.find(message.text) for film in match.payloads}
            linked += len(message.items)
            found += len(read.intersection(message.items))
            if message.role == "recommender":
                assert read.issuperset(message.items), message.text
    assert 0.95 < found / linked < 1.0


def test_most_statements_can_be_read_and_some_cannot(splits):
    index = AttributeIndex(FILMS)
    made = read = opposite = 0
    for scenario in splits["test"].scenarios:
        answers: list[Message] = []
        for message in reversed(scenario.context):
            if message.role == "recommender" and message.items:
                break
            answers.append(message)
        heard = {
            (s.facet, s.value): s.polarity for m in reversed(answers) if m.role == "seeker" for s in index.statements(m.text)
        }
        for facet, value, polarity in scenario.private["said"]:
            made += 1
            read += heard.get((facet, value)) == polarity
            opposite += heard.get((facet, value), polarity) != polarity
    assert 0.75 < read / made < 0.95
    assert opposite / made < 0.01


# ------------------------------------------------------------------------------------------------------------- errors


def test_an_unknown_split_is_refused():
    with pytest.raises(UsageError, match="train, validation or test"):
        Cinema().load("dev")


def test_an_unknown_level_is_refused():
    with pytest.raises(msgspec.ValidationError, match="difficulty"):
        msgspec.convert({"difficulty": "nightmare"}, Options)


def copy(folder: Path, change) -> Cinema:
    """The packaged test files with one file changed; `change` gets its lines."""
    for split in ("train", "test"):
        name = file_name("standard", split)
        lines = gzip.decompress((PACKAGED / name).read_bytes()).splitlines()[:20]
        if split == "test":
            lines = change(lines)
        (folder / name).write_bytes(gzip.compress(b"\n".join(lines)))
    return Cinema(Options(path=str(folder)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:4], b"[[1,2]]"], r"standard-test.jsonl.gz, line 5: "),
        (lambda lines: [*lines[:4], lines[4][:-9]], r"standard-test.jsonl.gz, line 5: "),
        (lambda lines: [lines[0].replace(b"standard", b"hard"), *lines[1:]], r"line 1, difficulty: 'hard', but 'standard'"),
        (lambda lines: [lines[0].replace(b'"test"', b'"train"'), *lines[1:]], r"line 1, split: 'train', but 'test'"),
        (lambda lines: [lines[0].replace(b'"cinema":1', b'"cinema":9'), *lines[1:]], r"line 1, cinema: format 9"),
        (lambda lines: [lines[0].replace(b'"films":"', b'"films":"0'), *lines[1:]], r"line 1, films: "),
        (lambda lines: [lines[0].replace(b'"seed":', b'"seed":1'), *lines[1:]], r"seed 120.*with 20"),
        (lambda lines: lines[1:], r"line 1: "),
        (lambda lines: [], r"empty|line 1"),
    ],
)
def test_damaged_files_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        copy(tmp_path, change).load("test")


def test_a_torn_or_missing_file_says_how_to_write_it_again(tmp_path):
    cinema = copy(tmp_path, lambda lines: lines)
    assert len(cinema.load("test").training) == 19
    file = tmp_path / file_name("standard", "test")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"not a whole gzip file.*cinema\.generate"):
        cinema.load("test")
    file.unlink()
    with pytest.raises(DataError, match=r"standard-test\.jsonl\.gz: No such file.*cinema\.generate"):
        cinema.load("test")
