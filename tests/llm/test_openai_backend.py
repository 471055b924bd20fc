"""What the openai backend sends, and what it needs from the user."""

from __future__ import annotations

import logging

import pytest

from harness.errors import LlmError, UsageError
from harness.llm import ChatMessage, ChatRequest
from harness.llm import openai_answers as answers
from harness.llm.build import build
from harness.llm.layers import Layers
from tests.llm.asking import ask, connect, quick, run

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def test_the_request_as_the_server_sees_it(serve):
    server = serve()
    messages = (ChatMessage("system", "be brief"), ChatMessage("user", "héllo"))
    request = ChatRequest(
        messages, max_tokens=7, temperature=0.5, top_p=0.9, stop=("\n", "User:"), seed=2**40 + 3, schema=SCHEMA
    )
    run(connect(server, extra_body='{"top_k": 5}').chat(request))
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "héllo"}],
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["\n", "User:"],
            "seed": 3,
            "top_k": 5,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
            },
        }
    ]


def test_options_take_the_place_of_what_the_component_asks(serve):
    server = serve()
    model = connect(server, temperature="0.7", top_p="0.5", max_tokens="2000", omit="seed,stop")
    answer = run(model.chat(ask(stop=("swer",))))
    body = server.bodies[0]
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.7, 0.5, 2000)
    assert "seed" not in body
    assert "stop" not in body
    assert answer.text == "An"
    assert model.revision() == {
        "backend": "openai", "model": "m", "temperature": 0.7, "top_p": 0.5, "max_tokens": 2000, "omit": ["seed", "stop"],
    }  # fmt: skip


def test_a_server_without_json_schema_is_asked_once_and_then_without(serve, caplog):
    server = serve(lacks=frozenset({"response_format"}))
    model = connect(server)
    with caplog.at_level(logging.WARNING):
        texts = [run(model.chat(ask(str(n), schema=SCHEMA))).text for n in range(3)]
    assert len(set(texts)) == 3
    assert ["response_format" in body for body in server.bodies] == [True, False, False, False]
    assert len([r for r in caplog.records if "JSON schema" in r.getMessage()]) == 1


def test_a_bad_request_with_a_schema_is_not_blamed_on_the_schema(serve):
    server = serve(lacks=frozenset({"seed"}))
    model = connect(server)
    with pytest.raises(LlmError, match="omit=seed"):
        run(model.chat(ask(schema=SCHEMA)))
    server.lacks = frozenset()
    run(model.chat(ask(schema=SCHEMA)))
    assert "response_format" in server.bodies[-1]


def test_the_name_of_the_token_limit_is_learnt(serve):
    server = serve(lacks=frozenset({"max_tokens"}))
    model = connect(server)
    run(model.chat(ask("one", max_tokens=9)))
    run(model.chat(ask("two", max_tokens=9)))
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 9, 9]
    fixed = connect(server, Layers(quick()), limit_field="max_tokens")
    with pytest.raises(LlmError, match="max_completion_tokens"):
        run(fixed.chat(ask()))


def test_the_key_comes_from_the_environment(serve, monkeypatch):
    server = serve(key="sk-good-key-123")
    with pytest.raises(LlmError, match="OPENAI_API_KEY"):
        run(connect(server).chat(ask()))
    monkeypatch.setenv("OPENAI_API_KEY", " sk-good-key-123\n")
    run(connect(server).chat(ask()))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-stale-key-456")
    monkeypatch.setenv("OTHER", "sk-good-key-123")
    run(connect(server, key_env="OTHER").chat(ask()))
    with pytest.raises(LlmError) as caught:
        run(connect(server).chat(ask()))
    assert "sk-stale" not in str(caught.value)
    assert server.stats.requests == 4


def test_no_key_no_request(monkeypatch):
    for options, message in [
        ({}, "no key for OpenAI: set the environment variable OPENAI_API_KEY"),
        ({"base_url": "https://api.example.com/v1"}, "no key for https://api.example.com/v1"),
        ({"key_env": "MY_KEY"}, "set the environment variable MY_KEY"),
        ({"key_env": "MY_KEY", "base_url": "http://127.0.0.1:1/v1"}, "set the environment variable MY_KEY"),
    ]:
        with pytest.raises(LlmError, match=message):
            build("openai:m", options, Layers())
    build("openai:m", {"base_url": "https://api.example.com/v1", "key_env": "none"}, Layers())
    for host in ("localhost:8000", "192.168.1.7:8000", "10.0.0.1", "gpu-box:8000", "[::1]:8000", "nas.local"):
        build("openai:m", {"base_url": f"http://{host}/v1"}, Layers())
    monkeypatch.setenv("OPENAI_API_KEY", "sk with blanks")
    with pytest.raises(LlmError, match="can't be a key"):
        build("openai:m", {}, Layers())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("localhost:8000/v1", "write it as http://HOST:PORT/v1"),
        ("http://", "write it as"),
        ("http://host:port/v1", "base_url"),
        ("http://me:pa55word@host/v1", "no name, password or key"),
        ("http://host/v1?api_key=abcdefgh", "no name, password or key"),
        ("http://host/v1/chat/completions", "leave /chat/completions away"),
    ],
)
def test_wrong_addresses(address, message):
    with pytest.raises(UsageError, match=message) as caught:
        build("openai:m", {"base_url": address}, Layers())
    assert "pa55word" not in str(caught.value)


def test_the_environments_base_url_and_organization(serve, monkeypatch):
    server = serve()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
    run(build("openai:m", {"organization": "org-1"}, Layers()).chat(ask()))
    assert server.stats.answered == 1


def test_wrong_model_and_wrong_path_say_what_to_check(serve):
    server = serve(models=frozenset({"m"}))
    with pytest.raises(LlmError, match=r"`other` does not exist.*check the model's name and base_url"):
        run(connect(server, model="other").chat(ask()))
    server.url = server.url.replace("/v1", "/v2")
    with pytest.raises(LlmError, match="check the model's name and base_url"):
        run(connect(server).chat(ask()))


def test_one_client_and_its_connections_serve_all_models_of_a_server(serve):
    server = serve(latency=0.02)

    async def work():
        layers = Layers(quick())
        first, second = connect(server, layers, model="a"), connect(server, layers, model="b", temperature=0.5)
        assert connect(server, layers, model="a") is first
        for model in (first, second, first):
            await model.chat(ask())
        await first.close()
        await second.close()

    run(work())
    assert server.stats.connections == 1


def test_a_model_goes_on_in_another_loop(serve):
    """A loop that had to be given up takes its connections with it."""
    server = serve()
    model = connect(server, Layers(quick(cache="read-write", max_tokens=10_000)))
    assert run(model.chat(ask("1"))).text != run(model.chat(ask("2"))).text


def test_half_surrogates_are_sent_and_read(serve):
    server = serve()
    run(connect(server).chat(ask("x\ud83dy")))
    assert server.bodies[0]["messages"][0]["content"] == "x?y"
    raw = b'{"choices": [{"message": {"content": "fine \\ud83d"}}]}'
    assert answers.completion(answers.read(raw, "application/json", "s"), "s").text == "fine ?"


def test_usage_is_what_the_server_reports(serve):
    server = serve(reply=lambda body: "a b c")
    usage = run(connect(server).chat(ask("one two"))).usage
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens, usage.cost) == (1, 2 + 4, 3, 0.0)


def test_a_proxy_is_not_asked_for_this_machines_own_server(serve, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run(connect(serve()).chat(ask())).text


@pytest.mark.parametrize(
    ("structured", "field", "value"),
    [
        ("vllm", "structured_outputs", {"regex": "An[a-z]+"}),
        ("vllm-guided", "guided_regex", "An[a-z]+"),
        ("sglang", "regex", "An[a-z]+"),
    ],
)
def test_a_pattern_is_sent_as_that_kind_of_server_takes_it(serve, structured, field, value):
    server = serve(reply=lambda body: "Answer" if field in body else "no pattern")
    model = connect(server, structured=structured)
    assert run(model.chat(ask(pattern="An[a-z]+"))).text == "Answer"
    assert run(model.chat(ask())).text == "no pattern"
    held, free = server.bodies
    assert held.pop(field) == value
    assert held == free
    assert model.revision() == {"backend": "openai", "model": "m", "structured": structured}


def test_a_pattern_is_never_left_away(serve):
    server = serve(reply=lambda body: "something else")
    with pytest.raises(LlmError, match="structured=vllm"):
        run(connect(server).chat(ask(pattern="An[a-z]+")))
    assert server.bodies == []
    ignoring = connect(server, structured="sglang")
    with pytest.raises(LlmError, match="doesn't match the pattern"):
        run(ignoring.chat(ask(pattern="An[a-z]+")))
    # With a stop string, or at the limit, an answer is not whole.
    assert run(ignoring.chat(ask(pattern="An[a-z]+", stop=("x",)))).text == "something else"


def test_requests_that_differ_in_the_pattern_alone_are_different_questions(serve, tmp_path):
    server = serve(reply=lambda body: "Answer")
    model = connect(server, Layers(quick(cache="read-write", cache_file=tmp_path / "llm.sqlite")), structured="vllm")
    for pattern in ("An[a-z]+", None, "[A-Za-z]+", "An[a-z]+", None):
        run(model.chat(ask(pattern=pattern)))
    assert server.stats.requests == 3
