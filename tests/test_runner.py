"""Many dialogues: every fault gets its stop reason and harms no other, equal runs give equal records, nothing waits in vain."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import (
    Async,
    AsyncSeeker,
    Batched,
    BatchedSeeker,
    Plain,
    Seeker,
    answer,
    assembly,
    by_scenario,
    number_of,
    play,
    reaction,
    spin,
    without_seconds,
    world,
)

from harness import runner
from harness.api import Conversation, Feedback, Item, Need, Recommendation, Scenario, Split
from harness.errors import BudgetExceeded, StoreError, TransportError
from harness.leakgate import LeakGate
from harness.store import DIALOGUES, Store, finished, read_records

# ------------------------------------------------------------------------------------------------ faults, point by point


async def never() -> Any:
    await asyncio.Event().wait()


def raises(error: BaseException) -> Callable[..., Any]:
    def function(*arguments: Any) -> Any:
        raise error

    return function


BAD_RECOMMENDERS: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (raises(ValueError("no")), "exception"),
    "exits": (raises(SystemExit(1)), "exception"),
    "hangs in a loop": (lambda c, k: spin(20), "timeout"),
    "hangs in a sleep": (lambda c, k: time.sleep(1), "timeout"),
    "None": (lambda c, k: None, "malformed"),
    "a dict": (lambda c, k: {"items": ["m1"]}, "malformed"),
    "a text": (lambda c, k: "m1", "malformed"),
    "numbers for ids": (lambda c, k: Recommendation((1, 2), "hi"), "malformed"),
    "nothing": (lambda c, k: Recommendation(), "empty"),
    "unknown ids": (lambda c, k: Recommendation(("zz", "yy"), "hi"), "out_of_catalogue"),
    "NaN scores": (lambda c, k: Recommendation(("m1",), "hi", scores=(float("nan"),)), "malformed"),
    "megabytes": (lambda c, k: Recommendation(("m1",), "x" * 3_000_000), "malformed"),
    "a lone surrogate": (lambda c, k: Recommendation(("m1",), "\ud800"), "malformed"),
    "an error with a lone surrogate": (raises(ValueError("\ud800")), "exception"),
}

BAD_SIMULATORS: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (raises(ValueError("no")), "exception"),
    "exits": (raises(SystemExit(1)), "exception"),
    "hangs in a loop": (lambda c, n: spin(20), "timeout"),
    "hangs in a sleep": (lambda c, n: time.sleep(1), "timeout"),
    "None": (lambda c, n: None, "malformed"),
    "a dict": (lambda c, n: {"text": "hi"}, "malformed"),
    "nothing": (lambda c, n: Feedback(""), "empty"),
    "an unknown action": (lambda c, n: Feedback("hi", "stop"), "malformed"),
    "accepting what was not shown": (lambda c, n: Feedback("hi", "accept", accepted=("m59",)), "malformed"),
    "megabytes": (lambda c, n: Feedback("x" * 3_000_000), "malformed"),
}

FORMS = {"plain": (Plain, Seeker), "async": (Async, AsyncSeeker), "batched": (Batched, BatchedSeeker)}


def only(numbers: set[int], bad: Callable[..., Any], good: Callable[..., Any]) -> Callable[..., Any]:
    return lambda conversation, other: (bad if number_of(conversation) in numbers else good)(conversation, other)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The six dialogues without any fault; they are the same in every form."""
    _, records = play(tmp_path_factory.mktemp("sound"), assembly(Plain(), Seeker()))
    return {name: without_seconds([record])[0] for name, record in records.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", BAD_RECOMMENDERS)
def test_a_bad_recommender_is_blamed_and_the_rest_is_unharmed(
    tmp_path: Path, sound: dict[str, bytes], form: str, what: str
) -> None:
    bad, kind = BAD_RECOMMENDERS[what]
    recommender, simulator = FORMS[form]
    outcome, records = play(tmp_path, assembly(recommender(only({2}, bad, answer)), simulator(), timeout=0.3))
    broken = records.pop("s2")
    assert (broken.stop, [f.kind for f in broken.faults], broken.faults[0].blame) == (
        "recommender_fault",
        [kind],
        "recommender",
    )
    assert outcome.played == 6
    assert without_seconds(records.values()) == sorted(record for name, record in sound.items() if name != "s2")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", BAD_SIMULATORS)
def test_a_bad_simulator_is_asked_three_times_and_blamed(tmp_path: Path, sound: dict[str, bytes], form: str, what: str) -> None:
    bad, kind = BAD_SIMULATORS[what]
    recommender, simulator = FORMS[form]
    outcome, records = play(tmp_path, assembly(recommender(), simulator(only({2}, bad, reaction)), timeout=0.3))
    broken = records.pop("s2")
    assert broken.stop == "simulator_fault"
    assert [(f.blame, f.kind, f.attempt) for f in broken.faults] == [("simulator", kind, attempt) for attempt in range(3)]
    assert len(broken.turns) == 1
    assert outcome.played == 6
    assert without_seconds(records.values()) == sorted(record for name, record in sound.items() if name != "s2")


@pytest.mark.parametrize("form", ["async"])
def test_an_async_recommender_that_never_ends_is_blamed(tmp_path: Path, form: str) -> None:
    bad = Async(only({1, 4}, lambda c, k: never(), answer))
    _, records = play(tmp_path, assembly(bad, AsyncSeeker(), timeout=0.3))
    assert {name for name, r in records.items() if r.stop == "recommender_fault"} == {"s1", "s4"}
    assert len(records) == 6


def test_ten_thousand_items_are_cut_not_punished(tmp_path: Path) -> None:
    many = Plain(lambda c, k: Recommendation(tuple(f"m{i % 60}" for i in range(10_000)), "All."))
    _, records = play(tmp_path, assembly(many))
    assert {(r.stop, len(r.turns[0].items), r.turns[0].dropped) for r in records.values()} == {("max_turns", 10, 9_990)}


def test_a_simulator_may_fail_twice_and_then_answer(tmp_path: Path) -> None:
    tries: dict[int, int] = {}

    def third_time(conversation: Conversation, knowledge: Any) -> Any:
        number = number_of(conversation)
        tries[number] = tries.get(number, 0) + 1
        return None if tries[number] <= 2 else Feedback("well")

    _, records = play(tmp_path, assembly(Plain(), Seeker(third_time), turns=2))
    assert {(r.stop, len(r.faults), r.turns[0].user_text) for r in records.values()} == {("max_turns", 2, "well")}


def test_everything_bad_at_once(tmp_path: Path) -> None:
    """One run in which most dialogues meet another fault: every scenario has exactly one record with the right stop."""
    recommenders = [bad for bad, _ in BAD_RECOMMENDERS.values()]
    simulators = [bad for bad, _ in BAD_SIMULATORS.values()]
    offset = len(recommenders)

    def recommend(conversation: Conversation, k: int) -> Any:
        number = number_of(conversation)
        return (recommenders[number] if number < offset else answer)(conversation, k)

    def reply(conversation: Conversation, knowledge: Any) -> Any:
        number = number_of(conversation) - offset
        return (simulators[number] if 0 <= number < len(simulators) else reaction)(conversation, knowledge)

    count = offset + len(simulators) + 10
    _, records = play(tmp_path, assembly(Plain(recommend), Seeker(reply), count=count, concurrency=8, timeout=0.3))
    stops = [records[f"s{n}"].stop for n in range(count)]
    assert stops[:offset] == ["recommender_fault"] * offset
    assert stops[offset:-10] == ["simulator_fault"] * len(simulators)
    assert set(stops[-10:]) <= {"max_turns", "accepted"}
    assert len((tmp_path / DIALOGUES).read_bytes().splitlines()) == count


# --------------------------------------------------------------------------------------------------- transport and budget


class Server:
    """A recommender whose server is down for some scenarios until it is repaired."""

    def __init__(self, down: set[int]) -> None:
        self.down = down

    def recommend(self, conversation: Conversation, k: int) -> Any:
        if number_of(conversation) in self.down and conversation.turn == 2:
            raise TransportError("503 from the server")
        return answer(conversation, k)


@pytest.mark.parametrize("form", FORMS)
def test_an_exhausted_transport_is_incomplete_and_played_again_on_resume(tmp_path: Path, form: str) -> None:
    recommender, simulator = FORMS[form]
    quiet = simulator(lambda c, n: Feedback("no"))
    _, sound = play(tmp_path / "sound", assembly(recommender(), quiet))
    server = Server({1, 3})
    folder = tmp_path / "run"
    outcome, records = play(
        folder, assembly(recommender(server.recommend), quiet, transport_retries=20 if form == "batched" else 2)
    )
    incomplete = {name for name, r in records.items() if r.stop == "transport"}
    assert incomplete >= {"s1", "s3"}
    assert incomplete == {"s1", "s3"} or form == "batched"  # a batch shares its transport
    assert {f.blame for name in incomplete for f in records[name].faults} == {"transport"}
    assert len(records["s1"].turns) == 1  # what was played stays
    assert finished(folder) == {(name, 0) for name in set(records) - incomplete}
    server.down = set()
    outcome, records = play(folder, assembly(recommender(server.recommend), quiet), done=finished(folder))
    assert (outcome.played, outcome.kept) == (len(incomplete), 6 - len(incomplete))
    assert without_seconds(records.values()) == without_seconds(sound.values())


def test_a_spent_budget_stops_cleanly_and_can_be_resumed(tmp_path: Path) -> None:
    left = [7]

    def spends(conversation: Conversation, k: int) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise BudgetExceeded("5.00 of 5.00 dollars are spent")
        return answer(conversation, k)

    outcome, records = play(tmp_path, assembly(Plain(spends), Seeker(), count=12, concurrency=2))
    assert outcome.stopped == "5.00 of 5.00 dollars are spent"
    assert not outcome.interrupted
    assert 0 < outcome.played < 12
    assert {r.stop for r in records.values()} <= {"max_turns", "accepted", "cancelled"}
    left[0] = 1000
    _, records = play(tmp_path, assembly(Plain(spends), Seeker(), count=12, concurrency=2), done=finished(tmp_path))
    _, sound = play(tmp_path / "sound", assembly(Plain(), Seeker(), count=12))
    assert without_seconds(records.values()) == without_seconds(sound.values())


# ------------------------------------------------------------------------------------------- the harness itself, and signals


def test_a_bug_of_the_harness_stops_the_run_with_its_traceback_and_keeps_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = LeakGate.check
    texts = [0]

    def breaks(self: LeakGate, text: str, **more: Any) -> Any:
        texts[0] += 1
        if texts[0] == 15:
            raise KeyError("a bug of the harness")
        return check(self, text, **more)

    monkeypatch.setattr(LeakGate, "check", breaks)
    told = []
    with pytest.raises(KeyError, match="a bug of the harness") as caught:
        play(tmp_path, assembly(Plain(), Seeker(), count=30, concurrency=2), finished=told.append)
    assert any(entry.name == "breaks" for entry in caught.traceback)
    kept = [r for r in read_records(tmp_path) if r.complete]
    assert without_seconds(kept) == without_seconds(told)
    assert len(kept) > 2
    assert not {r.stop for r in read_records(tmp_path)} & {"recommender_fault", "simulator_fault"}


def test_a_full_disk_stops_the_run_with_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append, told = Store.append, []

    def fills(self: Store, record: Any) -> None:
        if len(told) >= 5:
            self._failed = OSError(28, "No space left on device")
        append(self, record)

    monkeypatch.setattr(Store, "append", fills)
    with pytest.raises(StoreError, match="No space left on device"):
        play(tmp_path, assembly(Plain(), count=30), finished=told.append)
    assert without_seconds(read_records(tmp_path)) == without_seconds(told)


def test_an_interrupt_keeps_what_was_played_and_says_so(tmp_path: Path) -> None:
    started = threading.Event()

    def slow(conversation: Conversation, k: int) -> Any:
        if number_of(conversation) == 5:
            started.set()
            time.sleep(1)
        return answer(conversation, k)

    def interrupt() -> None:
        started.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    outcome, records = play(tmp_path, assembly(Plain(slow), Seeker(), count=100, concurrency=2))
    assert outcome.interrupted
    assert records["s5"].stop == "cancelled"
    assert 0 < outcome.played < 100
    _, records = play(tmp_path, assembly(Plain(), Seeker(), count=100), done=finished(tmp_path))
    _, sound = play(tmp_path / "sound", assembly(Plain(), Seeker(), count=100))
    assert without_seconds(records.values()) == without_seconds(sound.values())


def test_progress_hears_of_a_dialogue_after_it_was_written(tmp_path: Path) -> None:
    def told(record: Any) -> None:
        assert any(r.scenario == record.scenario for r in read_records(tmp_path))

    outcome, _ = play(tmp_path, assembly(Plain()), finished=told)
    assert outcome.played == 6


# ---------------------------------------------------------------------------------------------------------- determinism


@pytest.mark.parametrize("form", [*FORMS, "plain and batched", "async and plain"])
def test_the_records_depend_on_neither_concurrency_nor_order_nor_form(tmp_path: Path, form: str) -> None:
    makers = {"plain and batched": (Plain, BatchedSeeker), "async and plain": (Async, Seeker), **FORMS}[form]
    draw = random.Random(1)

    def unsteady(function: Callable[..., Any]) -> Callable[..., Any]:
        def delayed(*arguments: Any) -> Any:
            if draw.random() < 0.1:
                time.sleep(draw.random() / 500)
            return function(*arguments)

        return delayed

    _, reference = play(tmp_path / "reference", assembly(Plain(), Seeker(), count=40, concurrency=1, trials=2, turns=4))
    assert len(reference) == 80
    for concurrency, schedule_seed in ((1, 3), (8, None), (64, 7)):
        made = assembly(
            makers[0](unsteady(answer)), makers[1](unsteady(reaction)), count=40, concurrency=concurrency, trials=2, turns=4
        )
        _, records = play(tmp_path / f"{concurrency}", made, schedule_seed=schedule_seed)
        assert without_seconds(records.values()) == without_seconds(reference.values())


def test_faults_are_as_deterministic_as_answers(tmp_path: Path) -> None:
    """Whatever the batch that a failing row happens to be in, its record is the same."""

    def unsound(conversation: Conversation, k: int) -> Any:
        number = number_of(conversation)
        if number % 5 == 0:
            raise ValueError(f"row {number} of <Thing object at {hex(id(object()))}>")
        return None if number % 5 == 1 else answer(conversation, k)

    results = []
    for concurrency in (1, 8, 64):
        _, records = play(
            tmp_path / str(concurrency), assembly(Batched(unsound), BatchedSeeker(), count=40, concurrency=concurrency)
        )
        results.append(without_seconds(records.values()))
    assert results[0] == results[1] == results[2]


def test_records_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    program = """
import asyncio, hashlib, sys
sys.path.insert(0, sys.argv[1])
from support import Batched, Seeker, assembly, without_seconds
from harness import runner
records = []
asyncio.run(runner.play(assembly(Batched(), Seeker(), count=20, concurrency=8), set(), records.append))
print(hashlib.sha256(b"".join(without_seconds(records))).hexdigest())
"""
    printed = set()
    for seed in "012":
        command = [sys.executable, "-c", program, str(Path(__file__).parent)]
        ran = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        printed.add(ran.stdout)
    assert len(printed) == 1


def test_trials_differ_and_seeds_do_too(tmp_path: Path) -> None:
    _, one = play(tmp_path / "1", assembly(Plain(), trials=2))
    _, two = play(tmp_path / "2", assembly(Plain(), trials=2, seed=1))
    assert one["s0"].turns[0].items != one["s0#1"].turns[0].items
    assert one["s0"].turns[0].items != two["s0"].turns[0].items
    assert len(one) == 12


def test_every_dialogue_trial_and_role_has_a_seed_of_its_own(tmp_path: Path) -> None:
    seeds: dict[tuple[str, int], set[int]] = {}

    def noted(role: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(conversation: Conversation, other: Any) -> Any:
            seeds.setdefault((role, number_of(conversation)), set()).add(conversation.seed)
            return function(conversation, other)

        return call

    quiet = noted("simulator", lambda c, n: Feedback("no"))
    play(tmp_path, assembly(Plain(noted("recommender", answer)), Seeker(quiet), trials=2))
    assert {len(own) for own in seeds.values()} == {2}  # one per trial, the same at all turns
    assert len(set().union(*seeds.values())) == 6 * 2 * 2


# ---------------------------------------------------------------------------------------------------------- concurrency


def test_blocking_dialogues_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Eight dialogues meet at a barrier inside their calls: one that waited for another's end would never let it open."""
    barrier = threading.Barrier(8, timeout=10)

    def meets(conversation: Conversation, k: int) -> Any:
        barrier.wait()
        return answer(conversation, k)

    _, records = play(tmp_path, assembly(Plain(meets), Seeker(lambda c, n: Feedback("no")), count=16, concurrency=8))
    assert {r.stop for r in records.values()} == {"max_turns"}


def test_no_more_dialogues_than_asked_for_are_in_flight(tmp_path: Path) -> None:
    inside, most, lock = set(), [0], threading.Lock()

    def counted(conversation: Conversation, k: int) -> Any:
        with lock:
            inside.add(number_of(conversation))
            most[0] = max(most[0], len(inside))
        time.sleep(0.002)
        if conversation.turn == 3:
            with lock:
                inside.discard(number_of(conversation))
        return answer(conversation, k)

    play(tmp_path, assembly(Plain(counted), Seeker(lambda c, n: Feedback("no")), count=30, concurrency=5))
    assert most[0] == 5


@pytest.mark.parametrize("forms", [(Batched, Seeker), (Batched, BatchedSeeker), (Async, BatchedSeeker), (Plain, AsyncSeeker)])
def test_five_thousand_dialogues_of_mixed_forms_all_end(forms: tuple[Any, Any]) -> None:
    """No wake-up is lost: with time limits far away, a single lost one would hang this test."""
    draw = random.Random(2)
    recommender, simulator = forms
    count = 1250

    def reply(conversation: Conversation, knowledge: Any) -> Any:
        if draw.random() < 0.05:
            time.sleep(draw.random() / 1000)
        return reaction(conversation, knowledge)

    records: list[Any] = []
    played = assembly(recommender(), simulator(reply), count=count, concurrency=24, timeout=600, turns=2)
    asyncio.run(asyncio.wait_for(runner.play(played, set(), records.append, schedule_seed=1), 60))
    assert len(by_scenario(records)) == len(records) == count


def test_batches_fill_up(tmp_path: Path) -> None:
    recommender = Batched()
    play(tmp_path, assembly(recommender, BatchedSeeker(lambda c, n: Feedback("no")), count=64, concurrency=16))
    assert max(recommender.sizes) == 16
    assert sum(recommender.sizes) == 64 * 3
    assert len(recommender.sizes) <= 20


# ---------------------------------------------------------------------------------------------------------------- wiring


def test_a_simulator_gets_the_knowledge_of_its_level(tmp_path: Path) -> None:
    need = Need(("m1",), liked_items=("m1", "m2"), liked_attributes={"genre": ("drama",)})
    split = world(1)
    split = Split("test", [Scenario("s", "d", split.scenarios[0].context, need)], split.training, split.catalogue)
    for level, liked, targets in (
        ("label_free", (), ()),
        ("profile", ("m2",), ()),
        ("target_aware", ("m1", "m2"), ("m1",)),
    ):
        given = []

        def reply(conversation: Conversation, knowledge: Any, given: list[Any] = given) -> Feedback:
            given.append(knowledge)
            return Feedback("hm")

        play(tmp_path / level, assembly(Plain(), Seeker(reply, level), split=split))
        assert {(k.level, k.liked_items, k.targets) for k in given} == {(level, liked, targets)}


def test_the_shuffled_control_gets_the_knowledge_of_another_dialogue(tmp_path: Path) -> None:
    given: dict[int, tuple[str, ...]] = {}

    class Shuffled(Seeker):
        knowledge_of = "other"

    def reply(conversation: Conversation, knowledge: Any) -> Feedback:
        given[number_of(conversation)] = knowledge.targets
        return Feedback("hm")

    play(tmp_path, assembly(Plain(), Shuffled(reply, "target_aware"), count=9))
    assert len(given) == 9
    for number, (target,) in given.items():
        assert int(target[1:]) // 3 != number // 3


def test_the_gate_knows_the_runs_catalogue(tmp_path: Path) -> None:
    split = world(2)
    items = [*split.catalogue, Item("x", "Copper Moon", 1999)]
    scenario = Scenario("s", "d", split.scenarios[0].context, Need(("x",)))
    split = Split("test", [scenario], split.training, type(split.catalogue)(items))
    _, records = play(tmp_path, assembly(Plain(), Seeker(lambda c, n: Feedback("Copper Moon (1999)!")), split=split, turns=2))
    assert (records["s"].turns[0].user_text, records["s"].turns[0].leaks) == ("[title withheld]!", ("x",))
