from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_plugins.datasets.titles import Title, TitleIndex, natural_order, parse_title, split_year, title_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heat (1995)", ("Heat", 1995)),
        ("Heat  (1995) ", ("Heat", 1995)),
        ("Olympus Has Fallen(2013)", ("Olympus Has Fallen", 2013)),
        ("Moonlight", ("Moonlight", None)),
        ("Blade Runner 2049", ("Blade Runner 2049", None)),
        ("Death Note (2006–2007)", ("Death Note", 2006)),
        ("Black Mirror (2011- )", ("Black Mirror", 2011)),
        ("(1995)", ("(1995)", None)),
    ],
)
def test_split_year(text, expected):
    assert split_year(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Matrix, The (1999)", Title("The Matrix", 1999)),
        ("Postman, The (Postino, Il) (1994)", Title("The Postman", 1994, ("Il Postino",))),
        ("Seven (a.k.a. Se7en) (1995)", Title("Seven", 1995, ("Se7en",))),
        ("(500) Days of Summer (2009)", Title("(500) Days of Summer", 2009)),
        ("Avventura, L' (Adventure, The) (1960)", Title("L'Avventura", 1960, ("The Adventure",))),
        ("Good, the Bad and the Ugly, The (Buono, il brutto, il cattivo, Il) (1966)",
         Title("The Good, the Bad and the Ugly", 1966, ("Il Buono, il brutto, il cattivo",))),
        ("Babylon 5", Title("Babylon 5")),
        ("Emma (1996) ", Title("Emma", 1996)),
    ],
)  # fmt: skip
def test_parse_title(text, expected):
    assert parse_title(text) == expected


def test_article_only_behind_the_last_comma():
    assert natural_order("Me, Myself, the Other") == "Me, Myself, the Other"
    assert natural_order("Beautiful Mind, A") == "A Beautiful Mind"


def test_key_joins_spellings():
    assert title_key("Amélie & Friends!") == title_key("amelie and friends")
    assert title_key("Ocean's Eleven") == title_key("Oceans Eleven")
    assert title_key("Alien") != title_key("Aliens")


def test_index_wants_the_year_unless_a_side_has_none():
    index: TitleIndex[str] = TitleIndex()
    index.add("It", 1990, "old")
    index.add("It", 2017, "new")
    index.add("Moonlight", None, "moon")
    index.add("Heat", 1995, "heat")
    assert index.find("it", 2017) == "new"
    assert index.find("It", 2001) is None
    assert index.find("It", None) is None  # two films bear it
    assert index.find("Moonlight", 2016) == "moon"
    assert index.find("Heat", None) == "heat"
    assert index.find("Heat", 1986) is None
    assert index.latest("It") == "new"
    assert index.latest("Nothing") is None
    assert (index.years("It"), index.years("Nothing")) == (2, 0)


def test_first_entry_under_a_title_and_year_stays():
    index: TitleIndex[int] = TitleIndex()
    index.add("Emma", 1996, 1)
    index.add("EMMA", 1996, 2)
    index.add("!?", 2000, 3)
    assert index.find("Emma", 1996) == 1
    assert index.find("!?", 2000) is None
    assert len(index) == 1


@given(st.text(max_size=40))
def test_any_text_can_be_parsed(text):
    title = parse_title(text)
    assert title.name == title.name.strip()
    assert title.name not in title.aliases
    assert bool(title.name) == bool(text.strip())
