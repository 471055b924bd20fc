"""Who may import whom, what the packages are, and that they are all shipped."""

from __future__ import annotations

import ast
import functools
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"harness": ROOT / "harness", "harness_plugins": ROOT / "plugins"}
HEAVY = {"torch", "transformers", "datasets", "sklearn", "openai", "ray", "trl", "peft", "accelerate", "bm25s", "matplotlib"}
STANDARD = __import__("sys").stdlib_module_names

# What the pure modules may import of ours; a module that is missing here is bound by the rules below alone.
ALLOWED: dict[str, set[str]] = {
    "api": set(),
    "errors": set(),
    "hookspecs": {"api"},
    "text": {"api"},
    "checks": {"api", "errors"},
    "dialogue": {"api", "errors", "checks"},
    "scenarios": {"api"},
    "presets": {"errors"},
    "workers": {"errors"},
    "workerloop": {"workers"},
    "batching": {"errors"},
    "locks": {"errors"},
    "store": {"api", "errors", "locks", "wholefiles"},
    "registry": {"api", "errors", "hookspecs"},
    "statistics": {"api", "errors", "text"},
}
SCORING = ("scoring", "summary", "columns", "views", "comparison")
PURE_FOR_SCORING = {"api", "errors", "text", "statistics", "judging", "llm.metering", *SCORING}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """All modules by dotted name."""
    found = {}
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def is_package(name: str) -> bool:
    package, _, rest = name.partition(".")
    return (SOURCES[package] / rest.replace(".", "/") / "__init__.py").exists()


def absolute(module: str, level: int, name: str | None) -> str:
    """`from ..x import y` inside a module, as a dotted name."""
    if not level:
        return name or ""
    parts = module.split(".")
    base = parts[: len(parts) - level + is_package(module)]
    return ".".join([*base, *([name] if name else [])])


@functools.cache
def imports(module: str, *, top_level: bool = False) -> frozenset[str]:
    """Dotted names that a module imports, anywhere or (top_level) when it is imported itself; type-checking blocks left out."""
    tree = modules()[module]
    nodes: list[ast.AST] = list(tree.body)
    found: set[str] = set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node.level, node.module)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules() else base)
        elif not (top_level and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))):
            nodes += ast.iter_child_nodes(node)
    return frozenset(found)


def ours(module: str, *, top_level: bool = False) -> set[str]:
    return {name for name in imports(module, top_level=top_level) if name.split(".")[0] in SOURCES}


def reached(module: str) -> set[str]:
    """All modules of ours that come along when a module is imported."""
    found: set[str] = set()
    left = [module]
    while left:
        for name in ours(left.pop(), top_level=True) & set(modules()):
            if name not in found:
                found.add(name)
                left.append(name)
    return found


def within(package: str) -> list[str]:
    return [name for name in modules() if name == package or name.startswith(package + ".")]


def test_the_reading_of_imports_is_right() -> None:
    assert absolute("harness_plugins.metrics.ranking", 1, "lists") == "harness_plugins.metrics.lists"
    assert absolute("harness_plugins.metrics", 1, "lists") == "harness_plugins.metrics.lists"
    assert absolute("harness_plugins.metrics.ranking", 2, None) == "harness_plugins"
    assert "harness.api" in imports("harness.dialogue")
    assert {"harness.store", "harness.api"} <= reached("harness.runner")
    assert len(modules()) > 50


@pytest.mark.parametrize("name", ALLOWED)
def test_pure_modules_import_only_what_they_may(name: str) -> None:
    own = within(f"harness.{name}")
    assert {m.removeprefix("harness.") for module in own for m in ours(module) if m not in own} <= ALLOWED[name]


@pytest.mark.parametrize("name", [name for name in SCORING if (ROOT / "harness" / f"{name}.py").exists()])
def test_scoring_knows_records_and_nothing_that_plays(name: str) -> None:
    assert {module.removeprefix("harness.") for module in ours(f"harness.{name}")} <= PURE_FOR_SCORING


@pytest.mark.parametrize("name", ["dialogue", "scoring", "statistics", "api"])
def test_what_is_pure_stays_pure_through_others(name: str) -> None:
    impure = {"registry", "runner", "store", "assembly", "calls", "workers", "config", "experiment", "results"}
    assert not reached(f"harness.{name}") & {f"harness.{module}" for module in impure}


@pytest.mark.parametrize(
    "name", ["api", "errors", "hookspecs", "text", "checks", "dialogue", "scenarios", "batching", "workers", "store"]
)
def test_the_core_needs_the_standard_library_and_msgspec(name: str) -> None:
    third = {m.split(".")[0] for module in within(f"harness.{name}") for m in imports(module)} - STANDARD - {"harness"}
    assert third <= ({"msgspec", "pluggy"} if name == "hookspecs" else {"msgspec"})


def test_nothing_but_the_command_line_imports_the_command_line() -> None:
    allowed = {*within("harness.cli"), "harness.__main__"}
    assert [name for name in modules() if name not in allowed and any(m.startswith("harness.cli") for m in imports(name))] == []


def test_the_core_never_names_a_first_party_plugin() -> None:
    for name in within("harness"):
        assert not [m for m in imports(name) if m.startswith("harness_plugins")], name
        texts = [
            node.value for node in ast.walk(modules()[name]) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not [text for text in texts if text.startswith("harness_plugins.")], name


FORBIDDEN = {
    "metrics": {"simulators", "recommenders", "datasets", "trainers"},
    "datasets": {"simulators", "recommenders", "metrics", "trainers"},
    "recommenders": {"simulators", "metrics", "trainers"},
    "simulators": {"metrics", "trainers"},  # a seeker may know what goes together as a recommender does
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_kinds_of_plugins_do_not_import_each_other(kind: str) -> None:
    for name in within(f"harness_plugins.{kind}"):
        others = {m.split(".")[1] for m in ours(name) if m.startswith("harness_plugins.") and m.count(".")}
        assert not others & FORBIDDEN[kind], name


def test_plugins_stay_away_from_what_plays_and_writes() -> None:
    """A first-party plugin has the same means as anyone's: no runner, no run directory, no hidden side."""
    inner = {"harness.runner", "harness.store", "harness.experiment", "harness.dialogue", "harness.results", "harness.cli"}
    for name in within("harness_plugins"):
        assert not ours(name) & inner, name


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_a_kinds_front_module_holds_descriptors_only(kind: str) -> None:
    assert ours(f"harness_plugins.{kind}", top_level=True) <= {"harness"}
    assert {m.split(".")[0] for m in imports(f"harness_plugins.{kind}", top_level=True)} - STANDARD <= {"harness"}


def test_heavy_packages_come_along_with_no_module_of_the_core() -> None:
    """Whoever needs one imports it inside a function; only the backends of language models have modules of their own for it."""
    heavy = {name for name in modules() if {m.split(".")[0] for m in imports(name, top_level=True)} & HEAVY}
    for name in within("harness"):
        if not name.startswith("harness.llm."):
            assert not ({name} | reached(name)) & heavy, name


# --------------------------------------------------------------------------------------------------------------- packaging


@functools.cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def test_every_package_of_the_source_tree_is_shipped() -> None:
    found = {name for name in modules() if is_package(name)}
    assert found == set(project()["packages"])


def test_every_folder_with_code_is_a_package() -> None:
    for folder in SOURCES.values():
        for path in folder.rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


def test_every_data_file_is_shipped() -> None:
    shipped: set[Path] = set()
    for package, patterns in project().get("package-data", {}).items():
        top, _, rest = package.partition(".")
        for pattern in patterns:
            matches = set((SOURCES[top] / rest.replace(".", "/")).glob(pattern))
            assert matches, f"{package}: {pattern} matches nothing"
            shipped |= matches
    files = {p for folder in SOURCES.values() for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    left_out = {path.relative_to(ROOT) for path in files - shipped if path.suffix not in (".py", ".typed", ".md")}
    assert left_out == set()
