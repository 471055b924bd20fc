"""A preset's own simulator comes with the preset's options; what is said on the command line wins."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cli.settings import run_config


@pytest.mark.parametrize(
    ("flags", "simulator", "options"),
    [
        ({"preset": "ievalm-free"}, "ievalm", {"style": "published"}),
        ({"preset": "ievalm-attr"}, "ievalm-attr", {"style": "published"}),
        ({"preset": "ievalm-free-clean"}, "ievalm", {}),
        ({"preset": "ievalm-free", "sim": "ievalm", "sim-opt": ("show=5",)}, "ievalm", {"style": "published", "show": "5"}),
        ({"preset": "ievalm-free", "sim-opt": ("style=clean",)}, "ievalm", {"style": "clean"}),
        ({"preset": "ievalm-free", "sim": "rule"}, "rule", {}),
        ({"sim": "ievalm"}, "ievalm", {}),
    ],
)
def test_options_of_a_presets_simulator(flags: dict[str, Any], simulator: str, options: dict[str, str]) -> None:
    choice = run_config(flags, {}).simulator
    assert choice is not None
    assert (choice.name, choice.options) == (simulator, options)
