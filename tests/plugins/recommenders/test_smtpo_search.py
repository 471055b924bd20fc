"""`smtpo-search`: a tree that can be played by hand, with models that say what they are told to."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.api import Catalogue, Conversation, Item, Message, RecommenderSetup
from harness.artifactfiles import create, write_bundle
from harness.artifacts import Card
from harness.errors import ComponentFault, RefusedError, TransportError, UsageError
from harness.llm.api import ChatMessage, ChatRequest, Completion
from harness_plugins import prompting
from harness_plugins.recommenders.dualview.retriever import Retriever
from harness_plugins.recommenders.smtpo import recommender as smtpo
from harness_plugins.recommenders.smtpo.chain import Chain, render
from harness_plugins.recommenders.smtpo.imagined import ImaginedSeeker
from harness_plugins.recommenders.smtpo.prompt import Prompting
from harness_plugins.recommenders.smtpo.search import SEEKER, Options, SmtpoSearch
from harness_plugins.recommenders.smtpo.tree import Node, kept, ranked, reward
from harness_plugins.smtpo.user.decision import Decision
from harness_plugins.smtpo.user.model import KIND, SETTINGS, Stored, write

VALUES = "alpha bravo charlie delta echo foxtrot golf hotel india juliet".split()
FILMS = Catalogue([Item(f"f{n}", f"Film {n}", attributes={"genre": (value,)}) for n, value in enumerate(VALUES, 1)])
LIKES = dict(zip(VALUES, (0.5, 0.5, 0.9, 0.3, 0.1, 0.1, 0.7, 0.1, 0.2, 0.2), strict=True))
"""How probable the imagined seeker takes each film for."""
ASKED = Conversation((Message("seeker", "Something with charlie, please."),), seed=7)


class InOrder:
    """A retriever for which the catalogue's order is best first."""

    def recall(self, conversation: Conversation, k: int, *, exclude: Collection[str] = ()) -> list[tuple[str, float]]:
        return [(item.id, 1.0) for item in FILMS if item.id not in exclude][:k]


class FirstTwo:
    """A recommender's model: always the first two candidates, but for what `otherwise` says of a prompt."""

    name = "first-two"

    def __init__(self, otherwise: dict[str, Any] | None = None) -> None:
        self.asked: list[ChatRequest] = []
        self._otherwise = otherwise or {}

    async def chat(self, request: ChatRequest) -> Completion:
        self.asked.append(request)
        prompt = request.messages[-1].content
        for part, answer in self._otherwise.items():
            if part in prompt:
                if isinstance(answer, Exception):
                    raise answer
                return Completion(answer)
        answered = tuple(range(1, 1 + min(2, prompt.count("[C"))))
        return Completion(render(Chain(rank=answered, answer=answered, likes=("charlie",))))


class Seeker:
    """The imagined seeker's model: log-odds of `LIKES`, and one sentence about any list."""

    name = "seeker"

    def __init__(self, said: str = "I'd rather have juliet.", aligned: str | None = None) -> None:
        self.judged: list[list[str]] = []
        self.prompts: list[str] = []
        self._said = said
        self._aligned = aligned or json.dumps({"liked": [], "disliked": [], "matched": [], "missing": ["juliet"]})

    async def chat(self, request: ChatRequest) -> Completion:
        prompt = request.messages[-1].content
        self.prompts.append(prompt)
        return Completion(self._aligned if prompt.endswith("<align>") or "JSON" in prompt else self._said)

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        self.prompts.append(messages[-1].content)
        values = [next(value for value in VALUES if f"genre {value} " in text) for text in continuations]
        self.judged.append(values[::2])
        odds = [math.log(LIKES[value] / (1 - LIKES[value])) for value in values]
        return [o if text.endswith("Yes") else 0.0 for o, text in zip(odds, continuations, strict=True)]


class Worded(Seeker):
    """The same, asked about one item in words."""

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        described = re.findall(r"<item>\n.*genre: (\w+)\n</item>", messages[-1].content)
        self.judged.append(described)
        return [math.log(LIKES[described[0]] / (1 - LIKES[described[0]])), 0.0]


def searching(llm: Any, seeker: Any, prompt: str = "smtpo-tiny.v1", **options: Any) -> SmtpoSearch:
    made = SmtpoSearch.assembled(
        Options(**{"variants": "shifted", **options}),
        Prompting(candidates=2, answer=2, last_words=0),
        InOrder(),  # type: ignore[arg-type]
        llm,
        FILMS,
    )
    assert isinstance(made, SmtpoSearch)
    loaded = prompting.load("harness_plugins.smtpo.user", prompt)
    # This seeker's model goes by an item's values, which the small models' form does not write out.
    texts = prompting.Prompt(prompt, loaded.source.replace("$evidence", "$card $evidence"), prompt)
    made.seeker = ImaginedSeeker(seeker, texts, Decision(), FILMS, (), made.reader)
    return made


def lists(made: SmtpoSearch, conversation: Conversation = ASKED, k: int = 10) -> str:
    return " ".join(item.removeprefix("f") for item in asyncio.run(made.recommend(conversation, k)).items)


# ------------------------------------------------------------------------------------------------------------ the tree


def test_a_list_is_worth_the_mean_or_the_best_of_its_items() -> None:
    node = Node((0,), ("a", "b", "c"), (0.2, 0.9, 0.1))
    assert reward(node, "mean") == pytest.approx(0.4)
    assert reward(node, "max") == 0.9


def test_the_best_lists_are_kept_and_one_parents_doubles_count_once() -> None:
    nodes = [
        Node((0, 0), ("a", "b"), (0.5, 0.5)),
        Node((0, 1), ("a", "b"), (0.5, 0.5)),
        Node((1, 0), ("a", "b"), (0.5, 0.5)),
        Node((1, 1), ("c", "d"), (0.9, 0.0)),
        Node((1, 2), ("e", "f"), (0.7, 0.8)),
    ]
    assert [node.path for node in kept(nodes, 3, "mean")] == [(1, 2), (0, 0), (1, 0)]
    assert [node.path for node in kept(nodes, 2, "max")] == [(1, 1), (1, 2)]


def test_items_are_ranked_by_mean_sum_or_votes_over_all_lists() -> None:
    nodes = [
        Node((0,), ("a", "b"), (0.2, 0.6)),
        Node((1,), ("b", "c"), (0.4, 0.6)),
        Node((1, 0), ("a", "b"), (0.3, 0.2)),
        Node((1, 1), ("d",), (0.4,)),
    ]
    # means: a .25, b .4 of three, c .6, d .4 of one; sums: a .5, b 1.2, c .6, d .4
    assert ranked(nodes, "mean") == ["c", "b", "d", "a"]
    assert ranked(nodes, "sum") == ["b", "c", "a", "d"]
    assert ranked(nodes, "votes") == ["b", "a", "c", "d"]


# ---------------------------------------------------------------------------------------------------- a turn, by hand


def test_the_whole_tree_ranks_the_items_by_what_the_imagined_seeker_thinks() -> None:
    """Level 1: 12 (.5) 34 (.6) 56 (.1) 78 (.4), kept 34 and 12; after 34: 12 56; after 12: 34 56. 9 and 10 are in no list."""
    llm, seeker = FirstTwo(), Seeker()
    found = asyncio.run(searching(llm, seeker).recommend(ASKED, 10))
    assert [item.removeprefix("f") for item in found.items] == "3 7 1 2 4 5 6 8 9 10".split()
    assert found.text.startswith("Since you asked for charlie, how about Film 3")
    assert found.candidates[:8] == tuple(f"f{n}" for n in range(1, 9))
    assert len(found.candidates) == 10
    assert (len(llm.asked), len(seeker.prompts)) == (8, 1 + 2 * 2)
    # Each film is judged once, the whole level in one question.
    assert seeker.judged == [VALUES[:8]]
    assert "search: 8 lists of 8; 0 answers could not be used" in found.reasoning
    assert "level 1: mean score 0.600, 0.500, 0.400, 0.100" in found.reasoning
    assert "level 2: mean score 0.600, 0.500, 0.100, 0.100" in found.reasoning


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Sums over the eight lists above: 3 1.8, 1 and 2 1.0, 7 .7, 4 .6, 5 and 6 .3, 8 .1.
        ({"ranking": "sum"}, "3 1 2 7 4 5 6 8 9 10"),
        ({"ranking": "votes"}, "5 6 3 1 2 4 7 8 9 10"),
        # The best item decides: 34 and 78 are kept; after 34: 12 56; after 78: 12 34. Three votes for 1 and 2, two for 3 to 6.
        ({"reward": "max", "ranking": "votes"}, "1 2 3 4 5 6 7 8 9 10"),
        # One level: lists are scored, nothing is answered.
        ({"depth": 1, "roots": 2}, "3 1 2 4 5 6 7 8 9 10"),
        # One root list per step: 12, and after it 34, and after that 56.
        ({"width": 1, "beam": 1, "depth": 3, "ranking": "sum"}, "3 1 2 4 5 6 7 8 9 10"),
        ({"beam": 1, "depth": 2}, "3 1 2 4 5 6 7 8 9 10"),
    ],
)
def test_width_beam_depth_reward_and_ranking(options: dict[str, Any], expected: str) -> None:
    assert lists(searching(FirstTwo(), Seeker(), **options)) == expected


@pytest.mark.parametrize(
    ("options", "written", "criticised"),
    [
        ({}, 4 + 2 * 2, 2),
        ({"depth": 1}, 4, 0),
        ({"beam": 1}, 2 + 2, 1),
        ({"width": 1, "beam": 1, "depth": 3}, 3, 2),
        ({"depth": 3, "roots": 3}, 3 + 4 + 4, 4),
    ],
)
def test_what_a_search_costs(options: dict[str, Any], written: int, criticised: int) -> None:
    llm, seeker = FirstTwo(), Seeker()
    lists(searching(llm, seeker, **options))
    assert len(llm.asked) == written
    assert sum(prompt.endswith("<align>") for prompt in seeker.prompts) == criticised


def test_the_imagined_answer_is_read_like_a_real_one_and_a_real_one_like_what_was_said_before() -> None:
    llm, seeker = FirstTwo(), Seeker()
    talk = Conversation(
        (
            *ASKED.messages,
            Message("recommender", "How about Film 9?", ranked=("f9",)),
            Message("seeker", "No. I like hotel.", rejected=("f9",)),
        ),
        turn=2,
        seed=7,
    )
    found = asyncio.run(searching(llm, seeker).recommend(talk, 10))
    assert "f9" not in found.items
    first, last = llm.asked[0].messages[-1].content, llm.asked[-1].messages[-1].content
    assert "lately hotel\n" in first
    assert "lately hotel juliet\n" in last
    # The user model takes the real answer for something that a person said, the imagined one for its own.
    judging = next(prompt for prompt in seeker.prompts if prompt.endswith("<judge>"))
    assert "<wants> genre charlie hotel <not>" in judging
    assert "juliet" not in judging


def test_a_prompt_that_shows_the_list_is_asked_for_each_list() -> None:
    """The worded prompt's verdicts may change in the course of a dialogue: a question for each item of each list."""

    seeker = Worded()
    assert lists(searching(FirstTwo(), seeker, prompt="smtpo.v1")) == "3 7 1 2 4 5 6 8 9 10"
    assert len(seeker.judged) == 8 * 2


# ------------------------------------------------------------------------------------------------ chance, and no chance


def test_the_draws_are_the_conversations_own() -> None:
    def seeds(seed: int, turn: int = 1) -> list[int]:
        llm = FirstTwo()
        talk = Conversation(ASKED.messages, turn, seed)
        asyncio.run(searching(llm, Seeker(), variants="sampled").recommend(talk, 10))
        assert {request.temperature for request in llm.asked} == {0.7}
        return [request.seed for request in llm.asked]

    assert seeds(7) == seeds(7)
    # One root of four equal lists is kept once; its two children are written.
    assert len(set(seeds(7))) == len(seeds(7)) == 4 + 2
    assert not set(seeds(7)) & set(seeds(8))
    assert not set(seeds(7)) & set(seeds(7, turn=2))


def test_shifted_lists_are_greedy() -> None:
    llm = FirstTwo()
    lists(searching(llm, Seeker()))
    assert {request.temperature for request in llm.asked} == {0.0}


def test_all_lists_alike_is_no_search() -> None:
    with pytest.raises(UsageError, match=r"temperature 0 .* variants=shifted"):
        SmtpoSearch(Options(artifact="anything", temperature=0.0))


# -------------------------------------------------------------------------------------------------------------- faults


def test_a_list_that_breaks_the_form_is_left_out_and_counted() -> None:
    llm = FirstTwo({"[C01] charlie": "I like Film 3"})
    found = asyncio.run(searching(llm, Seeker()).recommend(ASKED, 10))
    # Left: 12 56 78, kept 12 and 78; after 12: (34 broken) 56; after 78: 12 (34 broken).
    assert [item.removeprefix("f") for item in found.items] == "7 1 2 5 6 8 3 4 9 10".split()
    assert "search: 5 lists of 8; 3 answers could not be used" in found.reasoning


def test_a_turn_without_a_usable_list_is_the_recommenders_fault() -> None:
    with pytest.raises(ComponentFault, match="text stands before <think>") as caught:
        lists(searching(FirstTwo({"": "no"}), Seeker()))
    assert caught.value.kind == "malformed"


@pytest.mark.parametrize("seeker", [Seeker(aligned="not JSON"), Seeker(said=" ")])
def test_a_criticism_that_can_not_be_read_ends_its_branch(seeker: Seeker) -> None:
    found = asyncio.run(searching(FirstTwo(), seeker).recommend(ASKED, 10))
    assert [item.removeprefix("f") for item in found.items] == "3 7 1 2 4 5 6 8 9 10".split()
    assert "search: 4 lists of 4; 2 answers could not be used" in found.reasoning


def test_a_refusal_is_left_out_and_a_failing_server_is_not() -> None:
    found = asyncio.run(searching(FirstTwo({"[C01] charlie": RefusedError("no")}), Seeker()).recommend(ASKED, 10))
    assert "search: 5 lists of 8" in found.reasoning
    with pytest.raises(TransportError):
        lists(searching(FirstTwo({"[C01] charlie": TransportError("down")}), Seeker()))


def test_without_any_candidate_it_asks() -> None:
    talk = Conversation((*ASKED.messages, Message("seeker", "None.", rejected=FILMS.ids)))
    found = asyncio.run(searching(FirstTwo(), Seeker()).recommend(talk, 10))
    assert found.items == ()
    assert found.text.endswith("?")


# ----------------------------------------------------------------------------------------------------------- artefacts


def bundle(folder: Path, *, base: str = "") -> str:
    with create(folder / "sft", Card(kind=smtpo.KIND, name="t")) as inside:
        Prompting(candidates=2, answer=2, last_words=0).save(inside)
    with create(folder / "retriever", Card(kind=smtpo.RETRIEVER, name="t")) as inside:
        (inside / "nothing").write_bytes(b"")
    with create(folder / "simulator", Card(kind=KIND, name="t", trained_on=("elsewhere",))) as inside:
        write(inside / SETTINGS, Stored(prompt="smtpo.v1", decision=Decision(slope=2.0), base=base))
    write_bundle(folder, Card(kind="", name="t"), ("sft", "retriever", "simulator"))
    return str(folder)


def test_it_plays_with_the_parts_of_one_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retriever, "load", classmethod(lambda cls, *args, **more: InOrder()))
    made = SmtpoSearch(Options(artifact=bundle(tmp_path / "made"), variants="shifted"))
    assert made.default_llm() == f"hf:{tmp_path / 'made' / 'sft'}"
    assert made.more_llms() == {SEEKER: f"hf:{tmp_path / 'made' / 'simulator'}"}
    llm, seeker = FirstTwo(), Worded()
    made.prepare(RecommenderSetup(FILMS, (), 10, 0, llm=llm, more_llms={SEEKER: seeker}))
    assert lists(made) == "3 7 1 2 4 5 6 8 9 10"
    # The slope is the artefact's: odds twice as large.
    assert "level 1: mean score 0.571" in (asyncio.run(made.recommend(ASKED, 10)).reasoning or "")
    revision = made.revision()
    assert revision[SEEKER]["artifact"]["trained_on"] == ["elsewhere"]
    assert str(tmp_path) not in json.dumps(revision)


def test_the_seekers_model_is_the_users_choice_and_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retriever, "load", classmethod(lambda cls, *args, **more: InOrder()))
    path = bundle(tmp_path / "made")
    assert SmtpoSearch(Options(artifact=path, seeker_llm="openai:large")).more_llms() == {SEEKER: "openai:large"}
    with pytest.raises(UsageError, match="second language model"):
        SmtpoSearch(Options(artifact=path)).prepare(RecommenderSetup(FILMS, (), 10, 0, llm=FirstTwo()))
    with pytest.raises(UsageError, match="nowhere"):
        SmtpoSearch(Options(artifact=path, seeker="./nowhere"))
