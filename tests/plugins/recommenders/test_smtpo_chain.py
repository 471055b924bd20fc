"""The reasoning chain: what is written is read back, however it is cut; what breaks the form is told at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_plugins.recommenders.smtpo.chain import Chain, ChainParser, MalformedChain, Match, parse, render

GOOD = (
    "<think>\n<preference>likes: horror | Japan ; dislikes: comedy</preference>\n"
    "<match>[C03] horror | Japan [C01] horror / comedy</match>\n<score>[C03] 8 [C01] 10</score>\n"
    "<rank>[C03] > [C01] > [C02]</rank>\n<explain>It has  both.</explain>\n</think>\n<answer>[C03] [C01]</answer>"
)
WORD = st.text("abcdefg é'-", min_size=1, max_size=8).map(lambda s: " ".join(s.split())).filter(bool)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Chain, int, int]:
    count = draw(st.integers(1, 30))
    numbers = draw(st.permutations(range(1, count + 1)))
    k = draw(st.integers(1, count))
    words = st.lists(WORD, max_size=3, unique=True).map(tuple)
    named = numbers[: draw(st.integers(0, count))]
    return (
        Chain(
            draw(words),
            draw(words),
            tuple(Match(n, draw(words), draw(words)) for n in named),
            tuple((n, draw(st.integers(0, 10))) for n in named),
            tuple(numbers[:k]),
            draw(WORD),
            tuple(numbers[:k]),
        ),
        count,
        k,
    )


def test_a_chain_is_read() -> None:
    chain = parse(GOOD, 3, 2)
    assert chain.likes == ("horror", "Japan")
    assert chain.dislikes == ("comedy",)
    assert chain.matches == (Match(3, ("horror", "Japan")), Match(1, ("horror",), ("comedy",)))
    assert chain.scores == ((3, 8), (1, 10))
    assert chain.rank == (3, 1, 2)
    assert chain.explanation == "It has both."
    assert chain.answer == (3, 1)


@settings(max_examples=60, deadline=None)
@given(chains(), st.data())
def test_what_is_written_is_read_back_however_it_is_cut(made: tuple[Chain, int, int], data: st.DataObject) -> None:
    chain, count, k = made
    text = render(chain)
    assert parse(text, count, k) == chain
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parser = ChainParser(count, k)
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        parser.feed(text[start:end])
    assert parser.done
    assert parser.finish() == chain


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("<answer>[C03] [C01]", "<answer>[C03]"), "1 candidates, not 2"),
        (("<answer>[C03] [C01]", "<answer>[C03] [C03]"), "answer names a candidate twice"),
        (("<answer>[C03] [C01]", "<answer>[C03] [C04]"), r"answer names \[C04\], but there are 3"),
        (("<answer>[C03] [C01]", "<answer>[C03] and [C01]"), "no candidate"),
        (("<answer>[C03] [C01]", "<answer>C03 C01"), "does not start with a candidate"),
        (("[C01] 10", "[C01] 11"), "from 0 to 10"),
        (("[C01] 10", "[C01] high"), "from 0 to 10"),
        (("likes: horror", "horror"), "preference must read"),
        (("<rank>", "<rank><rank>"), "<rank> stands where </rank> must"),
        (("</think>", ""), "<answer> stands where </think> must"),
        (("<match>", "so <match>"), "text stands before <match>"),
        (("</answer>", "</answer> and more"), "something follows"),
        (("both", "b<b>oth"), "angle bracket"),
        (("<think>", ""), "<preference> stands where <think> must"),
        (("</answer>", ""), "ends before </answer>"),
        (("[C03] horror | Japan [C01]", "[C03] horror [C00]"), r"match names \[C00\]"),
    ],
)
def test_what_breaks_the_form_is_told(change: tuple[str, str], reason: str) -> None:
    with pytest.raises(MalformedChain, match=reason):
        parse(GOOD.replace(*change, 1), 3, 2)


def test_a_stream_fails_at_the_first_wrong_section_and_knows_its_end() -> None:
    parser = ChainParser(3, 2)
    with pytest.raises(MalformedChain, match="preference must read"):
        parser.feed("<think><preference>I would say horror</preference>")
    endless = ChainParser(3, 2)
    endless.feed("<think><preference>likes: ")
    with pytest.raises(MalformedChain, match="longer than"):
        for _ in range(300):
            endless.feed("horror | " * 10)
    whole = ChainParser(3, 2)
    whole.feed(GOOD)
    assert whole.done


def test_fewer_candidates_than_asked_for_are_all_answered() -> None:
    text = render(Chain(answer=(2, 1), rank=(2, 1)))
    assert parse(text, 2, 10).answer == (2, 1)
