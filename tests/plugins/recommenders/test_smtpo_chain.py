"""The reasoning chain: what is written is read back, however it is cut; what breaks the form is told at once."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_plugins.recommenders.smtpo.chain import (
    LONGEST,
    Chain,
    ChainParser,
    MalformedChain,
    Match,
    parse,
    pattern,
    render,
)

GOOD = (
    "<think>\n<preference>likes: horror | Japan ; dislikes: comedy</preference>\n"
    "<match>[C03] horror | Japan [C01] horror / comedy</match>\n<score>[C03] 8 [C01] 10</score>\n"
    "<rank>[C03] > [C01] > [C02]</rank>\n<explain>It has  both.</explain>\n</think>\n<answer>[C03] [C01]</answer>"
)
WORD = st.text("abcdefg é'-", min_size=1, max_size=8).map(lambda s: " ".join(s.split())).filter(bool)


ANY = st.text('ab[]>/;,|.:C01é"\\', max_size=12).map(lambda s: " ".join(s.split()))


@st.composite
def chains(draw: st.DrawFn, word: st.SearchStrategy[str] = WORD) -> tuple[Chain, int, int]:
    count = draw(st.integers(1, 30))
    numbers = draw(st.permutations(range(1, count + 1)))
    k = draw(st.integers(1, count))
    words = st.lists(word, max_size=3, unique=True).map(tuple)
    named = numbers[: draw(st.integers(0, count))]
    return (
        Chain(
            draw(words),
            draw(words),
            tuple(Match(n, draw(words), draw(words)) for n in named),
            tuple((n, draw(st.integers(0, 10))) for n in named),
            tuple(numbers[:k]),
            draw(word),
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
    endless.feed("<think><preference>likes: " + "horror | " * 2000)
    with pytest.raises(MalformedChain, match="longer than"):
        endless.feed("horror | " * 1000)
    whole = ChainParser(3, 2)
    whole.feed(GOOD)
    assert whole.done


def test_fewer_candidates_than_asked_for_are_all_answered() -> None:
    text = render(Chain(answer=(2, 1), rank=(2, 1)))
    assert parse(text, 2, 10).answer == (2, 1)


@settings(max_examples=150, deadline=None)
@given(chains() | chains(ANY))
def test_every_chain_that_can_be_written_and_read_matches_the_pattern(made: tuple[Chain, int, int]) -> None:
    chain, count, k = made
    text = render(chain)
    try:
        readable = parse(text, count, k) == chain
    except MalformedChain:
        readable = False
    if readable:
        assert re.fullmatch(pattern(count, k), text)
        loose = re.sub(r"(</\w+>)<", r"\1\n<", text).replace("] ", "]")
        assert re.fullmatch(pattern(count, k), loose)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.integers(1, 12), st.integers(1, 12))
def test_what_matches_the_pattern_is_read_but_for_repeated_candidates(data: st.DataObject, count: int, k: int) -> None:
    text = data.draw(st.from_regex(pattern(count, k), fullmatch=True))
    try:
        assert len(parse(text, count, k).answer) == min(k, count)
    except MalformedChain as error:
        assert "names a candidate twice" in str(error)  # noqa: PT017


@pytest.mark.parametrize("change", [("[C03] 8", "[C04] 8"), (" [C01]</answer>", "</answer>"), ("10</score>", "11</score>")])
def test_what_breaks_the_form_does_not_match(change: tuple[str, str]) -> None:
    assert re.fullmatch(pattern(3, 2), GOOD)
    assert change[0] in GOOD
    assert not re.fullmatch(pattern(3, 2), GOOD.replace(*change, 1))


@pytest.mark.parametrize("count", [1, 20, 60, 99])
def test_the_longest_text_of_the_pattern_can_be_read(count: int) -> None:
    form = pattern(count, count)
    ids = [f"[C{n:02d}]" for n in range(1, count + 1)]
    free = max(n for n in range(201) if re.fullmatch(form, _filled(ids, n)))
    longest = _filled(ids, free)
    assert free >= 100
    assert len(longest) < LONGEST
    assert parse(longest, count, count).answer == tuple(range(1, count + 1))
    assert not re.fullmatch(form, longest.replace("</explain>", "x</explain>"))


def _filled(ids: list[str], free: int) -> str:
    text = "x" * 400
    return (
        f"<think>\n\n<preference> likes:{text};\ndislikes:{text}</preference>\n\n"
        f"<match>{''.join(i + 'y' * free for i in ids)}</match>\n\n<score>{''.join(f'{i} 10 ' for i in ids)}</score>\n\n"
        f"<rank>{''.join(f'{i} > ' for i in ids)}</rank>\n\n<explain>{text}</explain>\n\n</think>\n\n"
        f"<answer>{' '.join(ids)}</answer>"
    )
