"""What holds for every need, list and seed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from five_films import conversation, prepared
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import Attributes, Catalogue, Feedback, Item, Knowledge
from harness.text import AttributeIndex, normalise
from harness_plugins.simulators.controls import ExcludeOnly, NoFeedback, Shuffled
from harness_plugins.simulators.rule import Options, Rule
from harness_plugins.simulators.target import Oracle, RuleTarget

GENRES = ("Action", "Comedy", "Drama", "Film-Noir", "Sci-Fi", "War", "Comedy Drama", "Monster Film")
PEOPLE = (
    "Ann B. Carter",
    "Zoë Dürr",
    "J.R. Eames",
    "Lee O'Hara",
    "Fay St. Clair",
    "Gus Marsh Jr.",
    "Ida Marsh",
    "Jo Ann Carter",
)
FACETS: dict[str, tuple[str, ...]] = {
    "genre": GENRES,
    "director": PEOPLE[:5],
    "star": PEOPLE[2:],
    "writer": PEOPLE[1:4],
    "country": ("United States", "France", "South Korea"),
    "decade": ("1970s", "1990s", "2000s"),
    "language": ("English", "Swahili"),
    "plot_keyword": ("heist", "time travel", "lost at sea"),
}
_RANDOM = Random(3)


def _film(number: int) -> Item:
    facets = {f: tuple(_RANDOM.sample(v, _RANDOM.randint(0, min(2, len(v))))) for f, v in FACETS.items()}
    # Titles with negations, stops and quotation marks; none contains another, nor an attribute.
    title = (
        _RANDOM.choice(("No Xylo", "Never Quux", "Dr. Zorb!", "What Plim?", 'The "Vint"', "Isn't Krell...", "Ubbo; Less"))
        + f" {number}x"
    )
    return Item(f"f{number}", title + _RANDOM.choice(("", "!", ".", "?")), attributes={f: v for f, v in facets.items() if v})


# Each example is a dialogue of up to four turns, and most properties run for several simulators.
FEWER = settings(max_examples=30)
FILMS = Catalogue(_film(number) for number in range(60))
INDEX = AttributeIndex(FILMS)


def attributes() -> st.SearchStrategy[Attributes]:
    return st.fixed_dictionaries(
        {},
        optional={f: st.lists(st.sampled_from(v), min_size=1, max_size=3, unique=True).map(tuple) for f, v in FACETS.items()},
    )


ids = st.lists(st.sampled_from(FILMS.ids), max_size=10, unique=True).map(tuple)


@st.composite
def profiles(draw: Any, *, distinct: bool = True) -> Knowledge:
    liked, disliked = draw(attributes()), draw(attributes())
    if distinct:
        disliked = {f: tuple(v for v in values if v not in liked.get(f, ())) for f, values in disliked.items()}
    return Knowledge("profile", draw(ids), draw(ids), draw(ids), liked, {f: v for f, v in disliked.items() if v})


def aware(knowledge: Knowledge, targets: tuple[str, ...]) -> Knowledge:
    return Knowledge(
        "target_aware",
        knowledge.liked_items,
        knowledge.disliked_items,
        knowledge.seen_items,
        knowledge.liked_attributes,
        knowledge.disliked_attributes,
        targets,
    )


def holds(knowledge: Knowledge, facet: str, value: str, polarity: int) -> bool:
    side = knowledge.liked_attributes if polarity > 0 else knowledge.disliked_attributes
    return value in side.get(facet, ())


def four_turns(
    simulator: Any, knowledge: Knowledge, lists: list[tuple[str, ...]], seed: int, text: str = "These?"
) -> list[Feedback]:
    state = None
    answers = []
    for turn, ranked in enumerate(lists, 1):
        answers.append(simulator.reply(conversation(*ranked, text=text, turn=turn, seed=seed, state=state), knowledge))
        state = answers[-1].state
        if answers[-1].action != "continue":
            break
    return answers


lists_of_ids = st.lists(ids, min_size=1, max_size=4)
seeds = st.integers(0, 2**63)
questions = st.sampled_from(("These?", "Which genre?", "Who should star in it?", "Do you like war?", "Tell me more.", ""))
TRUE = prepared(Rule(Options(reveal=2)), FILMS)
FALSE = prepared(Rule(Options(eps=1.0, reveal=2)), FILMS)
NOISY = prepared(Rule(Options(eps=0.4, reveal=2)), FILMS)
AWARE = prepared(RuleTarget(Options(reveal=2, reveal_disliked=0.5)), FILMS)
ORACLE = prepared(Oracle(), FILMS)


@FEWER
@given(profiles(distinct=False), lists_of_ids, seeds, questions)
def test_without_noise_every_statement_is_true(knowledge: Knowledge, lists: list[tuple[str, ...]], seed: int, text: str):
    for answer in four_turns(TRUE, knowledge, lists, seed, text):
        assert all(holds(knowledge, s.facet, s.value, s.polarity) for s in answer.statements)


@FEWER
@given(profiles(), lists_of_ids, seeds, questions)
def test_with_full_noise_no_statement_is_true(knowledge: Knowledge, lists: list[tuple[str, ...]], seed: int, text: str):
    for answer in four_turns(FALSE, knowledge, lists, seed, text):
        assert not any(holds(knowledge, s.facet, s.value, s.polarity) for s in answer.statements)


@pytest.mark.parametrize("simulator", [TRUE, NOISY, FALSE, AWARE, ORACLE], ids=["eps=0", "eps=.4", "eps=1", "target", "oracle"])
@settings(max_examples=60)
@given(knowledge=profiles(), targets=ids, lists=lists_of_ids, seed=seeds, text=questions)
def test_an_exact_phrase_search_reads_back_what_is_said(
    simulator: Any, knowledge: Knowledge, targets: tuple[str, ...], lists: list[tuple[str, ...]], seed: int, text: str
):
    for answer in four_turns(simulator, aware(knowledge, targets), lists, seed, text):
        read = {(s.facet, s.value): s.polarity for s in INDEX.statements(answer.text)}
        for s in answer.statements:
            assert read.get((s.facet, s.value)) == s.polarity, answer.text


@pytest.mark.parametrize("simulator", [TRUE, NOISY, AWARE], ids=["eps=0", "eps=.4", "target"])
@FEWER
@given(knowledge=profiles(), targets=ids, lists=lists_of_ids, seed=seeds)
def test_actions_statements_and_lists_agree(
    simulator: Any, knowledge: Knowledge, targets: tuple[str, ...], lists: list[tuple[str, ...]], seed: int
):
    for answer, ranked in zip(four_turns(simulator, aware(knowledge, targets), lists, seed), lists, strict=False):
        assert answer.text.strip()
        assert (answer.action == "accept") == bool(answer.accepted)
        assert set(answer.accepted) <= set(ranked)
        assert answer.rejected == (() if answer.accepted else ranked)
        assert len({(s.facet, s.value) for s in answer.statements}) == len(answer.statements)


@pytest.mark.parametrize("simulator", [TRUE, NOISY, AWARE, ORACLE], ids=["eps=0", "eps=.4", "target", "oracle"])
@FEWER
@given(knowledge=profiles(), targets=ids, lists=lists_of_ids, seed=seeds, text=questions)
def test_no_target_is_named_before_it_is_shown(
    simulator: Any, knowledge: Knowledge, targets: tuple[str, ...], lists: list[tuple[str, ...]], seed: int, text: str
):
    cut = lambda ids: tuple(i for i in ids if i not in targets)  # noqa: E731
    profile = Knowledge(
        "profile",
        cut(knowledge.liked_items),
        cut(knowledge.disliked_items),
        cut(knowledge.seen_items),
        knowledge.liked_attributes,
        knowledge.disliked_attributes,
    )
    shown: set[str] = set()
    given_ = profile if simulator.knowledge == "profile" else aware(profile, targets)
    for answer, ranked in zip(four_turns(simulator, given_, lists, seed, text), lists, strict=False):
        shown.update(ranked)
        words = f" {normalise(answer.text)} "
        assert not any(f" {normalise(FILMS.get(i).title)} " in words for i in targets if i not in shown)


@FEWER
@given(profiles(), lists_of_ids, seeds)
def test_the_same_input_gives_the_same_output(knowledge: Knowledge, lists: list[tuple[str, ...]], seed: int):
    again = prepared(Rule(Options(eps=0.4, reveal=2)), FILMS)
    assert four_turns(NOISY, knowledge, lists, seed) == four_turns(again, knowledge, lists, seed)


def test_threads_do_not_disturb_each_other():
    views = [conversation(*FILMS.ids[n : n + 10], seed=n) for n in range(50)] * 4
    knowledge = Knowledge(
        "profile", liked_attributes={f: v[:2] for f, v in FACETS.items()}, disliked_attributes={"genre": ("War",)}
    )
    alone = [NOISY.reply(view, knowledge) for view in views]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda view: NOISY.reply(view, knowledge), views)) == alone


@pytest.mark.parametrize("simulator", [NoFeedback(), ExcludeOnly()], ids=["no-feedback", "exclude-only"])
@FEWER
@given(knowledge=profiles(), ranked=ids, turn=st.integers(1, 5), seed=seeds)
def test_label_free_controls_depend_on_the_list_alone(
    simulator: Any, knowledge: Knowledge, ranked: tuple[str, ...], turn: int, seed: int
):
    answer = simulator.reply(conversation(*ranked, turn=turn, seed=seed), knowledge)
    assert answer == simulator.reply(conversation(*ranked), Knowledge())
    assert (answer.action, answer.accepted, answer.statements) == ("continue", (), ())
    assert answer.rejected == (ranked if isinstance(simulator, ExcludeOnly) else ())
    assert INDEX.statements(answer.text) == ()


@FEWER
@given(profiles(), lists_of_ids, seeds)
def test_shuffled_is_rule_on_the_knowledge_that_it_is_given(knowledge: Knowledge, lists: list[tuple[str, ...]], seed: int):
    shuffled = prepared(Shuffled(Options(reveal=2)), FILMS)
    assert shuffled.knowledge_of == "other"
    assert four_turns(shuffled, knowledge, lists, seed) == four_turns(TRUE, knowledge, lists, seed)
