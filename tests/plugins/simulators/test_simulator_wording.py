"""How attributes are put into words, and that the words around them are harmless."""

from __future__ import annotations

import pytest
from five_films import INDEX

from harness import options
from harness.api import Catalogue, Item, Knowledge, Simulator
from harness.errors import UsageError
from harness.leakgate import LeakGate
from harness.registry import Registry
from harness.text import AttributeIndex, polarity_spans
from harness_plugins.datasets.cinema.films import load_films
from harness_plugins.facets import asked_families, noun_of
from harness_plugins.simulators import speech
from harness_plugins.simulators.wording import phrase


@pytest.mark.parametrize(
    ("facet", "values", "noun", "expected"),
    [
        ("genre", ["Horror"], "film", "horror films"),
        ("genres", ["Sci-Fi", "IMAX"], "film", "sci-fi and IMAX films"),
        (
            "genre",
            ["Film-Noir", "United Kingdom", "Crime Fiction"],
            "film",
            "film-noir and United Kingdom and crime fiction films",
        ),
        ("genre", ["Action Film"], "film", "films of the genre action film"),
        ("director", ["Ana Sol"], "film", "films directed by Ana Sol"),
        ("star", ["Bo Reed", "Cy Lane"], "film", "films starring Bo Reed and Cy Lane"),
        ("actors", ["Bo Reed"], "film", "films starring Bo Reed"),
        ("cast", ["Bo Reed"], "film", "films starring Bo Reed"),
        ("writer", ["Eve Tarn"], "film", "films written by Eve Tarn"),
        ("author", ["Eve Tarn"], "book", "books by Eve Tarn"),
        ("country", ["France"], "film", "films from France"),
        ("country", ["United States", "UK"], "film", "films from the United States and the UK"),
        ("decade", ["1990s"], "film", "films from the 1990s"),
        ("decade", ["the 1990s"], "film", "films from the 1990s"),
        ("year", ["1994"], "film", "films from 1994"),
        ("language", ["Korean"], "film", "films in Korean"),
        ("plot_keyword", ["heist"], "film", "films whose plot keyword is heist"),
        ("keywords", ["heist", "time travel"], "title", "titles whose keywords include heist and time travel"),
        ("status", ["rare"], "title", "titles whose status is rare"),
    ],
)
def test_phrases(facet: str, values: list[str], noun: str, expected: str):
    assert phrase(facet, values, noun) == expected


@pytest.mark.parametrize(
    ("question", "families"),
    [
        ("Which genre do you like?", ("genre",)),
        ("Any favourite actors or directors?", ("star", "director")),
        ("What kind of films?", ("genre",)),
        ("What kind of actor?", ("star",)),
        ("Something recent?", ("year",)),
        ("Which plot keyword?", ("plot keyword",)),
        ("Did you like it?", ()),
    ],
)
def test_asked_families(question: str, families: tuple[str, ...]):
    assert asked_families(question, ("genre", "plot keyword")) == families


@pytest.mark.parametrize(
    ("facets", "noun"), [(("genre", "director"), "film"), (("author",), "book"), (("genre",), "title"), ((), "title")]
)
def test_the_noun_follows_the_catalogue(facets: tuple[str, ...], noun: str):
    assert noun_of(Catalogue((Item("a", "A", attributes=dict.fromkeys(facets, ("x",))), Item("b", "B")))) == noun


def test_every_wish_is_affirmed_and_every_refusal_negated_at_its_phrase():
    for templates, polarity in ((speech.WANTED, 1), (speech.UNWANTED, -1)):
        for manner in templates:
            for template in templates[manner]:
                # The worst titles: one that negates and one that ends a sentence.
                for title in ("Never Not", "Stop!"):
                    sentence = speech.with_title(template, title).replace("{np}", "QQQ")
                    place = sentence.index("QQQ")
                    assert [p for start, end, p in polarity_spans(sentence) if start <= place < end] == [polarity], sentence


def test_no_sentence_is_read_as_a_statement_by_its_fixed_words():
    fixed = (speech.NONE_OF_THESE, speech.NOT_THIS, speech.NOT_LIKED, speech.SEEN, speech.ACCEPT, speech.QUIT, speech.NO_ANSWER)
    assert all(INDEX.statements(template) == () for group in fixed for template in group)


# ------------------------------------------------------------------------------------------------------- descriptors

LEVELS = {
    "rule": "profile",
    "rule-target": "target_aware",
    "no-feedback": "label_free",
    "exclude-only": "label_free",
    "shuffled": "profile",
    "oracle": "target_aware",
    "human": "label_free",
}


def test_the_registry_finds_every_simulator_with_its_level():
    registry = Registry()
    listed = {entry.name: entry for entry in registry.entries("simulator") if entry.full_name.startswith("crs-harness:")}
    assert LEVELS.items() <= {name: entry.component.knowledge for name, entry in listed.items()}.items()
    for name, level in LEVELS.items():
        entry = registry.find("simulator", name)
        simulator = registry.load(entry)(options.build(registry, entry, {}))
        assert isinstance(simulator, Simulator)
        assert simulator.knowledge == level == Knowledge(level).level


@pytest.mark.parametrize(
    ("name", "value"), [("eps", "1.5"), ("accept", "-0.1"), ("reveal", "-1"), ("patience", "x"), ("epsilon", "1")]
)
def test_options_out_of_range_are_refused(name: str, value: str):
    registry = Registry()
    with pytest.raises(UsageError, match=name):
        options.build(registry, registry.find("simulator", "rule"), {name: value})


def test_the_fixed_words_name_no_film_and_no_attribute_of_the_bundled_catalogue():
    films = load_films()
    gate, index = LeakGate(films), AttributeIndex(films)
    wishes = (t for templates in (speech.WANTED, speech.UNWANTED) for group in templates.values() for t in group)
    fixed = (speech.NONE_OF_THESE, speech.NOT_THIS, speech.NOT_LIKED, speech.SEEN, speech.ACCEPT, speech.QUIT, speech.NO_ANSWER)
    facets = ("genre", "director", "star", "country", "decade")
    sentences = {
        template.replace("{title}", "Qqxq").replace("{family}", facet).replace("{np}", phrase(facet, ["Zzyz"]))
        for template in (*wishes, *speech.NO_PREFERENCE, *(t for group in fixed for t in group))
        for facet in facets
    }
    for sentence in sentences:
        assert gate.check(sentence, hidden=films.ids).leaks == (), sentence
        assert index.find(sentence) == [], sentence
