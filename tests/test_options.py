"""Option texts become typed values; errors name the field, the value and what it takes."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Annotated, Any, Literal

import msgspec
import pytest

from harness import options
from harness.api import Component
from harness.errors import PluginError, UsageError
from harness.registry import Entry, Registry


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    depth: Annotated[int, msgspec.Meta(ge=1, description="how deep")] = 3
    limit: Annotated[int, msgspec.Meta(ge=1, description="at most")] | None = 5
    ratio: float = 0.5
    mode: Literal["fast", "slow"] = "fast"
    fields: tuple[str, ...] = ("title",)
    weights: dict[str, float] = {}
    strict: bool = False
    note: str | None = None


class Impossible(msgspec.Struct):
    depth: Annotated[int | None, msgspec.Meta(ge=1)] = 3  # msgspec wants the range inside of the alternative


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    module = ModuleType("options_of_a_test")
    module.Options = Options
    module.NotAStruct = dict
    module.Impossible = Impossible
    monkeypatch.setitem(sys.modules, module.__name__, module)
    component = Component("bm", "options_of_a_test:Any", options="options_of_a_test:Options")
    return Entry("recommender", component, "some-dist", "1")


def build(entry: Entry, **raw: Any) -> Any:
    return options.build(Registry(discover=False), entry, raw)


@pytest.mark.parametrize(
    ("raw", "field", "value"),
    [
        ({"depth": "7"}, "depth", 7),
        ({"depth": 7}, "depth", 7),
        ({"limit": "none"}, "limit", None),
        ({"limit": "NULL"}, "limit", None),
        ({"ratio": "2"}, "ratio", 2.0),
        ({"ratio": "1e-3"}, "ratio", 0.001),
        ({"mode": "slow"}, "mode", "slow"),
        ({"fields": "title, plot"}, "fields", ("title", "plot")),
        ({"fields": '["a,b", "c"]'}, "fields", ("a,b", "c")),
        ({"fields": ""}, "fields", ()),
        ({"fields": ["a"]}, "fields", ("a",)),
        ({"weights": '{"plot": 2}'}, "weights", {"plot": 2.0}),
        ({"strict": "true"}, "strict", True),
        ({"note": "a=b"}, "note", "a=b"),
        ({"note": "none"}, "note", None),
    ],
)
def test_values_are_read_as_their_field_says(entry: Entry, raw: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(build(entry, **raw), field) == value


def test_what_is_not_said_has_its_default(entry: Entry) -> None:
    assert build(entry) == Options()
    assert options.as_dict(build(entry, depth="4"))["depth"] == 4


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"depth": "deep"}, ["recommender bm", "depth=deep", "int"]),
        ({"depth": "0"}, ["depth=0", ">= 1"]),
        ({"mode": "quick"}, ["mode=quick", "one of fast, slow"]),
        ({"weights": "plot"}, ["weights=plot", "dict"]),
        ({"strict": "perhaps"}, ["strict=perhaps", "bool"]),
        ({"ratio": "nan"}, ["ratio=nan", "finite"]),
        ({"ratio": "inf"}, ["ratio=inf", "finite"]),
    ],
)
def test_a_wrong_value_names_field_value_and_what_fits(entry: Entry, raw: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        build(entry, **raw)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_unknown_option_names_the_nearest(entry: Entry) -> None:
    with pytest.raises(UsageError, match=r"no option 'dept'; did you mean depth"):
        build(entry, dept="1")
    with pytest.raises(UsageError, match=r"it has: depth, limit, ratio"):
        build(entry, zzz="1")


def test_a_component_without_options_takes_none(entry: Entry) -> None:
    bare = Entry("simulator", Component("mute", "x:Y"), "d", "1")
    assert build(bare) is None
    with pytest.raises(UsageError, match="simulator mute has no options, but a, b was given"):
        build(bare, b=1, a=1)
    assert options.as_dict(None) == {}


@pytest.mark.parametrize(
    ("name", "words"), [("NotAStruct", r"is no msgspec\.Struct"), ("Impossible", "class Impossible can't be used: Can only")]
)
def test_options_that_no_value_could_fit_are_the_plugins_fault(entry: Entry, name: str, words: str) -> None:
    component = msgspec.structs.replace(entry.component, options=f"options_of_a_test:{name}")
    with pytest.raises(PluginError, match=words):
        build(msgspec.structs.replace(entry, component=component))


def test_pairs() -> None:
    assert options.parse_pairs(["a=1", "b-c=x=y", "d="], "--rec-opt") == {"a": "1", "b_c": "x=y", "d": ""}
    for wrong in (["a"], ["=1"], [""], ["a=1", "a=2"], ["a-b=1", "a_b=1"]):
        with pytest.raises(UsageError, match="--rec-opt"):
            options.parse_pairs(wrong, "--rec-opt")


def test_descriptions_tell_name_type_default_and_meaning() -> None:
    rows = {row[0]: row[1:] for row in options.describe(Options)}
    assert rows["depth"] == ("int", "3", "how deep")
    assert rows["limit"] == ("int | none", "5", "at most")
    assert rows["mode"] == ("one of fast, slow", '"fast"', "")
    assert rows["fields"] == ("list of str", '["title"]', "")
    assert rows["note"] == ("str | none", "null", "")


def test_a_required_option_says_so() -> None:
    class Needy(msgspec.Struct):
        path: str

    assert options.describe(Needy) == [("path", "str", "required", "")]
