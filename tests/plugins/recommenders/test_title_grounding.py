"""Titles that a model names -> items: what must be found, and what must not be mistaken for something else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import dialogue, seeker

from harness import Catalogue, Item
from harness.grounding import Grounder

FILMS = Catalogue(
    [
        Item("alien", "Alien", 1979),
        Item("thing82", "The Thing", 1982),
        Item("thing11", "The Thing", 2011),
        Item("rocky2", "Rocky II", 1979),
        Item("toy3", "Toy Story 3", 2010),
        Item("matrix", "Matrix, The", 1999),
        Item("spider", "Spider-Man", 2002),
        Item("amelie", "Amélie", 2001, aliases=("Le Fabuleux Destin d'Amélie Poulain",)),
        Item("borat", "Borat: Cultural Learnings of America for Make Benefit Glorious Nation of Kazakhstan", 2006),
        Item("summer", "(500) Days of Summer", 2009),
        Item("klowns", "Killer Klowns from Outer Space", 1988),
        Item("colour", "Blue Is the Warmest Colour", 2013),
        Item("volver", "Volver", 2006),
        Item("fan", "Fan", 2016),
        Item("nick", "Nick & Norah's Infinite Playlist (2008)"),
        Item("prisoners", "Prisoners", 2013),
        Item("wolf", "The Wolf of Wall Street", 2013),
        Item("x", "X", 1986),
        Item("boy", "The Boy"),
        Item("1900", "1900", 1976),
    ]
)


def grounded(title: str, **options: float) -> str | None:
    found = Grounder(FILMS, **options).ground(title)
    assert found in FILMS or found.startswith("ooc:")
    return found if found in FILMS else None


@pytest.mark.parametrize(
    ("title", "item"),
    [
        ("Alien (1979)", "alien"),
        ("  ALIEN ", "alien"),
        ("Alien (1979 film)", "alien"),
        ("Alien (film)", "alien"),
        ("Alien (1980)", "alien"),  # sources differ by a year
        ("The Thing (2011)", "thing11"),
        ("The Thing (1982)", "thing82"),
        ("The Thing", "thing82"),  # no year, no training: the first of the catalogue
        ("Rocky 2 (1979)", "rocky2"),
        ("Rocky Part II", "rocky2"),
        ("Toy Story Three", "toy3"),
        ("The Matrix (1999)", "matrix"),
        ("Matrix (1999)", "matrix"),
        ("Spiderman", "spider"),
        ("Spider Man (2002)", "spider"),
        ("Amelie (2001)", "amelie"),
        ("le fabuleux destin d’amelie poulain", "amelie"),
        ("Borat (2006)", "borat"),
        ("500 Days of Summer", "summer"),
        ("Killer Clowns from Outer Space (1988)", "klowns"),
        ("Blue Is the Warmest Color (2013)", "colour"),
        ("Blue is the Warmest Color", "colour"),
        ("Nick and Norah's Infinite Playlist", "nick"),
        ("Nick and Norahs Infinite Playlist (2008)", "nick"),
        ("Wolf of Wall Street", "wolf"),
        ("The Boy (2016)", "boy"),  # the catalogue has no year to contradict it
    ],
)
def test_a_title_is_found_however_it_is_written(title: str, item: str) -> None:
    assert grounded(title) == item


@pytest.mark.parametrize(
    "title",
    [
        "Aliens (1986)",
        "Aliens",
        "Alien (1992)",
        "Rocky III (1979)",
        "Rocky",
        "Toy Story 2 (2010)",
        "Borat",  # no year: too little to go by
        "Revolver (2006)",
        "The Fan",
        "The Fan (1996)",
        "The Prisoner (2013)",  # a plural is no slip
        "Ten",
        "A Boy and His Dog",
        "1-900 (1976)",
        "The Wolf of Snow Hollow (2013)",
        "Killer Clowns from Outer Space (1978)",
        "",
        "(1979)",
        "????",
        "I can't recommend anything",
    ],
)
def test_another_title_is_not_mistaken_for_one_of_the_catalogue(title: str) -> None:
    assert grounded(title) is None


def test_without_a_year_the_most_mentioned_of_one_title_is_meant() -> None:
    training = [dialogue(n, seeker("The Thing!", "thing11")) for n in range(2)]
    assert Grounder(FILMS, training).ground("the thing") == "thing11"
    assert Grounder(FILMS, training).ground("the thing (1982)") == "thing82"


def test_the_threshold_decides_on_slips_and_on_nothing_else() -> None:
    assert grounded("Killer Clowns from Outer Space (1988)", threshold=97.0) is None
    assert grounded("Spiderman (2002)", threshold=100.0) == "spider"
    assert grounded("Wolf of Wal Street (2013)", threshold=100.0) is None
    assert grounded("Wolf of Wal Street (2013)", threshold=90.0) == "wolf"


def test_two_equally_near_titles_are_left_alone() -> None:
    twins = Catalogue([Item("a", "Night of the Hunted", 2000), Item("b", "Night of the Hunter", 2000)])
    assert Grounder(twins).ground("Night of the Hunte (2000)") == "ooc:Night of the Hunte (2000)"


def test_what_is_not_found_stays_a_title_of_at_most_256_characters() -> None:
    grounder = Grounder(FILMS)
    assert grounder.ground("  Some \n Other  Film (2031) ") == "ooc:Some Other Film (2031)"
    assert len(grounder.ground("y" * 5000)) == 256
    taken = Grounder(Catalogue([Item("ooc:Nowhere", "Somewhere")]))
    assert taken.ground("Nowhere") == "ooc:ooc:Nowhere"


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=60) | st.sampled_from([item.title for item in FILMS]).flatmap(lambda t: st.permutations(t).map("".join))
)
def test_any_text_gives_an_id(title: str) -> None:
    found = Grounder(FILMS).ground(title)
    assert found in FILMS or found.startswith("ooc:")
    assert 0 < len(found) <= 256


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(FILMS)), st.sampled_from([str.upper, str.lower, str.title]), st.booleans())
def test_every_title_of_the_catalogue_is_found_in_any_case(item: Item, written: object, dated: bool) -> None:
    title = written(item.title) + (f" ({item.year})" if dated and item.year else "")  # type: ignore[operator]
    found = FILMS.get(Grounder(FILMS).ground(title))
    assert found is not None
    assert found.title == item.title
    assert not dated or found.year == item.year
