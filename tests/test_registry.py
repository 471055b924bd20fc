"""Plugins are strangers: each is loaded on its own, and what is wrong with one is told and harms nobody else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.api import Component
from harness.errors import PluginError
from harness.registry import FIRST_PARTY, KINDS, Plugin, Registry

GOOD = """
from harness import Component, hookimpl
@hookimpl
def harness_recommenders():
    yield Component({name!r}, "{module}:Thing", summary="a thing", options="{module}:Options")
import msgspec
class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    depth: int = 3
class Thing:
    def __init__(self, options): self.options = options
"""
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lay a distribution with one entry point into a folder on sys.path, as an installer does."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv("HARNESS_PLUGINS", raising=False)
    monkeypatch.delenv("HARNESS_DISABLE_PLUGINS", raising=False)
    made: list[str] = []

    def lay(distribution: str, code: str | None = GOOD, *, name: str = "thing", points: str | None = None) -> Path:
        module = distribution.replace("-", "_")
        made.append(module)
        if code is not None:
            (site / f"{module}.py").write_text(code.replace("{name!r}", repr(name)).replace("{module}", module))
        metadata = site / f"{module}-1.5.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (metadata / "entry_points.txt").write_text(points or f"[harness]\nmain = {module}\n")
        return metadata

    yield lay
    for module in made:
        sys.modules.pop(module, None)


def by_distribution(registry: Registry) -> dict[str, Plugin]:
    return {plugin.distribution: plugin for plugin in registry.plugins}


def names(registry: Registry) -> set[str]:
    return {entry.name for kind in KINDS for entry in registry.entries(kind)}


# ------------------------------------------------------------------------------------------------------------- discovery


def test_an_installed_plugin_is_found_with_its_distribution(install: Install) -> None:
    install("good-plugin")
    registry = Registry()
    entry = registry.find("recommender", "thing")
    assert (entry.distribution, entry.version, entry.full_name) == ("good-plugin", "1.5", "good-plugin:thing")
    assert registry.load(entry).__name__ == "Thing"
    assert registry.options_type(entry).__name__ == "Options"
    assert registry.broken() == []


def test_first_party_components_come_through_entry_points_like_anyones() -> None:
    registry = Registry()
    assert registry.find("recommender", "random").distribution == FIRST_PARTY
    assert registry.find("simulator", "rule").component.knowledge == "profile"


def test_listing_imports_no_component(install: Install) -> None:
    install("lazy-plugin", GOOD.replace('"{module}:Thing"', '"lazy_plugin_heavy:Thing"'))
    registry = Registry()
    assert "thing" in names(registry)
    with pytest.raises(PluginError, match=r"'thing' of lazy-plugin can't be imported \(lazy_plugin_heavy:Thing\): Module"):
        registry.load(registry.find("recommender", "thing"))


BROKEN = {
    "ImportError": "import a_package_that_is_not_there",
    "SyntaxError": "def half(:",
    "SystemExit": "raise SystemExit(3)",
    "RuntimeError": "raise RuntimeError('no licence key')",
    "ZeroDivisionError": "1 / 0",
    "GeneratorExit": "raise GeneratorExit('odd')",
    "Unprintable": "class Unprintable(Exception):\n    def __str__(self): raise ValueError\nraise Unprintable",
    "RecursionError": "def f(): f()\nf()",
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_plugin_that_fails_on_import_is_listed_and_harms_nobody(install: Install, reason: str) -> None:
    install("bad-plugin", BROKEN[reason])
    install("good-plugin")
    registry = Registry()
    (broken,) = registry.broken()
    assert broken.distribution == "bad-plugin"
    expected = "ModuleNotFoundError" if reason == "ImportError" else reason
    assert broken.error.startswith(expected)
    assert "Traceback" in broken.details
    assert {"thing", "random"} <= names(registry)


def test_ctrl_c_during_discovery_is_no_plugins_fault() -> None:
    def load() -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Registry(discover=False).register("p", load, "p")


def test_a_missing_module_is_listed(install: Install) -> None:
    install("gone-plugin", None)
    assert by_distribution(Registry())["gone-plugin"].error.startswith("ModuleNotFoundError")


def test_damaged_metadata_of_a_stranger_harms_nobody(install: Install) -> None:
    (install("torn-plugin", None) / "entry_points.txt").write_text("[harness]\nno equals sign here\n")
    (install("bin-plugin", None) / "entry_points.txt").write_bytes(b"\xff\xfe\x00[")
    nameless = install("nameless-plugin")
    (nameless / "METADATA").unlink()
    install("good-plugin")
    assert {"thing", "random"} <= names(Registry())


def test_a_distribution_that_lies_twice_on_the_path_counts_once(install: Install, tmp_path: Path, monkeypatch: Any) -> None:
    metadata = install("twice-plugin")
    other = tmp_path / "other"
    other.mkdir()
    (other / metadata.name).mkdir()
    for file in metadata.iterdir():
        (other / metadata.name / file.name).write_bytes(file.read_bytes())
    monkeypatch.syspath_prepend(str(other))
    assert [p.distribution for p in Registry().plugins].count("twice-plugin") == 1


# ------------------------------------------------------------------------------------------------- hooks that are wrong


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("@hookimpl\ndef harness_recomenders(): return []", ["unknown hook", "harness_recomenders"]),
        ("@hookimpl\ndef harness_recommenders(surprise): return []", ["harness_recommenders", "surprise"]),
        ("def harness_recommenders(): return []", ["harness_recommenders lacks @hookimpl"]),
    ],
)
def test_a_mistyped_hook_is_an_error_with_the_culprits_name(install: Install, code: str, words: list[str]) -> None:
    good = '@hookimpl\ndef harness_simulators():\n    yield Component("bystander", "x:Y")\n'
    install("typo-plugin", f"from harness import Component, hookimpl\n{good}{code}\n")
    install("good-plugin")
    registry = Registry()
    (broken,) = registry.broken()
    assert broken.distribution == "typo-plugin"
    assert all(word in broken.error for word in words), broken.error
    assert "bystander" not in names(registry)  # all of it or nothing
    assert "thing" in names(registry)


GARBAGE = {
    "a text": "return 'popularity'",
    "a number": "return 7",
    "a bare component": "return Component('x', 'a:B')",
    "a class": "yield dict",
    "nothing in a list": "yield None",
    "a wrong name type": "yield Component(7, 'a:B')",
    "an empty name": "yield Component('', 'a:B')",
    "a name with a colon": "yield Component('a:b', 'a:B')",
    "a name with a blank": "yield Component('a b', 'a:B')",
    "a name with an escape code": "yield Component('\\x1b[31mred', 'a:B')",
    "a target without a class": "yield Component('x', 'package.module')",
    "a wrong target type": "yield Component('x', dict)",
    "wrong options": "yield Component('x', 'a:B', options=dict)",
    "a wrong level": "yield Component('x', 'a:B', knowledge='everything')",
    "a wrong api": "yield Component('x', 'a:B', api='one')",
    "an exception half-way": "yield Component('x', 'a:B')\n    raise RuntimeError('half-way')",
    "an exit half-way": "yield Component('x', 'a:B')\n    raise SystemExit",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_hook_that_yields_garbage_is_refused_whole(install: Install, what: str) -> None:
    body = f"from harness import Component, hookimpl\n@hookimpl\ndef harness_metrics():\n    {GARBAGE[what]}\n"
    install("garbage-plugin", body)
    install("good-plugin")
    registry = Registry()
    (broken,) = registry.broken()
    assert broken.distribution == "garbage-plugin"
    if "exception" not in what and "exit" not in what:
        assert "harness_metrics" in broken.error
    assert {"thing", "random"} <= names(registry)
    assert all(entry.distribution == FIRST_PARTY for entry in registry.entries("metric"))


def test_a_hook_that_yields_nothing_is_fine(install: Install) -> None:
    install("empty-plugin", "from harness import hookimpl\n@hookimpl\ndef harness_metrics(): return []\n")
    assert Registry().broken() == []


def test_two_entry_points_for_one_module_leave_the_first_in_place(install: Install) -> None:
    watch = "\n@hookimpl\ndef harness_run_started(manifest): raise RuntimeError('called')\n"
    install("double-plugin", GOOD + watch, points="[harness]\na = double_plugin\nb = double_plugin\n")
    registry = Registry()
    assert [plugin.error is None for plugin in registry.plugins if plugin.distribution == "double-plugin"] == [True, False]
    assert registry.find("recommender", "thing")
    assert observed(registry, "harness_run_started", manifest={}) == [
        "observer harness_run_started of double-plugin failed: RuntimeError: called"
    ]


# --------------------------------------------------------------------------------------------------------------- look-up


def test_two_distributions_with_one_name_are_both_refused_by_the_short_name(install: Install) -> None:
    install("plugin-a")
    install("plugin-b")
    registry = Registry()
    with pytest.raises(PluginError, match="offered by several plugins; say which: plugin-a:thing, plugin-b:thing"):
        registry.find("recommender", "thing")
    assert registry.find("recommender", "plugin-a:thing").distribution == "plugin-a"
    assert registry.find("recommender", "Plugin_B:thing").distribution == "plugin-b"  # as package indexes compare names
    assert list(registry.clashes("recommender")) == ["thing"]
    assert registry.find("recommender", "random")


def test_a_stranger_that_takes_a_first_party_name_cannot_replace_it(install: Install) -> None:
    install("thief", name="popularity")
    registry = Registry()
    with pytest.raises(PluginError, match="crs-harness:popularity, thief:popularity"):
        registry.find("recommender", "popularity")
    assert registry.find("recommender", "crs-harness:popularity").distribution == FIRST_PARTY


def test_one_distribution_with_one_name_twice_is_told(install: Install) -> None:
    install("plugin-a", GOOD + "\nagain = harness_recommenders\n@hookimpl\ndef harness_simulators():\n    return []\n")
    registry = Registry(discover=False)
    for n in range(2):
        code = type(sys)(f"twin{n}")
        exec(GOOD.replace("{name!r}", "'twin'").replace("{module}", "plugin_a"), vars(code))
        registry.register(f"p/{n}", lambda code=code: code, "plugin-a")
    with pytest.raises(PluginError, match="'twin' is offered twice by plugin-a: that plugin must be mended"):
        registry.find("recommender", "twin")


def test_an_unknown_name_shows_the_nearest_and_the_broken_plugins(install: Install) -> None:
    install("bad-plugin", BROKEN["RuntimeError"])
    registry = Registry()
    with pytest.raises(PluginError) as caught:
        registry.find("recommender", "populrity")
    assert "unknown recommender 'populrity'; did you mean popularity" in str(caught.value)
    assert "bad-plugin could not be loaded and may hold it: RuntimeError: no licence key" in str(caught.value)
    with pytest.raises(PluginError, match=r"unknown recommender 'rule' \(there is a simulator of that name\)"):
        registry.find("recommender", "rule")
    with pytest.raises(PluginError, match=r"unknown metric 'zzzzzz'; `harness list metrics`"):
        registry.find("metric", "zzzzzz")
    with pytest.raises(PluginError, match="unknown recommender 'no-dist:random'"):
        registry.find("recommender", "no-dist:random")


def test_another_api_is_a_readable_line(install: Install) -> None:
    install("old-plugin", GOOD.replace('summary="a thing"', "api=99"))
    registry = Registry()
    assert registry.broken() == []
    with pytest.raises(PluginError, match=r"'thing' of old-plugin 1.5 is made for plugin API 99, this harness has API 1"):
        registry.find("recommender", "thing")


# ---------------------------------------------------------------------------------------------------------- environment


def test_the_environment_disables_and_allows(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("plugin-a", name="a")
    install("plugin-b", name="b")
    bad = install("plugin-bad", "import plugin_bad_marker")
    assert bad

    def found() -> set[str]:
        return names(Registry()) & {"a", "b", "random"} | {p.distribution for p in Registry().broken()}

    assert found() == {"a", "b", "random", "plugin-bad"}
    monkeypatch.setenv("HARNESS_DISABLE_PLUGINS", "Plugin_A, plugin.bad")
    assert found() == {"b", "random"}
    monkeypatch.setenv("HARNESS_PLUGINS", "plugin-a,plugin-b")
    assert found() == {"b", "random"}  # disabled wins
    monkeypatch.delenv("HARNESS_DISABLE_PLUGINS")
    monkeypatch.setenv("HARNESS_PLUGINS", "plugin_b")
    assert found() == {"b", "random"}  # first-party plugins stay


def test_a_broken_plugin_does_not_break_help(install: Install, tmp_path: Path) -> None:
    install("bad-plugin", BROKEN["SystemExit"])
    for arguments in (["--help"], ["list"], ["plugins"]):
        ran = subprocess.run(
            [sys.executable, "-c", "import sys; from harness.cli import main; main(sys.argv[1:])", *arguments],
            env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
    assert "bad-plugin" in ran.stdout
    assert "SystemExit" in ran.stdout


# ------------------------------------------------------------------------------------------------------------- observers


def observed(registry: Registry, hook: str, **arguments: Any) -> list[str]:
    reports: list[str] = []
    registry.notify(hook, reports.append, **arguments)
    return reports


def observer(name: str, function: Callable[..., Any]) -> Any:
    from harness import hookimpl

    module = type(sys)(name)
    module.harness_run_started = hookimpl(function)
    return module


def test_every_observer_is_called_and_one_that_raises_is_reported() -> None:
    called = []

    def works(manifest: dict[str, Any]) -> None:
        called.append(manifest["fingerprint"])

    def raises(manifest: dict[str, Any]) -> None:
        raise RuntimeError("disk of the observer is full")

    def exits(manifest: dict[str, Any]) -> None:
        raise SystemExit(1)

    registry = Registry(discover=False)
    for number, function in enumerate([works, raises, exits, works]):
        plugin = registry.register(f"p{number}", lambda f=function, n=number: observer(f"o{n}", f), f"dist-{number}")
        assert plugin.error is None
    reports = observed(registry, "harness_run_started", manifest={"fingerprint": "f00"})
    assert called == ["f00", "f00"]
    assert reports == [
        "observer harness_run_started of dist-1 failed: RuntimeError: disk of the observer is full",
        "observer harness_run_started of dist-2 failed: SystemExit: 1",
    ]
    assert observed(registry, "harness_run_finished", summary={}) == []


def test_entries_are_sorted_whatever_the_order_of_discovery() -> None:
    registry = Registry(discover=False)
    for distribution, name in (("z", "beta"), ("a", "beta"), ("m", "alpha")):
        from harness import hookimpl

        module = type(sys)(distribution)
        module.harness_datasets = hookimpl(lambda name=name: [Component(name, "a:B")])
        registry.register(distribution, lambda module=module: module, distribution)
    assert [e.full_name for e in registry.entries("dataset")] == ["m:alpha", "a:beta", "z:beta"]
