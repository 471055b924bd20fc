"""Words, exact phrase search, and attribute statements with their polarity."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api import Item, Statement
from harness.text import AttributeIndex, PhraseIndex, fold, normalise, polarity_spans, tokenise, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Amélie", "AMELIE"),
        ("Ame\u0301lie", "Amélie"),
        ("Schindler's List", "schindlers list"),
        ("Schindler’s List", "Schindler's List"),
        ("Schindler\u02bcs List", "Schindler´s List"),
        ("cafe\u0301's", "café’s"),
        ("WALL·E", "wall-e"),
        ("Léon: The Professional!", "leon the professional"),
        ("STRASSE", "Straße"),
        ("ﬁght club", "Fight Club"),
        ("Se7en", "se7en"),
    ],
)
def test_spellings_that_differ_in_case_accents_or_marks_are_equal(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("The Ring", "Ring"), ("Alien", "Aliens"), ("up2", "up 2"), ("", "a")])
def test_different_names_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@given(st.text(max_size=80))
def test_words_lie_where_they_say(text: str) -> None:
    tokens = tokenise(text)
    assert [fold(text[t.start : t.end]) for t in tokens] == [t.norm for t in tokens]
    assert all(a.end <= b.start for a, b in itertools.pairwise(tokens))
    assert all(t.start < t.end for t in tokens)
    assert words(text) == [t.norm for t in tokens]


@given(st.text(alphabet="abcéñüå '’-", max_size=40))
def test_composed_and_decomposed_texts_have_the_same_words(text: str) -> None:
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(unicodedata.normalize("NFC", text))


def index(*phrases: str) -> PhraseIndex:
    built = PhraseIndex()
    for phrase in phrases:
        built.add(phrase, phrase)
    return built


def test_the_longest_phrase_wins_left_to_right() -> None:
    found = index("star", "star wars", "wars of the worlds", "the").find("Star Wars of the worlds")
    assert [(m.payloads, m.start, m.end) for m in found] == [(("star wars",), 0, 9), (("the",), 13, 16)]


def test_every_gives_inner_and_overlapping_phrases_too() -> None:
    found = index("star", "star wars", "wars of the worlds", "the").every(tokenise("Star Wars of the worlds"))
    assert [m.payloads[0] for m in found] == ["star", "star wars", "wars of the worlds", "the"]


def test_one_phrase_may_hold_several_payloads_each_once() -> None:
    built = PhraseIndex()
    for payload in ("a", "b", "a"):
        built.add("The Thing!", payload)
    built.add("?!", "wordless")
    assert built.find("the thing ?!")[0].payloads == ("a", "b")
    assert built.find("?!") == []


word = st.sampled_from(["red", "blue", "dawn", "of", "the"])
phrases = st.lists(st.lists(word, min_size=1, max_size=3).map(" ".join), max_size=6, unique=True)


@given(phrases, st.lists(word, max_size=12).map(" ".join))
def test_search_equals_a_naive_scan(phrases: list[str], text: str) -> None:
    tokens = text.split()
    every = sorted(
        (start, size)
        for phrase in phrases
        for size in [len(phrase.split())]
        for start in range(len(tokens))
        if tokens[start : start + size] == phrase.split()
    )
    built = index(*phrases)
    assert [(len(text[: m.start].split()), len(text[m.start : m.end].split())) for m in built.every(tokenise(text))] == every
    longest, position = [], 0
    while position < len(tokens):
        size = max((size for start, size in every if start == position), default=0)
        if size:
            longest.append((position, size))
        position += size or 1
    assert [(len(text[: m.start].split()), len(text[m.start : m.end].split())) for m in built.find(text)] == longest


FILMS = [
    Item("1", "A", attributes={"genre": ("Horror", "Science Fiction"), "director": ("Jordan Peele",), "star": ("Ann Lee",)}),
    Item("2", "B", attributes={"genre": ("Comedy",), "director": ("Joel Coen",), "star": ("Samuel L. Jackson",)}),
    Item("3", "C", attributes={"genre": ("Drama",), "director": ("Ethan Coen",), "star": ("Jill St. John",)}),
]


def said(text: str) -> list[tuple[str, str, int]]:
    return [(s.facet, s.value, s.polarity) for s in AttributeIndex(FILMS).statements(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a horror film by Jordan Peele", [("genre", "Horror", 1), ("director", "Jordan Peele", 1)]),
        ("something by Peele", [("director", "Jordan Peele", 1)]),
        ("something by Coen", []),  # two of that name
        ("I saw Lee", []),  # three letters
        ("I want comedy, not horror", [("genre", "Comedy", 1), ("genre", "Horror", -1)]),
        ("I don't like comedy but I love drama", [("genre", "Comedy", -1), ("genre", "Drama", 1)]),
        ("No horror. Comedy please", [("genre", "Horror", -1), ("genre", "Comedy", 1)]),
        ("I wouldn’t mind a drama", [("genre", "Drama", 1)]),
        ("I can't get enough of horror", [("genre", "Horror", 1)]),
        ("no films with Samuel L. Jackson", [("star", "Samuel L. Jackson", -1)]),
        ("not with Jill St. John", [("star", "Jill St. John", -1)]),
        ("horror is great. Actually no horror", [("genre", "Horror", -1)]),
        ("science-fiction", [("genre", "Science Fiction", 1)]),
        ("", []),
    ],
)
def test_statements_have_the_polarity_of_their_clause(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert said(text) == expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", [" ", "\t\n", ", ", "no ", "a'", "a\u0301", "but ", "not only "])
def test_hostile_texts_cost_no_more_than_others(unit: str) -> None:
    """A pattern that backtracks over blanks would hold up every dialogue of a run: such texts come from strangers' models."""
    AttributeIndex(FILMS).statements((unit * 20_000)[:20_000])


def test_a_blank_more_changes_no_clause() -> None:
    assert said("horror   but \n not comedy") == [("genre", "Horror", 1), ("genre", "Comedy", -1)]
    assert said("not horror , but comedy") == [("genre", "Horror", -1), ("genre", "Comedy", 1)]


def test_facets_limit_the_search() -> None:
    limited = AttributeIndex(FILMS, facets=["genre"])
    assert limited.facets == ("genre",)
    assert limited.statements("horror by Jordan Peele") == (Statement("genre", "Horror"),)


def test_a_name_may_stand_under_two_facets() -> None:
    both = AttributeIndex([Item("1", "A", attributes={"director": ("Orson Welles",), "star": ("Orson Welles",)})])
    assert {s.facet for s in both.statements("Orson Welles")} == {"director", "star"}


@pytest.mark.parametrize(
    "cue",
    "not,No,never,without,HATE,hates,hated,dislike,avoid,tired of,sick of,enough,nothing,nor,less,skip,can't stand,"
    "cannot stand,don't,dont,doesn\u2019t,didnt,isn't,aren't,wasn\u2019t,rather not,cant,won't,wouldn't,couldn't,not into,"
    "fan of neither,\u017fkip".split(","),  # the old long s is an s to whoever ignores case
)
def test_every_cue_negates_its_clause_from_there_on(cue: str) -> None:
    text = f"Comedies. I am {cue} horror. Westerns!"
    spans = [(text[start:end], polarity) for start, end, polarity in polarity_spans(text)]
    assert "".join(span for span, _ in spans) == text
    assert [span for span, polarity in spans if polarity < 0] == [text[text.index(cue) : text.index(" Westerns")]]


PIECES = "no|not|know|want|n't|don't|Don't|dont|canT|NEVER|nothing|skip|only|mind|but|, |. |é| |".split("|")


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_a_letter_with_an_accent_further_on_changes_no_polarity(text: str) -> None:
    """Texts in plain letters are read in another, faster way."""
    signs = [sign for start, end, sign in polarity_spans(f"{text}; é") for _ in range(start, min(end, len(text)))]
    assert signs == [sign for start, end, sign in polarity_spans(text) for _ in range(start, end)]
