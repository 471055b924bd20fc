"""http: a recommender behind a server. Real sockets; the example server as a process of its own; every fault blamed rightly."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked_models import ready, turn
from small_server import Reply, Request, json_reply, serving
from small_world import FILMS, build, human, seeker, shown, talk

from harness.api import DialogueRecord, RecommenderSetup
from harness.errors import ComponentFault, LlmError, RefusedError, TransportError, UsageError
from harness.llm.metering import meter
from tests import support

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "http_recommender.py"
OPENING = talk(seeker("a horror film like Harbour Lights", "f0"), human("how old may it be?"), seeker("from the 80s"))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def fixed(**content: Any) -> Any:
    return lambda request: json_reply(content)


# ------------------------------------------------------------------------------------------------------- what goes and comes


def test_the_request_is_the_documented_one_and_the_answer_comes_back_whole() -> None:
    answer = {
        "items": ["f1", "f3", "nobody"],
        "text": "These?",
        "reasoning": "dark",
        "scores": [3, 2.5, 1],
        "state": {"asked": ["age"]},
        "usage": {"calls": 2, "prompt_tokens": 30, "completion_tokens": 4, "cost": 0.01},
    }
    with serving(lambda request: json_reply(answer)) as server:
        given = turn(ready("http", None, url=server.url + "/"), OPENING, k=3)
    (request,) = server.requests
    assert request.path == "/"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {
        "protocol": 1,
        "conversation": {
            "messages": [
                {"role": "seeker", "text": "a horror film like Harbour Lights", "items": ["f0"]},
                {"role": "recommender", "text": "how old may it be?"},
                {"role": "seeker", "text": "from the 80s"},
            ],
            "turn": 1,
            "seed": 7,
            "state": None,
        },
        "titles": {"f0": "Harbour Lights (1991)"},
        "k": 3,
    }
    assert given.items == ("f1", "f3", "nobody")
    assert (given.text, given.reasoning, given.scores, given.state) == ("These?", "dark", (3, 2.5, 1), {"asked": ["age"]})
    assert given.usage is not None
    assert (given.usage.calls, given.usage.prompt_tokens, given.usage.cost) == (2, 30, 0.01)


def test_state_lists_and_refusals_of_earlier_turns_are_sent() -> None:
    later = talk(seeker("hi"), shown("f1", "f3"), seeker("no", rejected=("f1", "f3")), turn=2)
    later = type(later)(later.messages, 2, 7, {"asked": 1})
    with serving(fixed(text="And?")) as server:
        given = turn(ready("http", None, url=f"{server.url}/v2/recommend"), later)
    assert server.requests[0].path == "/v2/recommend"
    sent = server.requests[0].body["conversation"]
    assert sent["state"] == {"asked": 1}
    assert sent["messages"][1]["ranked"] == ["f1", "f3"]
    assert sent["messages"][2]["rejected"] == ["f1", "f3"]
    assert (given.items, given.text) == ((), "And?")


def test_a_server_that_knows_titles_only() -> None:
    with serving(fixed(titles=["Cold Orbit (2015)", "Who Knows", "the long tunnel"], text="x")) as server:
        assert turn(ready("http", None, url=server.url), OPENING).items == ("f6", "ooc:Who Knows", "f1")


def test_the_catalogue_is_sent_once_before_the_run() -> None:
    with serving(fixed(items=["f1"])) as server:
        recommender = ready("http", None, url=server.url, send_catalogue=True)
        turn(recommender, OPENING)
        turn(recommender, OPENING)
    first, *rest = server.requests
    assert first.path == "/catalogue"
    assert first.body["protocol"] == 1
    assert [item["id"] for item in first.body["items"]] == list(FILMS.ids)
    assert first.body["items"][1]["attributes"] == {"genre": ["horror", "thriller"], "director": ["Ivo Brandt"]}
    assert [request.path for request in rest] == ["/", "/"]


def test_a_server_that_does_not_take_the_catalogue_stops_the_run_before_it_starts() -> None:
    with (
        serving(lambda request: Reply(b"no", 501)) as server,
        pytest.raises(UsageError, match=r"could not send the catalogue.* 501: no"),
    ):
        ready("http", None, url=server.url, send_catalogue=True)


def test_keys_come_from_the_environment_and_go_into_headers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "abcdef-123456")
    monkeypatch.setenv("SHOP_TENANT", "tenant-7777")
    options = {"header_env": ("X-Tenant=SHOP_TENANT",), "key_env": "SHOP_TOKEN"}

    def echo(request: Request) -> Reply:
        return json_reply({"items": ["f1"], "text": f"you are {request.headers['authorization']}", "state": request.headers})

    with serving(echo) as server:
        recommender = ready("http", None, url=server.url, **options)
        given = turn(recommender, OPENING)
        assert server.requests[0].headers["authorization"] == "Bearer abcdef-123456"
        assert server.requests[0].headers["x-tenant"] == "tenant-7777"
    assert "abcdef-123456" not in repr(given)
    assert "tenant-7777" not in repr(given)
    assert "abcdef" not in repr(recommender.revision())


# ------------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "url=http://HOST:PORT"),
        ({"url": "file:///etc/passwd"}, "only http"),
        ({"url": "ftp://example.org"}, "only http"),
        ({"url": "localhost:8000"}, "only http"),
        ({"url": "http://"}, "only http"),
        ({"url": "http://x:99999"}, "write it as"),
        ({"url": "http://me:secret@example.org"}, "must hold no name"),
        ({"url": "http://example.org/?api_key=12345678"}, "must hold no name"),
        ({"url": "http://example.org/?page=1"}, "leave away"),
        ({"url": "http://x", "header_env": ("Authorization",)}, "HEADER=NAME"),
        ({"url": "http://x", "key_env": "SURELY_NOT_SET"}, "SURELY_NOT_SET is not set"),
        ({"url": "http://x", "mode": "openai"}, "model=NAME"),
        ({"url": "http://x", "mode": "openai", "model": "m", "send_catalogue": True}, "mode json only"),
    ],
)
def test_options_that_can_not_work_are_refused_with_what_to_set(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)):
        build("http", **options)


def test_a_header_value_with_a_line_break_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "one\r\nX-Other: two")
    with pytest.raises(UsageError, match="can't be sent as a header"):
        build("http", url="http://x", key_env="SHOP_TOKEN")


# -------------------------------------------------------------------------------------------------------------------- faults


def endless() -> Iterator[bytes]:
    return itertools.repeat(b'{"items": [' + b" " * 65_536)


def dripping() -> Iterator[bytes]:
    for _ in range(100):
        time.sleep(0.05)
        yield b" "


DEEP = b'{"state": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(b""), "malformed"),
        (Reply(b"<html>hello</html>"), "malformed"),
        (Reply(b'{"items": ["f1"'), "malformed"),
        (Reply(b'["f1"]'), "malformed"),
        (Reply(b'{"item": ["f1"]}'), "malformed"),
        (Reply(b'{"items": "f1"}'), "malformed"),
        (Reply(b'{"items": [1]}'), "malformed"),
        (Reply(b'{"items": ["f1"], "titles": ["x"]}'), "malformed"),
        (Reply(b'{"text": "\xff"}'), "malformed"),
        (Reply(b'{"usage": {"calls": "many"}}'), "malformed"),
        (Reply(DEEP), "malformed"),
        (Reply(b" " * (5 * 2**20)), "malformed"),
        (Reply(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), "malformed"),
        (Reply(status=302, headers={"Location": "file:///etc/passwd"}), "malformed"),
        (Reply(status=307, headers={"Location": "http://127.0.0.1:1/"}), "malformed"),
        (Reply(b"what?", 400), "exception"),
        (Reply(b'{"detail": "k?"}', 422), "exception"),
        (Reply(status=204), "exception"),
    ],
)
def test_what_the_server_gets_wrong_is_the_recommenders_fault(reply: Reply, kind: str) -> None:
    with serving(lambda request: reply) as server, pytest.raises(ComponentFault) as caught:
        turn(ready("http", None, url=server.url), OPENING)
    assert caught.value.kind == kind
    assert len(server.requests) == 1
    assert len(str(caught.value)) < 600


def test_an_endless_answer_is_not_waited_for() -> None:
    with serving(lambda request: Reply(endless())) as server, pytest.raises(ComponentFault, match="4,194,304 bytes"):
        turn(ready("http", None, url=server.url), OPENING)


@pytest.mark.parametrize(
    ("reply", "options", "retry_after"),
    [
        (Reply(status=429, headers={"Retry-After": "7"}), {}, 7.0),
        (Reply(status=500), {}, None),
        (Reply(b"<h1>busy</h1>", 503, {"Retry-After": "2"}), {}, 2.0),
        (Reply(reset=True), {}, None),
        (Reply(hang=1.0), {"timeout": 0.2}, None),
        (Reply(dripping()), {"timeout": 0.2}, None),
    ],
)
def test_a_failed_transport_is_nobodys_fault(reply: Reply, options: dict[str, Any], retry_after: float | None) -> None:
    with serving(lambda request: reply) as server, pytest.raises(TransportError) as caught:
        turn(ready("http", None, url=server.url, **options), OPENING)
    assert caught.value.retry_after == retry_after
    assert not caught.value.final


def test_a_server_that_is_not_there_is_a_failed_transport() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TransportError, match="connection"):
            turn(ready("http", None, url=url), OPENING)


def test_a_hang_until_the_calls_own_limit_is_the_transports_and_final() -> None:
    async def call(recommender: Any) -> None:
        with meter(0.4):
            await recommender.recommend(OPENING, 5)

    with serving(lambda request: Reply(hang=1.0)) as server, pytest.raises(TransportError) as caught:
        asyncio.run(call(ready("http", None, url=server.url)))
    assert caught.value.final


@pytest.mark.parametrize(("status", "hint"), [(401, "header_env"), (403, "key_env"), (404, "option url")])
def test_a_wrong_address_or_key_ends_the_run_with_what_to_set(status: int, hint: str) -> None:
    with serving(lambda request: Reply(status=status)) as server, pytest.raises(LlmError, match=f"{status}.*{hint}"):
        turn(ready("http", None, url=server.url), OPENING)


def test_as_many_requests_are_in_flight_as_dialogues() -> None:
    def slow(request: Request) -> Reply:
        return json_reply({"items": [FILMS.ids[request.body["conversation"]["seed"] % 8]]}, hang=0.3)

    async def many(recommender: Any) -> list[Any]:
        given = await asyncio.gather(*(recommender.recommend(talk(seeker("x"), seed=n), 5) for n in range(40)))
        await recommender.close()
        return given

    with serving(slow) as server:
        given = asyncio.run(many(ready("http", None, url=server.url)))
    assert [one.items for one in given] == [(FILMS.ids[n % 8],) for n in range(40)]
    assert server.peak == 40


# --------------------------------------------------------------------------------------------------------------- mode openai


def completion(text: str | None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9}, **more}


def chatting(text: str | None, **more: Any) -> Any:
    return lambda request: json_reply(completion(text, **more))


def openai_mode(url: str, **options: Any) -> Any:
    return ready("http", None, url=f"{url}/v1", mode="openai", model="their-model", **options)


def test_the_dialogue_goes_as_chat_messages() -> None:
    with serving(chatting("1. The Long Tunnel\n2. Unheard Of")) as server, meter() as spent:
        given = turn(openai_mode(server.url), OPENING, k=6)
    assert given.items == ("f1", "ooc:Unheard Of")
    assert spent.total.calls == 1
    assert spent.total.prompt_tokens == 9
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    system, *messages = request.body["messages"]
    assert system["role"] == "system"
    assert "6 films" in system["content"]
    assert [(m["role"], m["content"][:9]) for m in messages] == [
        ("user", "a horror "),
        ("assistant", "how old m"),
        ("user", "from the "),
    ]
    assert (request.body["model"], request.body["temperature"], request.body["seed"]) == ("their-model", 0.0, 7)


def test_fields_can_be_added_and_taken_away() -> None:
    with serving(chatting("1. Cold Orbit")) as server:
        turn(openai_mode(server.url, extra_body={"seed": None, "temperature": 0.5, "top_k": 1}, system=False), OPENING)
    body = server.requests[0].body
    assert "seed" not in body
    assert (body["temperature"], body["top_k"]) == (0.5, 1)
    assert body["messages"][0]["role"] == "user"


def test_titles_in_plain_talk_are_the_list_but_for_those_named_before() -> None:
    talked = "If you liked Harbour Lights, see The Long Tunnel (1984), or else Paper Moons."
    with serving(chatting(talked)) as server:
        given = turn(openai_mode(server.url), OPENING)
    assert given.items == ("f1", "f5")
    assert given.text == talked


def test_plain_talk_without_titles_is_a_question() -> None:
    with serving(chatting("Do you prefer old films?")) as server:
        given = turn(openai_mode(server.url), OPENING)
    assert (given.items, given.text) == ((), "Do you prefer old films?")


@pytest.mark.parametrize(
    ("content", "error", "kind"),
    [
        ([1], ComponentFault, "malformed"),
        ({"hello": 1}, ComponentFault, "malformed"),
        ({"choices": [3]}, ComponentFault, "malformed"),
        ({"choices": []}, RefusedError, None),
        (completion(None), RefusedError, None),
        ({"error": {"message": "upstream is down", "code": 502}}, TransportError, None),
        ({"error": {"message": "slow down", "code": 429}}, TransportError, None),
    ],
)
def test_answers_that_are_no_completion(content: Any, error: type[Exception], kind: str | None) -> None:
    with serving(lambda request: json_reply(content)) as server, pytest.raises(error) as caught:
        turn(openai_mode(server.url), OPENING)
    assert getattr(caught.value, "kind", None) == kind


# ------------------------------------------------------------------------------------------------------------ whole dialogues


def play(folder: Path, url: str, count: int = 12, **options: Any) -> dict[str, DialogueRecord]:
    """Dialogues of a made-up world with the rule-free seeker of the core's tests; the harness does all the rest."""
    recommender = build("http", url=url, **options)
    assembled = support.assembly(recommender, support.Seeker(), count=count, concurrency=8)
    recommender.prepare(RecommenderSetup(assembled.catalogue, assembled.split.training, assembled.config.k, 0))
    return support.play(folder, assembled)[1]


@contextlib.contextmanager
def example_server() -> Iterator[str]:
    """The example in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(EXAMPLE), str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_the_example_server_plays_whole_dialogues(tmp_path: Path) -> None:
    with example_server() as url:
        one = play(tmp_path / "one", url, send_catalogue=True)
        two = play(tmp_path / "two", url, send_catalogue=True)
    assert len(one) == 12
    assert {name: record.turns for name, record in one.items()} == {name: record.turns for name, record in two.items()}
    for record in one.values():
        assert record.faults == ()
        refused: set[str] = set()
        for played in record.turns:
            assert len(played.items) == 10
            assert played.unknown == played.repeated == 0
            assert not refused & set(played.items)
            refused |= set(played.rejected)
    assert sum(len(record.turns) for record in one.values()) > 12


def test_the_example_is_as_short_as_the_documentation_says() -> None:
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 30
    page = (ROOT / "docs" / "http-recommender.md").read_text(encoding="utf-8")
    assert "examples/http_recommender.py" in page


def test_faults_in_the_middle_of_a_run_are_recorded_with_the_right_blame(tmp_path: Path) -> None:
    """By the scenario: garbage, a crash of the server that passes, one that stays, and good answers."""
    asked: dict[int, int] = {}

    def moody(request: Request) -> Reply:
        number = int(request.body["conversation"]["messages"][0]["text"].split()[1])
        asked[number] = asked.get(number, 0) + 1
        good = json_reply({"items": ["m1", "m2"], "text": "These?"})
        crash = Reply(status=500) if asked[number] == 1 else good
        return [Reply(b"not json"), crash, Reply(status=503), good][number % 4]

    with serving(moody) as server:
        records = play(tmp_path / "run", server.url)
    blames = {name: [(fault.blame, fault.kind) for fault in record.faults] for name, record in records.items()}
    for number in range(12):
        record, name = records[f"s{number}"], f"s{number}"
        if number % 4 == 0:
            assert (record.stop, blames[name]) == ("recommender_fault", [("recommender", "malformed")])
        elif number % 4 == 2:
            assert (record.stop, blames[name]) == ("transport", [("transport", "transport")])
            assert asked[number] == 3  # once, and two more tries
        else:
            assert record.stop in ("max_turns", "accepted")
            assert blames[name] == []
            assert all(turn.items == ("m1", "m2") for turn in record.turns)


def test_a_key_that_is_refused_stops_the_run_at_once(tmp_path: Path) -> None:
    with serving(lambda request: Reply(status=401)) as server, pytest.raises(LlmError, match="key_env"):
        play(tmp_path / "run", server.url)
    assert len(server.requests) <= 8
