"""An honest recommender plays the same dialogues in a process of its own, to the last byte, whatever form it is written in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hostile import module
from support import Seeker, assembly, play, without_seconds

from harness.assembly import assemble, prepare
from harness.config import Choice, RunConfig, Transport
from harness.errors import ConfigMismatch, PluginError, UsageError
from harness.experiment import control, execute
from harness.isolation.opening import keep_out, open_isolated
from harness.isolation.settings import Isolation, size
from harness.llm.api import Completion
from harness.registry import Registry
from harness.store import read_manifest, read_records

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
honest = module("honest")


@pytest.mark.parametrize(
    ("name", "twin"),
    [("plain", honest.Plain), ("batched", honest.Batched), ("asynchronous", honest.Asynchronous)],
)
def test_the_records_are_the_same(opened: Any, tmp_path: Path, name: str, twin: type) -> None:
    _, recommender = opened(f"hostile-crs:{name}")
    away, here = (assembly(each, Seeker(), count=8) for each in (recommender, twin()))
    prepare(away)
    for number in range(2):  # the same process plays again
        _, records = play(tmp_path / f"away{number}", away)
        _, expected = play(tmp_path / f"here{number}", here)
        assert without_seconds(records.values()) == without_seconds(expected.values())
        if name != "plain":
            assert [record.stop for record in records.values()].count("recommender_fault") == 1


def run(folder: Path, name: str, isolation: Isolation | None, **options: Any) -> tuple[list[bytes], Any]:
    config = RunConfig(
        recommender=Choice(name, options),
        simulator=Choice("rule"),
        dataset=Choice("cinema"),
        limit=6,
        rec_llm=options.pop("llm", None),
        isolation=isolation,
        transport=Transport(concurrency=3),
    )
    result = execute(Registry(), config, folder)
    return without_seconds(read_records(folder)), result


@pytest.mark.parametrize("name", ["popularity", "llm-rerank"])
def test_first_party_recommenders_score_the_same(site: Path, tmp_path: Path, name: str) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"text": '{"reasoning": "r", "ranking": ["3", "1"], "text": "Try these."}'}))
    options = {"llm": Choice(f"scripted:{script}"), "retriever": "popularity"} if name == "llm-rerank" else {}
    records, result = run(tmp_path / "away", name, Isolation(), **options)
    expected, other = run(tmp_path / "here", name, None, **options)
    assert records == expected
    assert result.assembly.fingerprint == other.assembly.fingerprint
    assert result.summary["metrics"]["ndcg@10"] == other.summary["metrics"]["ndcg@10"]
    manifest = read_manifest(tmp_path / "away")
    assert set(manifest["isolation"]["walls"]) == {"files", "calls", "memory", "rights", "end"}
    assert manifest["isolation"]["missing"] == {}
    assert read_manifest(tmp_path / "here")["isolation"] is None
    if name == "llm-rerank":
        return
    second = control(Registry(), result, "no-feedback")
    assert second.summary is not None
    assert second.assembly.instances["recommender"] is result.assembly.instances["recommender"], "its process plays on"
    assert read_manifest(second.folder)["isolation"] == manifest["isolation"]
    with pytest.raises(ConfigMismatch, match="go on with --isolate"):
        execute(
            Registry(),
            msgspec.structs.replace(result.assembly.config, isolation=None),
            tmp_path / "away",
            assembly=other.assembly,
        )


class Model:
    """A language model that costs something."""

    name = "scripted:x"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def chat(self, request: Any) -> Completion:
        from harness.api import Usage
        from harness.llm.metering import add

        self.asked.append(request)
        if len(self.asked) > 20:
            from harness.errors import BudgetExceeded

            raise BudgetExceeded("20 questions are enough")
        add(Usage(1, 10, 2))
        return Completion(f"You said: {request.messages[0].content}", usage=Usage(1, 10, 2))

    def revision(self) -> dict[str, str]:
        return {"model": "x"}

    async def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("name", ["Chatty", "Spender"])
def test_the_language_model_is_asked_by_the_harness(opened: Any, tmp_path: Path, name: str) -> None:
    """Its answers, its costs, and its purse: a recommender that swallows the end of the money doesn't get more."""
    models = Model(), Model()
    _, recommender = opened(f"hostile-crs:{name.lower()}")
    outcomes: list[Any] = []
    played_away: Any = None
    for number, (each, model) in enumerate(zip((recommender, getattr(honest, name)()), models, strict=True)):
        played = assembly(each, Seeker(), count=4, concurrency=1)
        played = msgspec.structs.replace(played, models={"recommender": model})
        prepare(played)
        outcomes.append(play(tmp_path / f"{number}", played))
        played_away = played if number == 0 else played_away
    (ended, records), (_, expected) = outcomes
    if name == "Spender":
        assert ended.stopped == "20 questions are enough"
        assert len(models[0].asked) == 21
        again, _ = play(tmp_path / "again", played_away)
        assert again.stopped == "20 questions are enough"
    else:
        assert without_seconds(records.values()) == without_seconds(expected.values())
        assert models[0].asked == models[1].asked
        assert records["s0"].turns[0].recommender_usage.prompt_tokens == 10
        assert records["s0"].turns[0].text == "You said: hello 0"


# ------------------------------------------------------------------------------------------------- names, trust, settings


def test_short_names_find_the_package_and_unknown_ones_say_what_is_near(opened: Any) -> None:
    part, recommender = opened("batched")
    assert (part.entry.full_name, recommender.batched, recommender.max_batch) == ("hostile-crs:batched", True, 3)
    assert part.revision(recommender)["revision"] == {"weights": "abc"}
    with pytest.raises(PluginError, match="did you mean popularity"):
        opened("popularitty")
    with pytest.raises(PluginError, match="nonesuch"):
        opened("hostile-crs:nonesuch")
    with pytest.raises(UsageError, match="has no option 'placs'; did you mean places"):
        opened("hostile-crs:prober", placs="x")


def test_a_package_is_not_both_isolated_and_loaded(site: Path) -> None:
    config = RunConfig(
        recommender=Choice("hostile-crs:plain"),
        simulator=Choice("Hostile_CRS:x"),
        dataset=Choice("cinema"),
        isolation=Isolation(),
    )
    with pytest.raises(UsageError, match="offers the recommender that is to be isolated and another"):
        keep_out([config])
    registry = Registry()
    registry.register("loaded", lambda: None, "hostile-crs")
    with pytest.raises(PluginError, match="is loaded in this process already"):
        open_isolated(registry, config)


def test_a_disabled_package_may_be_isolated_by_its_full_name(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DISABLE_PLUGINS", "hostile-crs")
    assert opened("hostile-crs:plain")[0].entry.name == "plain"
    with pytest.raises(PluginError, match="unknown recommender 'plain'"):
        opened("plain")


def test_strictness_refuses_what_it_can_not_promise(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.isolation.opening.reach", _beside)
    config = RunConfig(
        recommender=Choice("popularity"), simulator=None, turns=1, dataset=Choice("cinema"), isolation=Isolation(strict=True)
    )
    with pytest.raises(UsageError, match=r"--isolate-strict: not everything can be kept .* lies beside the recommender"):
        assemble(Registry(), config)


def _beside(*arguments: Any) -> Any:
    from harness.isolation.reach import reach

    return msgspec.structs.replace(reach(*arguments), uncovered=("/some/data",))


@pytest.mark.parametrize(("text", "expected"), [("4G", 4 << 30), ("512M", 512 << 20), ("1.5g", 3 << 29), ("100000000", 10**8)])
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected
    with pytest.raises(UsageError, match="write a size as 512M or 4G"):
        size(f"{text}x")
