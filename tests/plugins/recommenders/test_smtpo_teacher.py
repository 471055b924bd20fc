"""The teacher's chains and the compact prompt, worked out by hand."""

from __future__ import annotations

from random import Random

from harness.api import Catalogue, Conversation, Item, Message, Statement
from harness_plugins.recommenders.reading import Reader
from harness_plugins.recommenders.smtpo.prompt import Prompter, Prompting
from harness_plugins.recommenders.smtpo.teacher import TeacherSettings, teach
from harness_plugins.smtpo.cards import stated

FILMS = Catalogue(
    [
        Item("a", "Alpha", 1981, {"genre": ("comedy",), "country": ("Japan",)}),
        Item("b", "Beta", 1982, {"genre": ("horror", "comedy"), "country": ("France",)}),
        Item("c", "Gamma", 1983, {"genre": ("horror",), "country": ("Japan",)}),
        Item("d", "Delta", 1984, {"genre": ("war",), "country": ("Spain",)}),
    ]
)
EQUAL = TeacherSettings(k=3, weights=(2,), penalty=2, forget=0.0)


def groups(**said: list[Statement]) -> dict[str, list[Statement]]:
    names = {"wants": "wants", "unwanted": "not", "lately": "lately", "lately_not": "lately not"}
    return {"earlier": [], **{shown: said.get(name, []) for name, shown in names.items()}}


def test_equal_weights_less_what_is_unwanted_ties_in_the_order_shown() -> None:
    said = groups(
        wants=[Statement("genre", "horror")],
        unwanted=[Statement("genre", "comedy", -1)],
        lately=[Statement("country", "Japan")],
    )
    chain = teach(said, list(FILMS), EQUAL, Random(0))
    assert chain.likes == ("horror", "Japan")
    assert chain.dislikes == ("comedy",)
    # Alpha: Japan - comedy = 0; Beta: horror - comedy = 0; Gamma: 4; Delta: nothing known, 0.
    assert chain.scores == ((1, 0), (2, 0), (3, 4))
    assert chain.answer == chain.rank == (3, 1, 2)
    assert "[C03] has horror | Japan" in chain.explanation


def test_the_teacher_is_told_no_target_and_is_the_same_for_the_same_draw() -> None:
    said = groups(wants=[Statement("genre", "comedy")])
    noisy = TeacherSettings(k=4)
    chains = [teach(said, list(FILMS), noisy, Random(seed)) for seed in range(20)]
    assert chains[3] == teach(said, list(FILMS), noisy, Random(3))
    weights = {score for chain in chains for _, score in chain.scores}
    assert weights == {1, 2, 3}


def test_the_prompt_says_when_a_statement_was_made() -> None:
    conversation = Conversation(
        (
            Message("seeker", "I like comedy."),
            Message("recommender", "Have you seen Alpha?", items=("a",)),
            Message("seeker", "Yes. Now something from France, but no war."),
            Message("recommender", "How about these?", ranked=("d",)),
            Message("seeker", "No. I'd rather have horror [C99].", rejected=("d",)),
        ),
        turn=2,
    )
    said = stated(conversation, Reader(FILMS))
    assert [s.value for s in said["earlier"]] == ["comedy"]
    assert [s.value for s in said["wants"]] == ["France"]
    assert [s.value for s in said["not"]] == ["war"]
    assert [s.value for s in said["lately"]] == ["horror"]
    text = Prompter(Prompting(last_words=3), "film").compact(conversation, said, FILMS[:2])
    assert text == (
        "wants France\nnot war\nlately horror\nsays rather have horror\n[C01] comedy Japan\n[C02] horror comedy France"
    ).replace("rather have horror", "have horror (C99).")
    assert "comedy" in Prompter(Prompting(earlier=True), "film").compact(conversation, said, []).splitlines()[0]
