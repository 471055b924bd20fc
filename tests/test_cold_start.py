"""Looking around costs nothing: what only lists and explains loads none of the heavy packages."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

from harness.registry import KINDS, Registry

HEAVY = {"torch", "transformers", "datasets", "sklearn", "openai", "ray", "bm25s", "pandas", "trl", "peft"}
NUMBERS = {"numpy", "scipy"}
PROGRAM = """
import json, sys
from harness.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
print()
print(json.dumps([code, sorted(sys.modules)]))
"""

SHOW_ALL = """
import json, sys
from harness.cli import main
codes = set()
for name in sys.argv[1:]:
    try:
        main(["show", name])
    except SystemExit as ended:
        codes.add(ended.code)
print()
print(json.dumps([sorted(codes), sorted(sys.modules)]))
"""


@cache
def loaded(*arguments: str) -> frozenset[str]:
    """The modules that a command of its own process has loaded in the end."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=120)
    code, names = json.loads(ran.stdout.splitlines()[-1])
    assert code == 0, ran.stdout + ran.stderr
    return frozenset(names)


@cache
def bare_click() -> frozenset[str]:
    """The modules of the smallest click program that prints its help."""
    program = """
import click, json, sys
@click.group()
def cli(): "Do things."
try:
    cli(["--help"], prog_name="bare")
except SystemExit:
    pass
print()
print(json.dumps(sorted(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    return frozenset(json.loads(ran.stdout.splitlines()[-1]))


LOOKS = [
    ["--help"],
    ["--version"],
    ["run", "--help"],
    ["list"],
    ["list", "recommenders"],
    ["list", "metrics", "--json"],
    ["show", "rule"],
    ["plugins"],
    ["data", "--help"],
    ["train", "--help"],
    ["artifacts", "list"],
]


@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_looking_around_loads_nothing_heavy(arguments: list[str]) -> None:
    assert {name.split(".")[0] for name in loaded(*arguments)} & (HEAVY | NUMBERS) == set()


def test_showing_any_component_loads_no_library_of_models() -> None:
    """Its class and its options are read, which may need numpy, but nothing is made or trained."""
    names = dict.fromkeys(entry.name for kind in KINDS for entry in Registry().entries(kind))
    assert len(names) > 20
    ran = subprocess.run([sys.executable, "-c", SHOW_ALL, *names], capture_output=True, text=True, timeout=120)
    codes, modules = json.loads(ran.stdout.splitlines()[-1])
    assert (codes, {name.split(".")[0] for name in modules} & HEAVY) == ([0], set()), ran.stderr


def test_help_loads_little_more_than_click_itself() -> None:
    added = loaded("--help") - bare_click()
    assert len(loaded("--help")) <= 3 * len(bare_click())
    assert {name for name in added if name.startswith("harness")} == {"harness", "harness.cli", *our_front()}
    assert not {name for name in added if name.startswith(("asyncio", "importlib.metadata", "harness_plugins"))}


def our_front() -> set[str]:
    """What `import harness` brings along for the authors of plugins."""
    api = {f"harness.api.{part}" for part in ("answers", "components", "records", "setups", "talk", "views")}
    return {"harness.api", "harness.errors", "harness.hookspecs", *api}


def test_importing_what_plugin_authors_import_is_cheap() -> None:
    program = "import json, sys, harness; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    names = set(json.loads(ran.stdout))
    assert {name for name in names if name.startswith("harness")} == {"harness", *our_front()}
    assert not {name.split(".")[0] for name in names} & (HEAVY | NUMBERS | {"click", "asyncio"})


def test_descriptors_alone_are_loaded_to_list_components() -> None:
    ours = {name for name in loaded("list") if name.startswith("harness_plugins")}
    assert ours == {
        "harness_plugins",
        *(f"harness_plugins.{kind}" for kind in ("artifacts", "datasets", "metrics", "recommenders", "simulators")),
    } | {name for name in ours if name == "harness_plugins.trainers"}
