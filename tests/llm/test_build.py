"""The string that chooses a model, and its options."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.errors import UsageError
from harness.llm.build import BACKENDS, build, options_type, parse
from harness.llm.layers import Layers


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("openai:gpt-4o-mini", ("openai", "gpt-4o-mini")),
        ("openai:llama3:8b", ("openai", "llama3:8b")),
        (" hf:./models/tiny ", ("hf", "./models/tiny")),
        ("scripted:C:/demo.jsonl", ("scripted", "C:/demo.jsonl")),
    ],
)
def test_specifications(spec, parts):
    assert parse(spec) == parts


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("opnai:gpt-4o", "did you mean openai:gpt-4o"),
        ("OpenAI:gpt-4o", "did you mean openai:gpt-4o"),
        ("gpt-4o-mini", "write it as one of openai:MODEL, hf:MODEL_OR_PATH, scripted:FILE"),
        ("openai:", "write it as openai:MODEL"),
        ("", "write it as one of"),
        ("ollama:llama3", "openai:llama3 and the option base_url"),
        ("vllm:x", "base_url=http://HOST:PORT/v1"),
    ],
)
def test_wrong_specifications(spec, message):
    with pytest.raises(UsageError, match=message):
        parse(spec)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_ulr": "x"}, "no option 'base_ulr'; did you mean base_url"),
        ({"timeout": "soon"}, "timeout=soon"),
        ({"timeout": "0"}, "timeout=0"),
        ({"max_retries": "-1"}, "max_retries=-1"),
        ({"top_p": "1.5"}, "top_p=1.5"),
        ({"omit": "temprature"}, "temprature"),
        ({"extra_body": "[1]"}, "extra_body"),
        ({"extra_body": '{"model": "x"}'}, "extra_body can't set model"),
        ({"api_key": "sk-123456789"}, "keys come from the environment"),
        ({"limit_field": "tokens"}, "limit_field=tokens"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        build("openai:m", {"base_url": "http://localhost:1/v1", **options}, Layers())
    assert "sk-123456789" not in str(caught.value)


def test_roles_that_name_the_same_model_share_it():
    layers = Layers()
    options = {"base_url": "http://localhost:1/v1", "extra_body": '{"b": 1, "a": 2}'}
    first = build("openai:m", options, layers)
    assert build("openai:m", {**options, "extra_body": {"a": 2, "b": 1}}, layers) is first
    assert build("openai:m", {**options, "timeout": "5"}, layers) is not first
    assert build("openai:m", options, Layers()) is not first


def test_only_the_chosen_backend_is_imported(tmp_path):
    path = tmp_path / "script.jsonl"
    path.write_text('{"text": "hello"}\n')
    code = (
        "import sys\n"
        "from harness.llm.build import build\n"
        "from harness.llm.layers import Layers\n"
        f"build('scripted:{path}', {{}}, Layers())\n"
        "print(sorted({'openai', 'torch', 'transformers', 'httpx'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
    assert set(BACKENDS) == {"openai", "hf", "scripted"}


def test_the_manual_lists_every_option():
    text = (
        (Path(__file__).parents[2] / "docs" / "llm.md").read_text().partition("## Options of `openai:`")[2].partition("## ")[0]
    )
    told = {name for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.name for field in msgspec.structs.fields(options_type("openai"))}
