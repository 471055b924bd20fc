"""Hidden titles in disguise: found and withheld; ordinary texts are left alone."""

from __future__ import annotations

import base64

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.api import Item
from harness.leakgate import WITHHELD, LeakGate

FILMS = [
    Item("t", "Titanic", 1997),
    Item("o", "The Others", 2001),
    Item("s", "Se7en", 1995),
    Item("l", "The Silence of the Lambs", 1991),
    Item("a", "Alone", 2020),
    Item("n", "1917", 2019),
    Item("x", "Get Out", 2017),
]
GATE = LeakGate(FILMS)
ALL = [item.id for item in FILMS]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("It is T-I-T-A-N-I-C, you know.", "t"),
        ("t i t a n i c", "t"),
        ("t_i_t_a_n_i_c", "t"),
        ("**T**itanic", "t"),
        ("tit-an-ic", "t"),
        ("T1tan1c", "t"),
        ("Ti\u200btanic", "t"),
        ("Тitanic", "t"),  # a Cyrillic first letter
        ("cinatiT", "t"),
        ("Gvgnavp", "t"),
        (base64.b64encode(b"the film Titanic").decode(), "t"),
        (b"Titanic".hex(), "t"),
        (b"Titanic".hex(" "), "t"),
        ("#TheSilenceOfTheLambs", "l"),
        ("sbmaL eht fo ecneliS ehT", "l"),
        ("T.h.e O.t.h.e.r.s", "o"),
    ],
)
def test_a_disguised_title_is_a_leak_and_is_withheld(text: str, target: str) -> None:
    gated = GATE.check(text, hidden=ALL)
    assert gated.leaks == (target,)
    assert WITHHELD in gated.text
    assert GATE.check(gated.text, hidden=ALL).leaks == ()
    assert GATE.check(text, hidden=()).leaks == (), "nobody's secret"
    kept = GATE.check(text, hidden=ALL, policy="keep")
    assert (kept.text, kept.leaks) == (text, (target,))


@pytest.mark.parametrize(
    "text",
    [
        "A lone wolf and seven people get out of there.",
        "Films from 1917 or the 1920s, and the others as well.",
        "I liked 3 of the 10, not the 2nd.",
        "Something in the tit-for-tat line, a reverse heist?",
        "aGVsbG8gd29ybGQ= means hello world",
    ],
)
def test_ordinary_texts_hold_no_disguise(text: str) -> None:
    assert GATE.check(text, hidden=ALL).text == text


@given(
    st.text(st.characters(categories=("Lu", "Ll")), min_size=4, max_size=12).filter(str.isascii),
    st.sampled_from([" ", "-", ".", "*", "_", " - "]),
    st.sampled_from(["", "Well, ", "I mean: "]),
)
@settings(deadline=None)
def test_any_spelled_out_title_is_withheld(title: str, separator: str, before: str) -> None:
    assume(title.lower() not in before.lower())  # "mean" would be withheld there too
    gate = LeakGate([Item("x", title)])
    gated = gate.check(f"{before}{separator.join(title)} please", hidden=["x"])
    assert gated.leaks == ("x",)
    assert gated.text == f"{before}{WITHHELD} please"
