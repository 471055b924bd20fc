"""From names to loaded components: whatever goes wrong there is told with the culprit's name, cheap errors first."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from support import world

from harness import hookimpl
from harness.api import Catalogue, Component, Need, Scenario, Split
from harness.assembly import Assembly, assemble, prepare, trained
from harness.config import Choice, RunConfig
from harness.errors import DataError, HarnessError, PluginError, UsageError
from harness.registry import Registry


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str = "/somewhere"
    size: int = 4


class Rows:
    loads = 0

    def __init__(self, options: Options) -> None:
        self.options = options

    def load(self, split: str) -> Any:
        type(self).loads += 1
        return world(self.options.size)


class Recommender:
    def __init__(self, options: None) -> None:
        self.setups: list[Any] = []

    def prepare(self, setup: Any) -> None:
        self.setups.append(setup)


class Simulator(Recommender):
    knowledge = "profile"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The classes that the registry's components "r", "s" and "d" lead to; a test may replace them."""
    module = ModuleType("parts_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found = vars(module)
    found.update(Recommender=Recommender, Simulator=Simulator, Rows=Rows, Options=Options)
    Rows.loads = 0
    return found


def registry(level: str | None = None) -> Registry:
    plugin = ModuleType("plugin_of_a_test")

    def at(name: str, cls: str, **more: Any) -> list[Component]:
        return [Component(name, f"parts_of_a_test:{cls}", **more)]

    plugin.harness_recommenders = hookimpl(lambda: at("r", "Recommender"))
    plugin.harness_simulators = hookimpl(lambda: at("s", "Simulator", knowledge=level))
    plugin.harness_datasets = hookimpl(lambda: at("d", "Rows", options="parts_of_a_test:Options"))
    made = Registry(discover=False)
    assert made.register("p", lambda: plugin, "some-dist", "2").error is None
    return made


def config(**changes: Any) -> RunConfig:
    base = RunConfig(recommender=Choice("r"), simulator=Choice("s"), dataset=Choice("d"))
    return msgspec.structs.replace(base, **changes)


def assembled(level: str | None = None, like: Assembly | None = None, **changes: Any) -> Assembly:
    return assemble(registry(level), config(**changes), like=like)


@pytest.mark.usefixtures("parts")
def test_everything_in_place_is_assembled_and_prepared_once(tmp_path: Path) -> None:
    made = assembled()
    assert (len(made.scenarios), made.rows, made.prepared) == (4, 4, set())
    for _ in range(2):
        prepare(made, tmp_path)
    (setup,) = made.instances["recommender"].setups
    assert (setup.k, setup.seed, setup.cache_dir, type(setup.training)) == (10, 0, tmp_path, tuple)
    assert made.instances["simulator"].setups[0].max_turns == 5
    assert (made.fields["recommender.distribution"], made.fields["recommender.version"]) == ("some-dist", "2")
    assert made.fields["simulator.knowledge"] == "profile"


@pytest.mark.usefixtures("parts")
def test_where_the_files_lie_is_no_part_of_the_fingerprint() -> None:
    one = assembled()
    assert assembled(dataset=Choice("d", {"path": "/elsewhere"})).fingerprint == one.fingerprint
    assert assembled(dataset=Choice("d", {"size": 5})).fingerprint != one.fingerprint
    assert assembled(limit=2).data_hash != one.data_hash


@pytest.mark.parametrize(
    "changes", [{"recommender": Choice("x")}, {"simulator": Choice("x")}, {"recommender": Choice("r", {"a": 1})}]
)
@pytest.mark.usefixtures("parts")
def test_names_and_options_are_looked_at_before_any_data(changes: dict[str, Any]) -> None:
    with pytest.raises((PluginError, UsageError)):
        assembled(**changes)
    assert Rows.loads == 0


@pytest.mark.usefixtures("parts")
def test_several_turns_need_a_simulator() -> None:
    with pytest.raises(UsageError, match="5 turns need a simulator"):
        assembled(simulator=None)
    assert assembled(simulator=None, turns=1).fields["simulator.name"] is None


@pytest.mark.usefixtures("parts")
def test_data_and_a_prepared_recommender_are_used_again() -> None:
    first = assembled()
    prepare(first)
    control = assembled(like=first, leak_policy="keep")
    assert Rows.loads == 1
    assert control.instances["recommender"] is first.instances["recommender"]
    prepare(control)
    assert len(first.instances["recommender"].setups) == 1
    assert assembled(like=first, seed=1).instances["recommender"] is not first.instances["recommender"]
    assert assembled(like=first, limit=1).data_hash != first.data_hash


# ---------------------------------------------------------------------------------------------------------- broken parts


def raising(error: BaseException) -> Any:
    def function(*arguments: Any, **more: Any) -> Any:
        raise error

    return function


async def later(self: Any, setup: Any) -> None: ...


@pytest.mark.parametrize("error", [ValueError("no GPU"), SystemExit("no GPU")])
def test_a_component_that_cannot_be_made_or_prepared_is_named(parts: dict[str, Any], error: BaseException) -> None:
    kind = type(error).__name__
    for changed, words in (
        ("__init__", "can't be made"),
        ("prepare", r"failed in prepare\(\)"),
        ("revision", r"failed in revision\(\)"),
    ):
        for cls, name in ((Recommender, "recommender 'r'"), (Simulator, "simulator 's'")):
            parts[cls.__name__] = type(cls.__name__, (cls,), {changed: raising(error)})
            with pytest.raises(PluginError, match=f"{name} of some-dist {words}: {kind}: no GPU"):
                prepare(assembled())
            parts[cls.__name__] = cls


def test_an_async_prepare_is_told(parts: dict[str, Any]) -> None:
    parts["Recommender"] = type("Recommender", (Recommender,), {"prepare": later})
    with pytest.raises(PluginError, match="prepare must be a plain method, not async"):
        prepare(assembled())


def test_a_revision_that_json_cannot_hold_is_told(parts: dict[str, Any]) -> None:
    parts["Recommender"] = type("Recommender", (Recommender,), {"revision": lambda self: {"weights": object()}})
    with pytest.raises(PluginError, match=r"recommender 'r' of some-dist failed in revision\(\): TypeError"):
        assembled()
    parts["Recommender"] = type("Recommender", (Recommender,), {"revision": lambda self: {"prompt": ("a", 1)}})
    assert assembled().fields["recommender.revision.prompt"] == ["a", 1]


def test_a_simulator_must_declare_its_level_and_keep_it(parts: dict[str, Any]) -> None:
    parts["Simulator"] = type("Simulator", (Simulator,), {"knowledge": "everything"})
    with pytest.raises(
        PluginError, match="'s' must declare knowledge as one of label_free, profile, target_aware, not 'everything'"
    ):
        assembled()
    parts["Simulator"] = Simulator
    with pytest.raises(PluginError, match="'s' is announced as label_free but declares profile"):
        assembled("label_free")

    def grow(self: Any, setup: Any) -> None:
        self.knowledge = "target_aware"

    parts["Simulator"] = type("Simulator", (Simulator,), {"prepare": grow})
    with pytest.raises(PluginError, match="knowledge was profile and may not become target_aware"):
        prepare(assembled())


SPLIT = world(2)
BAD_DATA: dict[str, tuple[Any, type[Exception], str]] = {
    "a list": ([], PluginError, r"load\(\) returned list, not a harness.Split"),
    "rows of another type": (msgspec.structs.replace(SPLIT, scenarios=[{}]), PluginError, "a scenario is dict"),
    "no scenarios": (msgspec.structs.replace(SPLIT, scenarios=[]), DataError, r"no scenario to play .*0 rows before"),
    "one id twice": (msgspec.structs.replace(SPLIT, scenarios=[SPLIT.scenarios[0]] * 2), DataError, "'s0' stands twice"),
    "no target": (
        msgspec.structs.replace(SPLIT, scenarios=[Scenario("a", "d", (), Need(()))]), DataError, "'a' has no target",
    ),
    "a target of nowhere": (
        Split("test", [Scenario("a", "d", (), Need(("zz",)))], [], Catalogue([])), DataError, "target 'zz' of scenario 'a'",
    ),
    "rows that break": (msgspec.structs.replace(SPLIT, scenarios=7), PluginError, "of some-dist gave an unusable test split"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_DATA)
def test_unusable_data_is_told(parts: dict[str, Any], what: str) -> None:
    loaded, kind, words = BAD_DATA[what]
    parts["Rows"] = type("Rows", (Rows,), {"load": lambda self, split: loaded})
    with pytest.raises(kind, match=words):
        assembled()


def test_a_loader_that_raises_is_named_and_a_data_error_is_passed_on(parts: dict[str, Any]) -> None:
    parts["Rows"] = type("Rows", (Rows,), {"load": raising(KeyError("messages"))})
    with pytest.raises(PluginError, match="dataset 'd' of some-dist failed to load its test split: KeyError: 'messages'"):
        assembled()
    parts["Rows"] = type("Rows", (Rows,), {"load": raising(DataError("train.jsonl:7: no field 'x'"))})
    with pytest.raises(DataError, match=r"^train\.jsonl:7: no field 'x'$"):
        assembled()


# ---------------------------------------------------------------------------------------------- models of the components


def bringing(spec: Any) -> type:
    return type("Recommender", (Recommender,), {"default_llm": lambda self: spec})


def answers(path: Path, text: str) -> str:
    path.write_text(f'{{"text": "{text}"}}\n', encoding="utf-8")
    return f"scripted:{path}"


def test_a_component_that_brings_a_model_gets_it_unless_the_user_chose_one(parts: dict[str, Any], tmp_path: Path) -> None:
    own, other = answers(tmp_path / "own.toml", "mine"), answers(tmp_path / "other.toml", "yours")
    without = assembled()
    parts["Recommender"] = bringing(own)
    made = assembled()
    prepare(made)
    assert made.instances["recommender"].setups[0].llm.name == own
    assert made.instances["simulator"].setups[0].llm is None
    chosen = assembled(rec_llm=Choice(other))
    assert chosen.models["recommender"].name == other
    assert made.fingerprint == assembled(rec_llm=Choice(own)).fingerprint
    assert len({without.fingerprint, made.fingerprint, chosen.fingerprint}) == 3
    control = assembled(like=made, leak_policy="keep")
    assert control.models["recommender"] is made.models["recommender"]


def test_where_a_brought_model_lies_is_no_part_of_the_fingerprint(parts: dict[str, Any], tmp_path: Path) -> None:
    found = []
    for place, text in (("a", "mine"), ("b", "mine"), ("c", "yours")):
        (tmp_path / place).mkdir()
        parts["Recommender"] = bringing(answers(tmp_path / place / "own.toml", text))
        found.append(assembled())
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
    assert str(tmp_path) not in msgspec.json.encode(found[0].fields).decode()


def test_what_shaped_the_weights_is_what_the_loaded_artefacts_say(parts: dict[str, Any]) -> None:
    def fields(revision: Any) -> dict[str, list[str]]:
        parts["Recommender"] = type("Recommender", (Recommender,), {"revision": lambda self: revision})
        made = assembled()
        return trained(made.recommender, made.fields, "recommender")

    artefact = {"kind": "k", "files": "0", "trained_on": ["redial"], "trained_against": ["rule"]}
    other = {"kind": "k", "files": "1", "trained_on": ["cinema", "redial"], "trained_against": []}
    assert fields(artefact) == {"on": ["redial"], "against": ["rule"]}
    assert fields({"deep": {"rl": artefact}, "retriever": other}) == {"on": ["cinema", "redial"], "against": ["rule"]}
    assert fields({"prompt": "x"}) == {"on": [], "against": []}


def test_further_models_come_by_name_whatever_the_user_chose_and_are_in_the_fingerprint(
    parts: dict[str, Any], tmp_path: Path
) -> None:
    own, seeker, judge = (answers(tmp_path / f"{name}.toml", name) for name in ("own", "seeker", "judge"))

    def naming(**names: str) -> type:
        return type("Recommender", (Recommender,), {"default_llm": lambda self: own, "more_llms": lambda self: names})

    parts["Recommender"] = naming(seeker=seeker, same=own)
    made = assembled()
    prepare(made)
    given = made.instances["recommender"].setups[0]
    assert (given.llm.name, {name: model.name for name, model in given.more_llms.items()}) == (
        own,
        {"seeker": seeker, "same": own},
    )
    assert given.more_llms["same"] is given.llm
    assert made.instances["simulator"].setups[0].more_llms == {}
    chosen = assembled(rec_llm=Choice(judge))
    assert chosen.models["recommender/seeker"].name == seeker
    parts["Recommender"] = naming(seeker=judge, same=own)
    assert len({made.fingerprint, chosen.fingerprint, assembled().fingerprint}) == 3
    parts["Recommender"] = naming(seeker=7)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match=r"failed in more_llms\(\): TypeError: more_llms must give names and models"):
        assembled()


def test_a_brought_model_that_is_none_is_told(parts: dict[str, Any]) -> None:
    for spec, told in ((7, "default_llm must give a text or None, not int"), ("hf:/no/such/folder", "no model at /no/such")):
        parts["Recommender"] = bringing(spec)
        with pytest.raises(HarnessError, match=told):
            assembled()
    parts["Recommender"] = bringing(None)
    assert assembled().models == {}
    parts["Recommender"] = type("Recommender", (Recommender,), {"default_llm": raising(ValueError("no GPU"))})
    with pytest.raises(PluginError, match=r"recommender 'r' of some-dist failed in default_llm\(\): ValueError: no GPU"):
        assembled()
