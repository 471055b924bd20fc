"""Keys stay out of errors, logs and answers."""

from __future__ import annotations

import io
import logging

import pytest

from benchmarks.llm_server import Fault
from harness.errors import LlmError, RefusedError, TransportError
from harness.llm.layers import Layers
from harness.llm.redact import RedactingFilter, redact
from tests.llm.asking import ask, connect, quick, run

KEY = "corp-9f8e7d6c5b4a"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
        ("key sk-proj-AbC123_xyz-987654 is wrong", "key [redacted] is wrong"),
        ("provided: sk-ab********************wxyz.", "provided: [redacted]."),
        ("https://me:secret@host/v1", "https://[redacted]@host/v1"),
        ("GET /v1?api_key=abcdef&x=1", "GET /v1?api_key=[redacted]&x=1"),
        ("hf_abcdefghijklmnopqrstuvwx", "[redacted]"),
        ("hf-internal-testing/tiny-random-gpt2 and sk-learn", "hf-internal-testing/tiny-random-gpt2 and sk-learn"),
    ],
)
def test_what_looks_like_a_key(text, clean):
    assert redact(text) == clean


def test_values_of_key_variables(monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    monkeypatch.setenv("GITLAB_TOKEN", "tok-" + KEY)
    monkeypatch.setenv("SHORT_TOKEN", "1")
    monkeypatch.setenv("HOME_TOWN", "Springfield")
    assert redact(f"{KEY} tok-{KEY} 1 Springfield") == "[redacted] [redacted] 1 Springfield"
    monkeypatch.setenv("LLM_ACCESS", "Springfield")
    assert redact("Springfield", ["LLM_ACCESS"]) == "[redacted]"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_a_server_that_repeats_the_key_is_not_quoted(serve, monkeypatch, status):
    monkeypatch.setenv("CORP_API_KEY", KEY)
    server = serve(faults=lambda number, body: Fault("status", status, message=f"key {KEY} rejected"))
    with pytest.raises((LlmError, TransportError, RefusedError)) as caught:
        run(connect(server, Layers(quick(retries=1)), key_env="CORP_API_KEY").chat(ask()))
    seen: BaseException | None = caught.value
    while seen is not None:
        assert KEY not in str(seen)
        seen = seen.__cause__
    assert "[redacted] rejected" in str(caught.value)


def test_an_answer_that_repeats_the_key_is_not_recorded(serve, monkeypatch):
    monkeypatch.setenv("ODD_NAME", KEY)
    server = serve(reply=lambda body: f"Your key is {KEY}, sk-film-lovers-unite is none.")
    answer = run(connect(server, key_env="ODD_NAME").chat(ask()))
    assert answer.text == "Your key is [redacted], sk-film-lovers-unite is none."


def test_log_lines_and_tracebacks(monkeypatch):
    monkeypatch.setenv("CORP_API_KEY", KEY)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("test.redact")
    logger.addHandler(handler)
    try:
        logger.error("%s sent %s", "client", {"Authorization": f"Bearer {KEY}"})
        try:
            raise ValueError(f"key={KEY}")
        except ValueError:
            logger.exception("it failed")
    finally:
        logger.removeHandler(handler)
    assert KEY not in stream.getvalue()
    assert "it failed" in stream.getvalue()
    assert "ValueError" in stream.getvalue()
