"""llm-rerank: any recommender's candidates in a model's order."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from asked_models import Keeps, ready, turn
from small_world import FILMS, build, random_world, seeker, shown, talk

from harness.api import RecommenderSetup
from harness.errors import ComponentFault, PluginError, TransportError, UsageError

OPENING = talk(seeker("a horror film, please"))
BM25 = {"retriever": "bm25", "retriever_options": {"dialogues": 0}}


def says(*ranking: str | int, text: str = "Here.", reasoning: str = "why") -> str:
    return json.dumps({"reasoning": reasoning, "ranking": ranking, "text": text})


def best_first(conversation: Any = OPENING, k: int = 5, **options: Any) -> tuple[str, ...]:
    """The retriever's own list."""
    recommender = build("bm25", dialogues=0, **options)
    recommender.prepare(RecommenderSetup(FILMS, (), k, 3))
    return recommender.recommend(conversation, k).items


def shown_as(llm: Keeps) -> dict[str, str]:
    """Identifier -> title of the candidates that the model saw."""
    return dict(re.findall(r"^\[(C\d+)\] (.*?) \(\d{4}\)", llm.prompt, re.MULTILINE))


def test_the_models_order_comes_first_and_the_retrievers_fills_the_rest() -> None:
    llm = Keeps(says("C03", "C01"))
    given = turn(ready("llm-rerank", llm, **BM25, candidates=5, shuffle=False), OPENING)
    own = best_first()
    assert given.items == (own[2], own[0], own[1], own[3], own[4])
    assert given.text == "Here."
    assert given.reasoning == "why\n(2 of 5 ranked by the model; the rest as bm25 has it)"


def test_identifiers_mean_what_was_shown_under_them() -> None:
    llm = Keeps(says("C02", "C05", "C01", "C04", "C03"))
    given = turn(ready("llm-rerank", llm, **BM25, candidates=5), OPENING)
    by_id = shown_as(llm)
    assert [FILMS.get(i).title for i in given.items] == [by_id[c] for c in ("C02", "C05", "C01", "C04", "C03")]  # type: ignore[union-attr]
    assert set(given.items) == set(best_first())
    assert given.reasoning == "why"


def test_candidates_are_shuffled_by_the_seed_and_the_turn_alone() -> None:
    catalogue, _ = random_world(4)

    def order(seed: int, number: int = 1, **options: Any) -> list[str]:
        llm = Keeps(says("C01"))
        turn(ready("llm-rerank", llm, (), catalogue, **BM25, **options), talk(seeker("a western"), seed=seed, turn=number))
        return list(shown_as(llm).values())

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != order(1, number=2)
    assert order(1, shuffle=False) == order(2, shuffle=False)
    assert sorted(order(1)) == sorted(order(1, shuffle=False))
    assert len(order(1)) == 20


@pytest.mark.parametrize(
    "text",
    [
        '{"ranking": ["C04", "C02"], "text": ""}',
        '["C04", "C02"]',
        "[4, 2]",
        "[C04] > [C02]",
        "C4, C2",
        "[4] > [2]",
        '```json\n{"ranking": ["c04", "[C02]", "C04", "C99", "C00", "Alien"]}\n```',
        '<think>"C01"?</think>{"ranking": ["C04", "C02"]}',
    ],
)
def test_forms_of_a_ranking(text: str) -> None:
    given = turn(ready("llm-rerank", Keeps(text), **BM25, candidates=5, shuffle=False), OPENING)
    own = best_first()
    assert given.items == (own[3], own[1], own[0], own[2], own[4])
    assert given.text


@pytest.mark.parametrize(
    "text",
    [
        "I like C02 best.",
        '{"ranking": []}',
        '{"ranking": ["C09", "X"]}',
        '{"order": ["C01"]}',
        "C77",
        '{"ranking": "C01"}',
        "[",
        "\\",
    ],
)
def test_an_answer_without_a_candidate_is_malformed(text: str) -> None:
    with pytest.raises(ComponentFault) as caught:
        turn(ready("llm-rerank", Keeps(text), **BM25, candidates=5), OPENING)
    assert caught.value.kind == "malformed"


def test_a_candidates_line_shows_its_facets() -> None:
    llm = Keeps(says("C01"))
    turn(ready("llm-rerank", llm, **BM25, candidates=8), OPENING)
    assert re.search(
        r"^\[C0\d\] The Long Tunnel \(1984\) \| genre: horror, thriller \| director: Ivo Brandt$", llm.prompt, re.MULTILINE
    )
    assert len(shown_as(llm)) == 8
    assert llm.requests[0].schema["properties"]["ranking"]["items"]["enum"] == [f"C0{n}" for n in range(1, 9)]  # type: ignore[index]


def test_a_list_longer_than_the_candidates_goes_on_with_the_retriever() -> None:
    given = turn(ready("llm-rerank", Keeps(says("C02", "C01")), **BM25, candidates=2, shuffle=False), OPENING, k=6)
    own = best_first(k=6)
    assert given.items == (own[1], own[0], *own[2:])
    assert given.reasoning == "why"


def test_what_may_be_listed_is_the_retrievers_affair() -> None:
    later = talk(seeker("horror"), shown("f1"), seeker("no", rejected=("f1", "f3")), turn=2)
    llm = Keeps(says("C01"))
    assert not {"f1", "f3"} & set(turn(ready("llm-rerank", llm, **BM25), later, k=8).items)
    assert "The Long Tunnel" not in shown_as(llm).values()
    again = {"retriever": "bm25", "retriever_options": {"dialogues": 0, "exclude_rejected": False}}
    assert {"f1", "f3"} <= set(turn(ready("llm-rerank", llm, **again), later, k=8).items)


def test_nothing_is_asked_where_nothing_is_found() -> None:
    llm = Keeps(says("C01"))
    given = turn(ready("llm-rerank", llm, retriever="copy-history"), OPENING)
    assert given.items == ()
    assert given.text
    assert llm.requests == []


def test_the_retriever_is_part_of_the_revision() -> None:
    def revision(**options: Any) -> Any:
        return build("llm-rerank", **options).revision()

    one, two = revision(), revision(retriever="bm25")
    assert (one["retriever"]["name"], two["retriever"]["name"]) == ("hybrid", "bm25")
    assert revision(retriever="bm25", retriever_options={"k1": 1.1})["retriever"]["options"]["k1"] == 1.1
    assert revision(retriever="llm-zeroshot")["retriever"]["revision"]["prompt"] == "llm-zeroshot.v1"
    assert one["prompt"] == "llm-rerank.v1"


def test_a_wrong_retriever_or_option_is_named() -> None:
    with pytest.raises(PluginError, match="did you mean bm25"):
        build("llm-rerank", retriever="bm52")
    with pytest.raises(UsageError, match="bm25 has no option 'k2'; did you mean k1"):
        build("llm-rerank", retriever="bm25", retriever_options={"k2": 1})
    with pytest.raises(UsageError, match="--rec-llm"):
        ready("llm-rerank", None)


# ------------------------------------------------------------------------------- retrievers in every form that there is


FORMS = """
    import asyncio, threading
    from harness import Component, Recommendation, TransportError, Usage, hookimpl

    @hookimpl
    def harness_recommenders():
        for name in ("Plain", "Serial", "Async", "Batch", "AsyncBatch", "Rude", "Flaky"):
            yield Component(name.lower(), f"forms:{name}")

    class Base:
        def __init__(self, options): self.busy = self.peak = 0; self.sizes = []; self.lock = threading.Lock()
        def prepare(self, setup): self.ids = setup.catalogue.ids
        def one(self, conversation, k):
            count = (conversation.state or 0) + 1
            ids = (self.ids[conversation.seed], "not-an-id", *self.ids[:k - 2])
            return Recommendation(ids, "r", state=count, usage=Usage(calls=1))

    class Plain(Base):
        def recommend(self, conversation, k):
            with self.lock: self.busy += 1; self.peak = max(self.peak, self.busy)
            threading.Event().wait(0.05)
            with self.lock: self.busy -= 1
            return self.one(conversation, k)

    class Serial(Plain):
        serial = True

    class Async(Base):
        async def recommend(self, conversation, k):
            await asyncio.sleep(0.01)
            return self.one(conversation, k)

    class Batch(Base):
        max_batch = 4
        def recommend_batch(self, conversations, k):
            self.sizes.append(len(conversations))
            return [self.one(c, k) for c in conversations]

    class AsyncBatch(Base):
        async def recommend_batch(self, conversations, k):
            self.sizes.append(len(conversations))
            return [self.one(c, k) for c in conversations]

    class Rude(Base):
        def recommend(self, conversation, k):
            return ["f0"]

    class Flaky(Base):
        def recommend(self, conversation, k):
            raise TransportError("gone", retry_after=2.0)
"""


@pytest.fixture
def _forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A really installed plugin."""
    (tmp_path / "forms.py").write_text(textwrap.dedent(FORMS), encoding="utf-8")
    info = tmp_path / "forms-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forms\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nforms = forms\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("forms", None)


@pytest.mark.usefixtures("_forms")
@pytest.mark.parametrize("form", ["plain", "serial", "async", "batch", "asyncbatch"])
def test_every_form_of_retriever_works_for_many_dialogues_at_once(form: str) -> None:
    recommender = ready("llm-rerank", Keeps(says("C01")), retriever=form, shuffle=False, candidates=4)

    async def many() -> list[Any]:
        return await asyncio.gather(*(recommender.recommend(talk(seeker("x"), seed=n), 4) for n in range(8)))

    given = asyncio.run(many())
    for number, one in enumerate(given):
        assert one.items[0] == FILMS.ids[number]
        assert "not-an-id" not in one.items
        assert len(set(one.items)) == len(one.items)
        assert one.state == 1
    inner = recommender._retriever._recommender
    assert (form not in ("plain", "serial")) or (inner.peak == 1) is (form == "serial")
    assert max(inner.sizes, default=0) <= 4 or form == "asyncbatch"
    assert len(inner.sizes) < 8


@pytest.mark.usefixtures("_forms")
def test_the_retrievers_state_and_costs_are_kept() -> None:
    from harness.llm.metering import meter

    recommender = ready("llm-rerank", Keeps(says("C01")), retriever="async")
    with meter() as spent:
        given = turn(recommender, talk(seeker("x"), seed=0))
    assert spent.total.calls == 1
    later = talk(seeker("x"), seed=0)
    assert turn(recommender, type(later)(later.messages, 2, 0, given.state)).state == 2


@pytest.mark.usefixtures("_forms")
def test_what_the_retriever_does_wrong_is_blamed_as_its_own() -> None:
    with pytest.raises(ComponentFault, match=r"not a harness\.Recommendation"):
        turn(ready("llm-rerank", Keeps("x"), retriever="rude"), OPENING)
    with pytest.raises(TransportError) as caught:
        turn(ready("llm-rerank", Keeps("x"), retriever="flaky"), OPENING)
    assert caught.value.retry_after == 2.0
