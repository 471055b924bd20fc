from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import FILMS, human, seeker, shown, talk

from harness import Statement
from harness.text import polarity_spans, tokenise, words
from harness_plugins.recommenders.evidence import evidence
from harness_plugins.recommenders.reading import Reader

READER = Reader(FILMS)


def test_words_of_a_negated_clause_are_kept_apart() -> None:
    reading = READER.read(seeker("I want a comedy, not horror. Something warm"))
    assert reading.words == ("i", "want", "a", "comedy", "something", "warm")
    assert reading.negative == ("not", "horror")


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("I loved Paper Moons", 1),
        ("I did not like Paper Moons", -1),
        ("I hated The Long Tunnel but Paper Moons was lovely", 1),
        ("I don't mind Paper Moons", 1),
        ("that one was fine", 1),
    ],
)
def test_sign_of_a_linked_item_comes_from_its_clause(text: str, sign: int) -> None:
    assert dict(READER.read(seeker(text, "f5")).items) == {FILMS.position("f5"): sign}


def test_a_title_is_a_name_and_neither_negates_nor_asks() -> None:
    conversation = talk(seeker("Never Come Back and Horror Express Nine were great, give me a drama", "f3", "f4"))
    assert READER.mentioned(conversation) == {3: 1, 4: 1}
    assert [s for s, _ in READER.statements(conversation)] == [Statement("genre", "drama", 1)]


def test_the_last_word_on_a_value_counts_and_only_the_seeker_is_heard() -> None:
    conversation = talk(seeker("I like horror and comedy"), human("you could try romance"), seeker("no more horror"))
    said = [s for s, _ in READER.statements(conversation)]
    assert said == [Statement("genre", "comedy", 1), Statement("genre", "horror", -1)]


def test_own_turns_are_no_evidence_and_what_follows_them_is_feedback() -> None:
    asked, liked = seeker("a horror film", "f1"), seeker("no, rather a comedy")
    conversation = talk(asked, human("sure"), shown("f3", text="How about Never Come Back?"), liked, turn=2)
    assert list(evidence(conversation)) == [(asked, False), (human("sure"), False), (liked, True)]


def test_a_very_long_message_is_read_like_a_short_one() -> None:
    text = "I want a comedy, not horror. " + "Something warm. " * 400
    reading = READER.read(seeker(text, "f5"))
    assert reading.negative == ("not", "horror")
    assert len(reading.words) == 4 + 2 * 400
    assert [s.polarity for s in READER.said_by(seeker(text))] == [1, -1]


@given(st.text(max_size=40))
def test_words_are_the_folded_tokens(text: str) -> None:
    assert words(text) == [token.norm for token in tokenise(text)]


PIECES = "but's|Though'll|but|, however|want|know|not|No|don't|dont|never|can't get enough of|film|é|'|,|.|;| ".split("|")


@given(st.lists(st.sampled_from(PIECES)).map(" ".join) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_every_word_has_the_sign_of_the_span_in_which_it_stands(text: str) -> None:
    """However much of the work a text is spared that needs none."""
    said: dict[int, list[str]] = {1: [], -1: []}
    for start, end, polarity in polarity_spans(text):
        said[polarity] += words(text[start:end])
    reading = READER.read(seeker(text))
    assert (list(reading.words), list(reading.negative)) == (said[1], said[-1])


def test_unknown_ids_and_empty_texts_are_read_without_complaint() -> None:
    reading = READER.read(seeker("", "nobody-knows-this"))
    assert (reading.words, reading.items) == ((), ())


@given(
    st.text(st.sampled_from("ab .,;!?'’\n") | st.characters(), max_size=60)
    | st.from_regex(r"(not |but |a, |no\. |don't mind ){0,9}")
)
def test_polarity_spans_cover_the_text_in_order(text: str) -> None:
    spans = list(polarity_spans(text))
    assert "".join(text[start:end] for start, end, _ in spans) == text
    assert all(start < end for start, end, _ in spans)
