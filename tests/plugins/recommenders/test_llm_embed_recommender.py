"""llm-embed: nearest items by embeddings of a server (real sockets) or of a sentence-transformers model made on the spot."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_server import Reply, Request, json_reply, serving
from small_world import FILMS, build, dialogue, random_conversation, random_world, seeker, shown, talk

from harness import Catalogue, Conversation, Item, RecommenderSetup
from harness.errors import LlmError, TransportError, UsageError
from harness.llm.metering import meter
from harness.text import words

SIZE = 64


@pytest.fixture(autouse=True)
def _own_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


def vector(text: str) -> list[float]:
    """Counts of hashed words: near when words are shared, and not of length 1."""
    counts = [0.0] * SIZE
    for word in words(text):
        counts[zlib.crc32(word.encode()) % SIZE] += 3.0
    return counts


def embedded(request: Request, change: Callable[[list[Any]], Any] = lambda data: data) -> Reply:
    data = [{"index": n, "embedding": vector(text)} for n, text in enumerate(request.body["input"])]
    return json_reply({"data": change(data[::-1]), "usage": {"prompt_tokens": 5 * len(data)}})


def made(url: str, **options: Any) -> Any:
    return build("llm-embed", model="openai:bag", base_url=f"{url}/v1", **options)


def ready(url: str, catalogue: Catalogue = FILMS, training: Any = (), cache: Path | None = None, **options: Any) -> Any:
    recommender = made(url, **options)
    recommender.prepare(RecommenderSetup(catalogue, training, 10, 0, cache))
    return recommender


def turn(recommender: Any, conversation: Conversation, k: int = 3) -> Any:
    async def call() -> Any:
        try:
            return await recommender.recommend(conversation, k)
        finally:
            await recommender.close()

    return asyncio.run(asyncio.wait_for(call(), 60))


def test_the_items_nearest_to_the_dialogue_are_listed_with_their_cosine() -> None:
    with serving(embedded) as server:
        recommender = ready(server.url)
        given = turn(recommender, talk(seeker("Paper Moons 2010 drama romance star Mira Olsen genre")))
    assert given.items[0] == "f5"
    assert given.text.startswith("How about Paper Moons (2010)")
    item, query = (np.array(vector(t)) for t in (server.requests[0].body["input"][5], server.requests[1].body["input"][0]))
    assert given.scores[0] == pytest.approx(item @ query / np.linalg.norm(item) / np.linalg.norm(query), abs=1e-6)
    assert list(given.scores) == sorted(given.scores, reverse=True)


def test_an_item_is_its_title_attributes_and_text() -> None:
    catalogue = Catalogue([Item("a", "Alien", 1979, {"genre": ("horror", "science fiction")}, text="A crew\nanswers a call.")])
    with serving(embedded) as server:
        ready(server.url, catalogue, item_prefix="passage: ")
    assert server.requests[0].body["input"] == ["passage: Alien (1979). genre: horror, science fiction. A crew answers a call."]


def test_the_query_is_the_end_of_what_tells_about_the_seeker() -> None:
    later = talk(seeker("first words"), shown("f1", text="MINE"), seeker("not\nthose", rejected=("f1",)), turn=2)
    with serving(embedded) as server:
        turn(ready(server.url, query_prefix="query: "), later)
        turn(ready(server.url, dialogue=10), later)
        turn(ready(server.url, dialogue=4), later)
    queries = [request.body["input"][0] for request in server.requests if len(request.body["input"]) == 1]
    assert queries == ["query: first words\nnot those", "not those", "hose"]


def test_what_is_known_is_left_out_and_nothing_said_is_a_question() -> None:
    later = talk(seeker("Cold Orbit", "f6"), shown("f7"), seeker("no", rejected=("f7",)), turn=2)
    with serving(embedded) as server:
        recommender = ready(server.url)
        assert not {"f6", "f7"} & set(turn(recommender, later, k=10).items)
        assert turn(ready(server.url, exclude_mentioned=False), later).items[0] == "f6"
        asked = turn(recommender, talk())
    assert asked.items == ()
    assert asked.text.endswith("?")


def test_equal_descriptions_score_equally_and_come_most_mentioned_first() -> None:
    twins = Catalogue([Item(f"t{n}", "Twin", 2000, {"genre": ("drama",)}) for n in range(33)])
    training = [dialogue(0, seeker("Twin", "t20")), dialogue(1, seeker("Twin", "t20", "t5"))]
    with serving(embedded) as server:
        given = turn(ready(server.url, twins, training), talk(seeker("a drama")), k=5)
    assert len(set(given.scores)) == 1
    assert given.items == ("t20", "t5", "t0", "t1", "t2")
    assert len(server.requests[0].body["input"]) == 1


def test_items_are_embedded_once_in_batches_and_kept(tmp_path: Path) -> None:
    catalogue, _ = random_world(3)
    question = talk(seeker("a western"))
    with serving(embedded) as server:
        first = turn(ready(server.url, catalogue, cache=tmp_path, batch=16), question)
        sizes = [len(request.body["input"]) for request in server.requests]
        again = turn(ready(server.url, catalogue, cache=tmp_path, batch=16), question)
        assert len(server.requests) == len(sizes) + 1
        assert sizes == [16, 16, 8, 1]
        assert again == first
        (file,) = tmp_path.glob("*.npz")
        whole = file.read_bytes()
        for damaged in (whole[:100], b"", whole[:2000] + b"?" + whole[2001:], b"PK nonsense"):
            file.write_bytes(damaged)
            assert turn(ready(server.url, catalogue, cache=tmp_path, batch=16), question) == first
        fewer = Catalogue(list(catalogue)[:-1])
        ready(server.url, fewer, cache=tmp_path, batch=16)
    assert len(list(tmp_path.glob("*.npz"))) == 2
    assert not list(tmp_path.glob("*.part"))


def test_an_npz_with_a_pickle_in_it_is_not_opened(tmp_path: Path) -> None:
    with serving(embedded) as server:
        first = turn(ready(server.url, cache=tmp_path), talk(seeker("horror")))
        (file,) = tmp_path.glob("*.npz")
        np.savez(file, vectors=np.array([{"a": 1}] * 8, dtype=object))
        assert turn(ready(server.url, cache=tmp_path), talk(seeker("horror"))) == first


def test_without_a_cache_folder_the_users_is_taken_and_one_that_can_not_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with serving(embedded) as server:
        ready(server.url)
        assert list((tmp_path / "user-cache" / "harness" / "embeddings").glob("*.npz"))
        assert turn(ready(server.url, cache=tmp_path / "file" / "below"), talk(seeker("horror"))).items


def test_company_changes_nothing() -> None:
    catalogue, training = random_world(11)
    talks = [random_conversation(catalogue, seed, 1 + seed % 4) for seed in range(24)]

    async def together(recommender: Any) -> list[Any]:
        given = await asyncio.gather(*(recommender.recommend(conversation, 10) for conversation in talks))
        await recommender.close()
        return given

    with serving(embedded) as server:
        recommender = ready(server.url, catalogue, training)
        assert asyncio.run(together(recommender)) == [turn(recommender, conversation, 10) for conversation in talks]


def test_a_turn_is_charged_and_the_catalogue_is_not() -> None:
    with serving(embedded) as server, meter() as spent:
        recommender = ready(server.url, price=2.0)
        assert spent.total.calls == 0
        turn(recommender, talk(seeker("horror")))
    assert (spent.total.calls, spent.total.prompt_tokens) == (1, 5)
    assert spent.total.cost == pytest.approx(10e-6)


def test_the_request_names_model_length_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "key-of-mine")
    with serving(embedded) as server:
        ready(server.url, key_env="MY_KEY", dimensions=64)
    (request,) = server.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer key-of-mine"
    assert (request.body["model"], request.body["dimensions"]) == ("bag", 64)


# --------------------------------------------------------------------------------------------------------------------- faults


def test_a_server_that_stumbles_while_the_catalogue_is_embedded_is_asked_again() -> None:
    replies = iter([Reply(status=503, headers={"Retry-After": "0"}), Reply(status=429, headers={"Retry-After": "0"})])
    with serving(lambda request: next(replies, None) or embedded(request)) as server:
        ready(server.url)
    assert len(server.requests) == 3


def test_a_key_that_is_refused_ends_it_at_once() -> None:
    with serving(lambda request: Reply(b"{}", 401)) as server, pytest.raises(LlmError, match="OPENAI_API_KEY"):
        ready(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: [*data[:-1], data[0]],
        lambda data: "none",
        lambda data: [{"index": row["index"], "embedding": row["embedding"][: 3 + row["index"] % 2]} for row in data],
        lambda data: [{"index": row["index"], "embedding": "AAAA"} for row in data],
    ],
)
def test_answers_that_are_no_embeddings_are_asked_for_again(change: Any) -> None:
    replies = iter([change])
    with serving(lambda request: embedded(request, next(replies, lambda data: data))) as server:
        ready(server.url)
    assert len(server.requests) == 2


def test_a_failed_transport_of_a_turn_is_left_to_the_harness() -> None:
    with serving(embedded) as server:
        recommender = ready(server.url)
        server.answer = lambda request: Reply(status=500)
        with pytest.raises(TransportError):
            turn(recommender, talk(seeker("horror")))


def test_numbers_that_are_none_are_the_recommenders_fault() -> None:
    with serving(embedded) as server:
        recommender = ready(server.url)
        huge = json.dumps({"data": [{"index": 0, "embedding": [1e300] * SIZE}]}).encode()
        server.answer = lambda request: Reply(huge)
        with pytest.raises(ValueError, match="no usable vectors"):
            turn(recommender, talk(seeker("horror")))


def test_another_model_behind_the_name_is_noticed() -> None:
    with serving(embedded) as server:
        recommender = ready(server.url)
        server.answer = lambda request: json_reply({"data": [{"index": 0, "embedding": [1.0, 2.0]}]})
        with pytest.raises(LlmError, match="another model than before"):
            turn(recommender, talk(seeker("horror")))


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="openai:MODEL"):
        build("llm-embed", model="openai: ")
    with pytest.raises(LlmError, match="OPENAI_API_KEY"):
        build("llm-embed", model="openai:text-embedding-3-small")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"crs-harness\[embed\]"):
        build("llm-embed", model=str(tmp_path)).revision()


# -------------------------------------------------------------------------------------------------------- local models


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model with random weights, saved."""
    library = pytest.importorskip("sentence_transformers")
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz",
                                                 *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]))  # fmt: skip
    torch.manual_seed(5)
    config = BertConfig(vocab_size=57, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    library.SentenceTransformer(str(folder / "bert"), device="cpu").save(str(folder / "model"))  # mean pooling on top
    return folder / "model"


@pytest.mark.slow
def test_a_local_model_gives_the_librarys_own_similarities(tiny: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    recommender = build("llm-embed", model=str(tiny), device="cpu")
    recommender.prepare(RecommenderSetup(FILMS, (), 10, 0, tmp_path))
    given = asyncio.run(recommender.recommend(talk(seeker("cold horror")), 8))
    model = library.SentenceTransformer(str(tiny), device="cpu")
    from harness_plugins.recommenders.llm_embed import describe

    items = model.encode([describe(item) for item in FILMS], normalize_embeddings=True)
    expected = items @ model.encode("cold horror", normalize_embeddings=True)
    scores = dict(zip(given.items, given.scores, strict=True))
    assert scores == pytest.approx({item.id: float(expected[n]) for n, item in enumerate(FILMS)}, abs=1e-5)


@pytest.mark.slow
def test_a_local_model_says_the_same_in_any_company(tiny: Path, tmp_path: Path) -> None:
    catalogue, training = random_world(11)
    talks = [random_conversation(catalogue, seed, 1 + seed % 4) for seed in range(12)]
    recommender = build("llm-embed", model=str(tiny), device="cpu")
    recommender.prepare(RecommenderSetup(catalogue, training, 10, 0, tmp_path))

    async def together() -> list[Any]:
        return await asyncio.gather(*(recommender.recommend(conversation, 10) for conversation in talks))

    assert asyncio.run(together()) == [asyncio.run(recommender.recommend(conversation, 10)) for conversation in talks]


@pytest.mark.slow
def test_a_local_models_revision_is_its_content(tiny: Path) -> None:
    before = build("llm-embed", model=str(tiny)).revision()
    assert before == build("llm-embed", model=str(tiny)).revision()
    weights = next(tiny.rglob("*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        assert build("llm-embed", model=str(tiny)).revision() != before
    finally:
        weights.write_bytes(content)


@pytest.mark.slow
def test_a_folder_that_holds_no_model_is_refused_by_name(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(UsageError, match=tmp_path.name):
        build("llm-embed", model=str(tmp_path)).prepare(RecommenderSetup(FILMS, (), 10, 0, tmp_path))
