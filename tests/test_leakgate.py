"""The leak gate: titles that are written as titles are found, ordinary sentences are left alone, cost stays linear."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.api import Catalogue, Item
from harness.leakgate import WITHHELD, GateResult, LeakGate

TITLES = {
    "matrix": ("The Matrix", 1999),
    "list": ("Schindler's List", 1993),
    "amelie": ("Amélie", 2001),
    "spider": ("Spider-Man", 2002),
    "rocky2": ("Rocky II", 1979),
    "toy3": ("Toy Story 3", 2010),
    "ten": ("10 Things I Hate About You", 1999),
    "vol2": ("Guardians of the Galaxy Vol. 2", 2017),
    "la": ("L.A. Confidential", 1997),
    "fast": ("Fast & Furious", 2009),
    "bug": ("Bug's Life, A", 1998),
    "it": ("It", 2017),
    "up": ("Up", 2009),
    "her": ("Her", 2013),
    "getout": ("Get Out", 2017),
    "one": ("The One", 2001),
    "photo": ("One Hour Photo", 2002),
    "visit": ("The Visit", 2015),
    "heat": ("Heat", 1995),
    "night": ("In the Heat of the Night", 1967),
    "getup": ("Get Up", 2003),
    "new": ("Now", 2015),
    "wars": ("Star Wars", 1977),
    "old_evil": ("Evil Moon", 1981),
    "new_evil": ("Evil Moon", 2013),
    "ikiru": ("Living", 1952),
    "e": ("WALL·E", 2008),
    "tag": ("Tag", 2018),
}
FILMS = Catalogue(Item(i, title, year, aliases=("Ikiru",) if i == "ikiru" else ()) for i, (title, year) in TITLES.items())
GATE = LeakGate(FILMS)


def check(text: str, *hidden: str, policy: Any = "redact") -> GateResult:
    return GATE.check(text, hidden=hidden or TITLES, policy=policy)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("I loved The Matrix.", "matrix"),
        ("i loved the matrix", "matrix"),
        ("I loved Matrix!", "matrix"),
        ("Do you have Matrix, The?", "matrix"),
        ("THE MATRIX?", "matrix"),
        ("Schindlers list", "list"),
        ("Schindler’s List", "list"),
        ("amelie", "amelie"),
        ("Ame\u0301lie", "amelie"),
        ("AMÉLIE", "amelie"),
        ("spider man", "spider"),
        ("Spiderman", "spider"),
        ("spider-man", "spider"),
        ("rocky 2", "rocky2"),
        ("Rocky Two", "rocky2"),
        ("rocky ii", "rocky2"),
        ("toy story three", "toy3"),
        ("Toy Story III", "toy3"),
        ("Ten things I hate about you", "ten"),
        ("guardians of the galaxy volume 2", "vol2"),
        ("Guardians of the Galaxy 2", "vol2"),
        ("LA Confidential", "la"),
        ("l.a. confidential", "la"),
        ("fast and furious", "fast"),
        ("Fast & Furious", "fast"),
        ("A Bug's Life", "bug"),
        ("bugs life", "bug"),
        ("Bug's Life, A", "bug"),
        ("wall-e", "e"),
        ("Ikiru", "ikiru"),
        ("*Heat* is it", "heat"),
    ],
)
def test_a_title_is_found_however_it_is_spelled(text: str, target: str) -> None:
    assert check(text, target).leaks == (target,), check(text, target)


@pytest.mark.parametrize(
    "text",
    [
        "It was fun. It is late! It's fine, is it?",
        "I like it, and up to now I gave her all.",
        "Her films are great; her brother's too.",
        "Get out of here! Let us get out now.",
        "Up to you: up or down.",
        "He said: \"It was fun\", (It was), '“It was so”'",
        "line one\nIt was\n- Up to you",
        "I would like to visit the one I love, tag along?",
        "She paid a visit. The visit was the one.",
        "I saw it in 2017 and her in 2013.",
        "Is that the one? I gave it a 2017 out of 2018.",
        "IT WAS GREAT, GET OUT!",
        "The heat of the night was too much, but in summer...",
        "Living in 1952 was hard; living well is not.",
        "Tag Team Tuesday",
        "I Saw It Follow Her Home",
    ],
)
def test_ordinary_sentences_are_left_alone(text: str) -> None:
    assert check(text, "it", "up", "her", "getout", "visit", "one", "new", "tag") == GateResult(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("I want It tonight", "it"),
        ("have you seen Her?", "her"),
        ('I mean "it", the film', "it"),
        ("I mean “up”.", "up"),
        ("it (2017) please", "it"),
        ("Up (2009)", "up"),
        ("up [2009]", "up"),
        ("something like Up", "up"),
        ("Pixar's Up", "up"),
        ("I liked Get Out a lot", "getout"),
        ("Get Out was good", "getout"),
        ("we saw The Visit", "visit"),
        ("we saw Visit, maybe", "visit"),
    ],
)
def test_ordinary_words_written_as_titles_are_found(text: str, target: str) -> None:
    assert check(text, target).leaks == (target,)


# ---------------------------------------------------------------------------------------------------------- the new text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("I like The Matrix 1999 a lot", f"I like {WITHHELD} a lot"),
        ("I like The Matrix (1999), a lot", f"I like {WITHHELD}, a lot"),
        ("I like Matrix, The (1999), a lot", f"I like {WITHHELD}, a lot"),
        ("I like Matrix, the film", f"I like {WITHHELD}, the film"),
        ("I like The Matrix [ 1999 ].", f"I like {WITHHELD}."),
        ("The Matrix", WITHHELD),
        ("The Matrix 2000000 times", f"{WITHHELD} 2000000 times"),
        ("matrix, Matrix and MATRIX (1999)!", f"{WITHHELD}, {WITHHELD} and {WITHHELD}!"),
        ("'The Matrix'", f"'{WITHHELD}'"),
        ("no title", "no title"),
        ("", ""),
    ],
)
def test_redaction_takes_the_title_and_its_year_and_nothing_else(text: str, redacted: str) -> None:
    assert check(text, "matrix").text == redacted


def test_policies_keep_and_stop_leave_the_text_and_tell_the_leak() -> None:
    text = "I want The Matrix (1999), not Star Wars"
    assert check(text, "matrix") == GateResult(f"I want {WITHHELD}, not Star Wars", ("matrix",), ("wars",))
    assert check(text, "matrix", policy="keep") == GateResult(text, ("matrix",), ("wars",))
    assert check(text, "matrix", policy="stop") == GateResult(text, ("matrix",), ("wars",))


def test_titles_that_are_public_are_named_and_do_not_fire() -> None:
    assert check("The Matrix or Star Wars", "wars") == GateResult(f"The Matrix or {WITHHELD}", ("wars",), ("matrix",))
    assert GATE.check("The Matrix", hidden=()) == GateResult("The Matrix", (), ("matrix",))


def test_a_title_named_twice_leaks_once() -> None:
    assert check("The Matrix! The Matrix!", "matrix") == GateResult(f"{WITHHELD}! {WITHHELD}!", ("matrix",))


# ---------------------------------------------------------------------------------------------- titles inside each other


def test_the_longer_title_counts() -> None:
    assert check("I saw In the Heat of the Night", "heat").leaks == ()
    assert check("I saw In the Heat of the Night", "night").leaks == ("night",)


def test_a_title_is_found_behind_an_ordinary_phrase_that_overlaps_it() -> None:
    assert check("i want the one hour photo", "photo").text == f"i want the {WITHHELD}"


def test_of_two_titles_with_one_end_the_year_decides() -> None:
    assert check("they get Up (2009) now", "up").leaks == ("up",)
    assert check("they Get Up (2003) now", "up").leaks == ()
    assert check("they Get Up (2003) now", "getup").leaks == ("getup",)


def test_of_two_films_of_one_title_the_year_decides() -> None:
    both = ("old_evil", "new_evil")
    assert check("Evil Moon", *both).leaks == both
    assert check("Evil Moon (1981)", *both).leaks == ("old_evil",)
    assert check("Evil Moon 1982", *both).leaks == ("old_evil",)  # off by one is a slip
    assert check("Evil Moon (2013)", "old_evil") == GateResult("Evil Moon (2013)", (), ("new_evil",))
    assert check("Evil Moon (1950)", *both).leaks == both  # fits neither: better safe


def test_overlapping_targets_are_both_withheld() -> None:
    gate = LeakGate([Item("a", "Copper Moon Rising"), Item("b", "Rising Tide Blues")])
    found = gate.check("see Copper Moon Rising Tide Blues now", hidden=["a", "b"])
    assert found == GateResult(f"see {WITHHELD} now", ("a", "b"))


# ------------------------------------------------------------------------------------------------------------ properties

title_words = st.text(alphabet=string.ascii_letters + "éüñ", min_size=1, max_size=8)
any_title = st.lists(title_words, min_size=1, max_size=4).map(" ".join) | st.sampled_from([t for t, _ in TITLES.values()])


@given(
    any_title, st.integers(1900, 2029), st.text(max_size=60), st.text(max_size=60), st.sampled_from([str, str.lower, str.upper])
)
@example("It", 2017, "the one hour", "", str.lower)
@example("Up", 2009, "get", "(", str)
def test_any_title_with_its_year_is_found_in_any_text(title: str, year: int, before: str, after: str, spell: Any) -> None:
    gate = LeakGate([*FILMS, Item("target", title, year)])
    shown = title.removesuffix(", A")
    text = f"{before} {spell(shown)} ({year}) {after}"
    kept = gate.check(text, hidden=["target"], policy="keep")
    assert "target" in kept.leaks
    assert kept.text == text
    redacted = gate.check(text, hidden=["target"])
    assert WITHHELD in redacted.text
    assert f"{spell(shown)} ({year})" not in redacted.text or f"{spell(shown)} ({year})" in before + after


@given(st.text(max_size=200), st.sets(st.sampled_from(sorted(TITLES))))
def test_what_is_redacted_leaks_no_more(text: str, hidden: set[str]) -> None:
    once = GATE.check(text, hidden=hidden)
    assert set(once.leaks) <= hidden
    assert not set(once.items) & set(once.leaks)
    assert once.leaks or once.text == text


@given(st.lists(st.sampled_from(["The Matrix", "Amélie", "Spider-Man", "Toy Story 3", "I", "saw", "the", "(1999)", "."])))
def test_a_second_pass_finds_nothing_new(pieces: list[str]) -> None:
    once = check(" ".join(pieces))
    assert check(once.text) == GateResult(once.text)


# ------------------------------------------------------------------------------------------------------------------ cost


def test_the_cost_of_a_text_depends_on_neither_the_catalogue_nor_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: the walk of the index touches each word a bounded number of times."""
    steps = 0

    class Counted(dict):
        def get(self, key: Any, default: Any = None) -> Any:
            nonlocal steps
            steps += 1
            return super().get(key, default)

    def cost(count: int, text: str) -> int:
        nonlocal steps
        gate = LeakGate(Item(f"x{i}", f"quibble {i} of the moon", 2000) for i in range(count))
        gate._index._root = counted(gate._index._root)
        steps = 0
        gate.check(text, hidden=["x1"])
        return steps

    def counted(node: Any) -> Any:
        return Counted((k, counted(v) if isinstance(v, dict) else v) for k, v in node.items())

    text = "I want quibble 7 of the moon tonight, please. "
    assert cost(10, text) == cost(600, text)
    once, often = cost(50, text * 10), cost(50, text * 100)
    assert often <= 10.5 * once
