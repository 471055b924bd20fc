"""A run's configuration, its fingerprint, the data hash, seeds, variants and presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import catalogue, scenarios, world

from harness.api import Catalogue, Item, Message, Need, Scenario
from harness.config import Choice, RunConfig, Transport, difference, fingerprint, fingerprint_fields, read_toml
from harness.errors import UsageError
from harness.isolation.settings import Isolation
from harness.models import gathering
from harness.presets import cutoffs, find_preset, presets
from harness.runner import rules_of
from harness.scenarios import cut_knowledge, data_hash, derive_seed, novel, other_scenario

BASE = RunConfig(recommender=Choice("r"), simulator=Choice("s"), dataset=Choice("d"))
REVISIONS: dict[str, Any] = {
    "recommender": {"name": "r", "distribution": "x", "version": "1", "options": {"k1": 1.2, "fields": ("a", "b")}},
    "simulator": {"name": "s", "distribution": "x", "version": "1", "options": {}, "revision": {"prompt": "abc"}},
}


def mark(config: RunConfig = BASE, revisions: dict[str, Any] = REVISIONS, data: str = "h") -> str:
    return fingerprint(fingerprint_fields(config, revisions, data))


# ------------------------------------------------------------------------------------------------------------ fingerprint


OTHER = {
    "split": "validation", "variant": "all", "preset": "static", "turns": 7, "k": 20, "success_k": 5, "stop_on_success": True,
    "final_reply": True, "read_at": "success", "headline": "micro", "leak_policy": "keep", "simulator_retries": 0,
    "max_text": 100, "seed": 1, "trials": 2, "limit": 3,
}  # fmt: skip


def test_every_field_that_can_change_a_number_changes_the_fingerprint() -> None:
    fields = {name for name in RunConfig.__struct_fields__ if not name.endswith("_llm")}  # revisions speak for components
    covered = fields - {"recommender", "simulator", "dataset", "transport", "asking", "isolation"}
    assert covered <= set(OTHER), f"say here what another value of {covered - set(OTHER)} is"
    marks = {mark(msgspec.structs.replace(BASE, **{name: OTHER[name]})) for name in covered}
    assert len(marks | {mark()}) == len(covered) + 1


def test_components_data_and_prompts_change_the_fingerprint() -> None:
    changed = [mark(data="h2")]
    for role, key, value in (
        ("recommender", "options", {"k1": 1.3, "fields": ("a", "b")}),
        ("recommender", "version", "2"),
        ("recommender", "distribution", "y"),
        ("simulator", "name", "t"),
        ("simulator", "revision", {"prompt": "abd"}),
    ):
        changed.append(mark(revisions={**REVISIONS, role: {**REVISIONS[role], key: value}}))
    assert len({mark(), *changed}) == 7


def test_transport_leaves_the_fingerprint_alone() -> None:
    transport = Transport(concurrency=64, timeout=1, transport_retries=0, backoff=9, max_backoff=9)
    assert mark(msgspec.structs.replace(BASE, transport=transport)) == mark()
    assert mark(msgspec.structs.replace(BASE, isolation=Isolation(memory=1 << 30))) == mark()
    assert len(mark()) == 64


def test_fields_survive_the_manifest_unchanged() -> None:
    fields = fingerprint_fields(BASE, REVISIONS, "h")
    assert msgspec.json.decode(msgspec.json.encode(fields)) == fields
    assert difference(msgspec.json.decode(msgspec.json.encode(fields)), fields) == []


def test_the_difference_tells_field_old_and_new() -> None:
    old = fingerprint_fields(BASE, REVISIONS, "h")
    other = {**REVISIONS, "recommender": {**REVISIONS["recommender"], "options": {"k1": 2.0, "long": "x" * 200}}}
    new = fingerprint_fields(msgspec.structs.replace(BASE, seed=7, limit=5), other, "h")
    lines = difference(old, new)
    assert "seed: 0 -> 7" in lines
    assert "limit: null -> 5" in lines
    assert "recommender.options.k1: 1.2 -> 2.0" in lines
    assert 'recommender.options.fields: ["a","b"] -> (absent)' in lines
    assert max(len(line) for line in lines) < 200


@pytest.mark.parametrize("name", ["turns", "k", "success_k", "trials", "max_text", "limit"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name.replace('_', '-')} must be at least 1, not 0"):
        msgspec.structs.replace(BASE, **{name: 0})


@pytest.mark.parametrize(
    ("field", "value"),
    [("concurrency", 0), ("timeout", 0.0), ("timeout", float("nan")), ("timeout", float("inf")), ("transport_retries", -1)],
)
def test_impossible_transports_are_refused(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=field.replace("_", "-")):
        msgspec.structs.replace(BASE, transport=Transport(**{field: value}))


def test_toml_errors_name_the_file(tmp_path: Path) -> None:
    good = tmp_path / "run.toml"
    good.write_text('seed = 3\n[recommender]\nname = "bm25"\n')
    assert read_toml(good) == {"seed": 3, "recommender": {"name": "bm25"}}
    bad = tmp_path / "bad.toml"
    bad.write_text("seed = \n")
    with pytest.raises(UsageError, match=r"bad\.toml: .*line 1"):
        read_toml(bad)
    bad.write_bytes(b"\xff\xfe")
    for path in (bad, tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            read_toml(path)


# -------------------------------------------------------------------------------------------------------------- data hash


def test_the_data_hash_sees_everything_that_is_played_or_learned_from() -> None:
    split = world(4)
    base = data_hash(split, split.scenarios)
    replace = msgspec.structs.replace
    first, *rest = split.scenarios
    changed = [
        data_hash(split, split.scenarios[:-1]),
        data_hash(split, [*split.scenarios[1:], first]),
        data_hash(split, [replace(first, need=Need(("m5",))), *rest]),
        data_hash(split, [replace(first, context=(Message("seeker", "hello 1!"),)), *rest]),
        data_hash(split, [replace(first, source="elsewhere"), *rest]),
        data_hash(replace(split, training=[]), split.scenarios),
        data_hash(replace(split, training=[replace(split.training[0], liked=("m1",))]), split.scenarios),
        data_hash(replace(split, catalogue=Catalogue(list(split.catalogue)[::-1])), split.scenarios),
        data_hash(
            replace(split, catalogue=Catalogue([replace(split.catalogue[0], text="x"), *split.catalogue[1:]])), split.scenarios
        ),
    ]
    assert len({base, *changed}) == len(changed) + 1
    assert data_hash(world(4), scenarios(4)) == base


def test_the_data_hash_ignores_the_order_of_attributes() -> None:
    one = Item("a", "A", attributes={"genre": ("x",), "star": ("y",)})
    two = Item("a", "A", attributes={"star": ("y",), "genre": ("x",)})
    split = world(1)
    assert len({data_hash(msgspec.structs.replace(split, catalogue=Catalogue([i])), []) for i in (one, two)}) == 1


# --------------------------------------------------------------------------------------------------- variants and seeds


def scenario(targets: tuple[str, ...], *messages: Message) -> Scenario:
    return Scenario("s", "d", messages, Need(targets, liked_items=targets))


def test_novel_removes_what_the_context_mentions_or_showed() -> None:
    mentions = Message("seeker", "I saw m1", items=("m1",))
    showed = Message("recommender", "try", ranked=("m2",))
    kept = novel([scenario(("m1", "m3"), mentions), scenario(("m1", "m2"), mentions, showed), scenario(("m4",), mentions)])
    assert [s.need.targets for s in kept] == [("m3",), ("m4",)]
    assert kept[0].need.liked_items == ("m1", "m3")


ids = st.lists(st.sampled_from("abcdef"), max_size=5).map(tuple)


@given(st.lists(st.tuples(ids.filter(bool), ids), max_size=8))
def test_novel_leaves_no_mentioned_target_and_no_empty_scenario(rows: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    kept = novel([scenario(targets, Message("seeker", "", items=mentioned)) for targets, mentioned in rows])
    assert all(s.need.targets and not set(s.need.targets) & set(s.context[0].items) for s in kept)
    assert len(kept) == sum(bool(set(targets) - set(mentioned)) for targets, mentioned in rows)


def test_seeds_differ_by_run_scenario_trial_role_and_attempt_and_stay_what_they_are() -> None:
    variants = [(0, "s", 0, "simulator", 0), (1, "s", 0, "simulator", 0), (0, "t", 0, "simulator", 0),
                (0, "s", 1, "simulator", 0), (0, "s", 0, "recommender", 0), (0, "s", 0, "simulator", 1)]  # fmt: skip
    seeds = [derive_seed(*variant) for variant in variants]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # Frozen, for another value would change every published record:
    # printf '0\037s1\0370\037recommender\0370' | b2sum -l 64, halved
    assert derive_seed(0, "s1", 0, "recommender") == 2587875697290639164


def test_ids_cannot_be_glued_into_one_anothers_seed() -> None:
    assert derive_seed(1, "2", 3, "r") != derive_seed(12, "", 3, "r")
    assert derive_seed(1, "a", 11, "r") != derive_seed(1, "a1", 1, "r")


def test_the_other_scenario_comes_from_another_dialogue() -> None:
    rows = scenarios(9)
    for position in range(9):
        other = other_scenario(rows, position, 0)
        assert other.source != rows[position].source
        assert other is other_scenario(rows, position, 0)
    chosen = {other_scenario(rows, 0, seed).id for seed in range(40)}
    assert len(chosen) > 2
    one_source = [msgspec.structs.replace(s, source="d") for s in rows]
    assert other_scenario(one_source, 2, 0).id != "s2"


# -------------------------------------------------------------------------------------------------------------- knowledge


def test_knowledge_is_cut_to_its_level() -> None:
    need = Need(("t1", "t2"), ("a", "t1"), ("t2", "b"), ("t1", "c"), {"genre": ("drama",)}, {"star": ("x",)})
    free, profile, aware = (cut_knowledge(need, level) for level in ("label_free", "profile", "target_aware"))
    assert free == type(free)()
    assert (profile.liked_items, profile.disliked_items, profile.seen_items) == (("a",), ("b",), ("c",))
    assert (profile.liked_attributes, profile.disliked_attributes) == ({"genre": ("drama",)}, {"star": ("x",)})
    assert profile.targets == ()
    assert aware.targets == ("t1", "t2")
    assert (aware.liked_items, aware.disliked_items, aware.seen_items) == (("a", "t1"), ("t2", "b"), ("t1", "c"))


def test_what_a_simulator_does_to_its_knowledge_leaves_the_scenario_alone() -> None:
    need = Need(("t",), liked_attributes={"genre": ("drama",)})
    cut_knowledge(need, "profile").liked_attributes.clear()
    assert need.liked_attributes == {"genre": ("drama",)}


# ---------------------------------------------------------------------------------------------------------------- presets


def test_presets_are_the_protocols() -> None:
    smtpo, static = find_preset("smtpo"), find_preset("static")
    assert (smtpo.turns, smtpo.k, smtpo.variant, smtpo.success_k, smtpo.headline) == (5, 10, "novel", 10, "macro")
    assert (smtpo.stop_on_success, smtpo.final_reply) == (False, False)
    assert (static.turns, static.simulator, static.k, static.variant) == (1, None, 10, "novel")
    for name in ("ievalm-free", "ievalm-attr"):
        published = find_preset(name)
        assert (published.turns, published.k, published.success_k, published.variant) == (5, 50, 50, "all")
        assert (published.stop_on_success, published.final_reply) == (True, True)
        assert (published.read_at, published.headline) == ("success", "micro")
        assert "faults included" in published.summary
        assert published.simulator_options == {"style": "published"}
    clean = find_preset("ievalm-free-clean")
    assert (clean.k, clean.variant, clean.headline, clean.read_at) == (10, "novel", "macro", "last")
    assert (clean.success_k, clean.stop_on_success, clean.final_reply) == (10, True, True)
    assert set(presets()) == {"smtpo", "static", "ievalm-free", "ievalm-attr", "ievalm-free-clean"}
    with pytest.raises(UsageError, match="unknown preset 'smpto'; there are smtpo, static"):
        find_preset("smpto")


def test_cutoffs_end_at_the_length_of_the_list() -> None:
    assert cutoffs(10) == [1, 5, 10]
    assert cutoffs(50) == [1, 5, 10, 20, 50]
    assert cutoffs(7) == [1, 5, 7]
    assert cutoffs(1) == [1]
    assert cutoffs(100) == [1, 5, 10, 20, 50, 100]


def test_a_dialogue_obeys_its_configuration() -> None:
    rules = rules_of(msgspec.structs.replace(BASE, turns=7, k=3, leak_policy="stop", stop_on_success=True, simulator_retries=1))
    assert (rules.max_turns, rules.k, rules.leak_policy, rules.stop_on_success, rules.simulator_retries) == (
        7,
        3,
        "stop",
        True,
        1,
    )


def test_a_catalogue_refuses_an_id_that_stands_twice() -> None:
    with pytest.raises(ValueError, match="'m1' stands twice"):
        Catalogue([*catalogue(3), Item("m1", "again")])


@pytest.mark.parametrize(
    ("said", "own", "expected"),
    [
        ({}, {"recommender": "hf:model"}, 64),
        ({"rec_llm": Choice("hf:model")}, {}, 64),
        ({}, {"recommender": "hf:model", "simulator": "hf:model"}, 64),
        ({}, {"recommender": "hf:model", "simulator": "hf:other"}, 128),
        ({"rec_llm": Choice("openai:model")}, {"recommender": "hf:model", "simulator": "hf:other"}, 64),
        ({"rec_llm": Choice("openai:model")}, {"simulator": "openai:other"}, 8),
        ({"sim_llm": Choice("hf:model"), "transport": Transport(concurrency=3)}, {}, 3),
    ],
)
def test_many_dialogues_wait_for_a_local_model_unless_said_otherwise(
    said: dict[str, Any], own: dict[str, str], expected: int
) -> None:
    assert gathering(msgspec.structs.replace(BASE, **said), own).transport.at_once == expected
