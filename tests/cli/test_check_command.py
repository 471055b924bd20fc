"""`harness check`, on really installed plugins."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from installing import install

from harness import options
from harness.registry import Kind, Registry
from harness.testing import check_metric, check_recommender, check_simulator

BAZAAR = {
    "bazaar/__init__.py": """
        import scipy  # heavy, and only to be listed
        from harness import Component, hookimpl

        @hookimpl
        def harness_recommenders():
            yield Component("sets", "bazaar.stalls:Sets", summary="goes through a set")
            yield Component("loud", "bazaar.stalls:Loud", summary="prints", options="bazaar.stalls:Options")
            yield Component("demanding", "bazaar.stalls:Loud", summary="greedy", options="bazaar.stalls:Demands")
            yield Component("gone", "bazaar.nowhere:Gone", summary="is not there")

        @hookimpl
        def harness_simulators():
            yield Component("boaster", "bazaar.stalls:Boaster", summary="says less than it is", knowledge="label_free")
            yield Component("loud", "bazaar.stalls:Boaster", summary="as the recommender", knowledge="profile")

        @hookimpl
        def harness_trainers():
            yield Component("coach", "bazaar.coaching:Coach", summary="counts")
    """,
    "bazaar/coaching.py": '''
        from harness.artifactfiles import create, versions
        from harness.artifacts import CARD, Card, Data
        from harness.errors import UsageError

        class Coach:
            """Counts the items."""
            def __init__(self, options): ...
            def plan(self, setup):
                for name in (*setup.options, *filter(None, [setup.stage]), setup.preset):
                    if name not in ("count.start", "tiny"):
                        raise UsageError(f"there is no option {name}")
                return {"count": {"start": setup.options.get("count.start", "0")}}
            def train(self, setup, output_dir):
                if (output_dir / "count" / CARD).exists():
                    return
                card = Card(kind="count", name="count", trained_on=(setup.dataset,), seeds=(setup.seed,),
                            data=Data(name=setup.dataset, hash=setup.dataset_hash), versions=versions())
                with create(output_dir / "count", card) as folder:
                    (folder / "count.txt").write_text(str(len(setup.train.catalogue)))
    ''',
    "bazaar/stalls.py": '''
        import msgspec

        from harness import Feedback, Recommendation

        class Options(msgspec.Struct, frozen=True):
            volume: int = 3
            words: tuple[str, ...] = ("buy", "now")

        class Demands(msgspec.Struct, frozen=True):
            price: float

        class Sets:
            """The order of a set of texts is another one in each process."""
            def __init__(self, options): ...
            def prepare(self, setup):
                self.ids = list(set(setup.catalogue.ids))
            def recommend(self, conversation, k):
                return Recommendation(tuple(i for i in self.ids if i not in conversation.rejected)[:k], "Look!")

        class Loud:
            """Prints, and asks the terminal."""
            def __init__(self, options):
                self.options = options
            def prepare(self, setup):
                self.ids = setup.catalogue.ids
            def recommend(self, conversation, k):
                print("{not json}" * self.options.volume)
                try:
                    input()
                    raise RuntimeError("somebody answered")
                except EOFError:
                    pass
                return Recommendation(tuple(i for i in self.ids if i not in conversation.rejected)[:k], "Look!")

        class Boaster:
            """Knows more than its descriptor says."""
            knowledge = "profile"
            def __init__(self, options): ...
            def prepare(self, setup): ...
            def reply(self, conversation, knowledge):
                return Feedback("Go on.")
    ''',
}


@pytest.fixture(scope="module")
def bazaar_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("bazaar")
    install(site, "bazaar", BAZAAR, {"bazaar": "bazaar"})
    return site


@pytest.fixture
def bazaar(club: None, bazaar_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(bazaar_site))


def findings(text: str) -> dict[str, dict[str, str]]:
    return {finding["clause"]: finding for finding in json.loads(text)["findings"]}


def test_a_first_party_component_passes_and_says_what_was_tried(club: None, harness: Callable) -> None:
    ran = harness("check", "popularity")
    assert ran.code == 0, ran.out
    assert "recommender popularity of crs-harness" in ran.out
    assert "tried on the small world" in ran.out
    assert "same-elsewhere" in ran.out
    assert ran.out.rstrip().endswith("40 passed, 0 warned, 0 failed, 4 not applicable")
    assert "To mend" not in ran.out


def test_metric_with_a_cut_off_and_json(club: None, harness: Callable) -> None:
    ran = harness("check", "ndcg@5", "--json")
    assert ran.code == 0
    report = json.loads(ran.out)
    assert (report["kind"], report["name"], report["ok"], report["failed"]) == ("metric", "ndcg", True, 0)
    assert findings(ran.out)["scores-ranks"]["state"] == "passed"


@pytest.mark.usefixtures("bazaar")
def test_what_differs_between_processes_and_what_listing_imports(harness: Callable) -> None:
    ran = harness("check", "sets")
    assert ran.code == 1
    failed = [line for line in ran.out.splitlines() if line.startswith("FAILED")]
    assert [line.split()[1] for line in failed] == ["light", "same-elsewhere"]
    assert "listing bazaar imports" in failed[0]
    assert "scipy" in failed[0]
    mend = ran.out.partition("To mend:")[2]
    assert "Sort sets" in mend
    assert "Import heavy packages in the component's module" in mend


@pytest.mark.usefixtures("bazaar")
def test_what_a_component_prints_or_asks_does_not_reach_the_report(harness: Callable) -> None:
    ran = harness("check", "loud", "--kind", "recommender", "--opt", "volume=1", "--json")
    found = findings(ran.out)
    assert found["no-exceptions"]["state"] == "passed"
    assert found["options-by-text"]["state"] == "passed"
    assert "{not json}" not in ran.out


@pytest.mark.usefixtures("bazaar")
def test_descriptor_and_options(harness: Callable) -> None:
    assert findings(harness("check", "demanding", "--json").out)["options"]["what"] == "option price has no default"
    gone = harness("check", "gone", "-q")
    assert gone.code == 1
    assert "No module named 'bazaar.nowhere'" in gone.out
    boaster = findings(harness("check", "boaster", "--json").out)
    assert boaster["announced"]["what"] == "the descriptor says label_free, the class 'profile'"


@pytest.mark.usefixtures("bazaar")
def test_a_name_of_two_kinds(harness: Callable) -> None:
    both = json.loads(harness("check", "loud", "--json").out)
    assert [report["kind"] for report in both] == ["recommender", "simulator"]
    ran = harness("check", "loud", "--opt", "volume=2")
    assert ran.code == 2
    assert "--kind" in ran.err


def test_a_data_set_is_loaded_split_by_split(club: None, harness: Callable) -> None:
    ran = harness("check", "club", "--json")
    assert ran.code == 1
    found = findings(ran.out)
    assert found["loads"]["state"] == "warned"
    assert "there is no validation split" in found["loads"]["what"]
    assert found["card"]["state"] == "failed"
    assert "how_to_get is ''" in found["card"]["what"]
    assert found["same-elsewhere"]["state"] == "passed"


def test_another_world(club: None, harness: Callable) -> None:
    ran = harness("check", "copy-history", "--dataset", "club", "--json")
    assert ran.code == 0, ran.out
    assert json.loads(ran.out)["tried_on"] == "club"


def test_with_a_language_model_of_ones_own(club: None, harness: Callable) -> None:
    answer = {"text": "Older, please.", "action": "continue", "accepted": [], "mentioned": []}
    Path("model.jsonl").write_text(json.dumps({"text": json.dumps(answer)}) + "\n", encoding="utf-8")
    ran = harness("check", "profile-llm", "--llm", "scripted:model.jsonl", "--json")
    assert ran.code == 0, ran.out
    assert json.loads(ran.out)["tried_on"] == "the small world, with scripted:model.jsonl"
    assert harness("check", "profile-llm", "--llm", "scripted:nowhere.jsonl").code == 2


def test_files_of_ones_own(club: None, harness: Callable) -> None:
    lines = [
        {"format": "crs-harness", "version": 1, "name": "two-books", "licence": "CC0-1.0", "title": "Two books"},
        {"type": "item", "id": "b1", "title": "The Salt Road"},
        {"type": "item", "id": "b2", "title": "Nine Lanterns"},
        *(
            {
                "type": "dialogue",
                "id": split,
                "split": split,
                "messages": [{"role": "recommender", "text": "This?", "items": ["b2"], "recommended": True}],
            }
            for split in ("train", "validation", "test")
        ),
    ]
    Path("books.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    ran = harness("check", "jsonl", "--opt", "path=books.jsonl", "--json")
    assert ran.code == 0, ran.out
    assert findings(ran.out)["same-elsewhere"]["state"] == "passed"
    assert harness("check", "jsonl").code == 1, "without files there is nothing to say that it keeps the protocol"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsuch",), "unknown component 'nonsuch'"),
        (("popularty",), "did you mean popularity"),
        (("popularity", "--kind", "metric"), "there is a recommender of that name"),
        (("bm25", "--opt", "k9=1"), "has no option 'k9'"),
        (("bm25", "--opt", "k1=high"), "option k1=high"),
        (("ndcg@ten",), "write NAME or NAME@K"),
        (("ndcg@5", "--opt", "k=7"), "contradict each other"),
        (("bm25", "--dataset-opt", "a=1"), "without --dataset"),
        (("bm25", "--dataset", "nowhere"), "unknown dataset 'nowhere'"),
        (("bm25", "--llm-opt", "a=1"), "without --llm"),
        (("club", "--dataset", "club"), "its own files"),
    ],
)
def test_wrong_requests_end_with_2_and_say_what_to_write(
    club: None, harness: Callable, arguments: tuple[str, ...], message: str
) -> None:
    ran = harness("check", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.usefixtures("bazaar")
def test_a_trainer_trains_here_and_in_another_process(harness: Callable) -> None:
    ran = harness("check", "coach", "--opt", "count.start=2", "--json")
    states = {name: finding["state"] for name, finding in findings(ran.out).items()}
    assert [name for name, state in states.items() if state in ("failed", "warned")] == ["light"]
    assert states["same-elsewhere"] == states["goes-on"] == "passed"
    wrong = findings(harness("check", "coach", "--opt", "count.stop=2", "--json").out)
    assert "no option count.stop" in wrong["plans"]["what"]
    assert wrong["trains"]["state"] == "skipped"


def test_every_first_party_metric_passes(club: None) -> None:
    registry = Registry()
    for entry in registry.entries("metric"):
        if entry.distribution == "crs-harness":
            make = functools.partial(registry.load(entry), options.build(registry, entry, {}))
            check_metric(make, name=entry.name).raise_if_failed()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, entry.name)
        for kind in ("recommender", "simulator")
        for entry in Registry().entries(kind)
        if entry.distribution == "crs-harness" and entry.name not in ("human", "llm-embed")  # a person, a download
    ],
)
def test_every_first_party_recommender_and_simulator_passes(club: None, kind: Kind, name: str) -> None:
    registry = Registry()
    entry = registry.find(kind, f"crs-harness:{name}")
    cls = registry.load(entry)
    if hasattr(cls, "default_llm"):
        pytest.skip("its own weights answer in a form that a stub doesn't know")
    check = check_recommender if kind == "recommender" else check_simulator
    report = check(functools.partial(cls, options.build(registry, entry, {})), name=name)
    if "UsageError" in report["made"].what:
        pytest.skip("it can't do without an option: an address, say")
    report.raise_if_failed()
