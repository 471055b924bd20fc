"""What a plugin says is printed, never obeyed: no byte of it drives the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from installing import install

RUDE = {
    "rude.py": '''
        from harness import Component, Recommendation, hookimpl

        BELL = "\\x07\\x1b]0;title\\x07\\u202e"

        @hookimpl
        def harness_recommenders():
            yield Component("rude", "rude:Rude", summary=f"rings {BELL}")
            yield Component("fails", "rude:Fails", summary="prepares nothing")

        class Rude:
            def __init__(self, options):
                """Nothing."""

            def recommend(self, conversation, k):
                if conversation.turn > 1:
                    raise ValueError(f"rings {BELL}")
                return Recommendation(("c0001",), f"rings {BELL}", f"rings {BELL}")

        class Fails(Rude):
            def prepare(self, setup):
                raise ValueError(f"rings {BELL}")

        Rude.__doc__ = f"Rings.\\n\\n    rings {BELL}\\n"
    ''',
}


@pytest.fixture
def rude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, "rude-plugin", RUDE, {"rude": "rude"})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("rude")
def test_no_byte_of_a_plugin_s_text_drives_the_terminal(harness: Callable) -> None:
    commands = {
        "show rude": "\nrings ]0;title",
        "list recommenders": "rings ]0;title",
        "run --rec rude --limit 20 --out one": "exception: ValueError: rings ]0;title",
        "run --rec popularity --limit 20 --out two": "kept in two",
        "report one --full": "recommender_fault",
        "compare one two": "]0;title",
        "run --rec fails --limit 1 --out three": "rings ]0;title",
    }
    for command, told in commands.items():
        ran = harness(*command.split())
        text = ran.out + ran.err
        assert told in text, command
        assert not set(text) & {"\x07", "\x1b", "\u202e"}, command
