"""`smtpo-sft` with models that say what they are told to: what they are asked, and what becomes of their answers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_models import Says, prompt_of
from five_films import FILMS, conversation

from harness.api import Conversation, Feedback, Knowledge, Message, SimulatorSetup, TrainingDialogue
from harness.artifactfiles import create
from harness.artifacts import Card
from harness.errors import ComponentFault, DataError, UsageError
from harness.llm.api import ChatMessage, ChatRequest, Completion
from harness_plugins.simulators.smtpo.simulator import Options, SmtpoBase, SmtpoSft
from harness_plugins.smtpo.user.decision import Decision, decide
from harness_plugins.smtpo.user.model import KIND, SETTINGS, Stored, read, write

ALIGNED = json.dumps({"liked": [" Horror"], "disliked": [], "matched": ["Horror "], "missing": []})
SAID = "No thanks. I'd like crime films."


def by_task(request: ChatRequest) -> str:
    asked = prompt_of(request)
    return ALIGNED if asked.endswith("<align>") or "JSON" in asked else SAID


ASKS_HORROR = (Message("seeker", "I'd like a horror film, but no comedy. I loved Iron Harbour.", items=("f3",)),)


class Judges(Says):
    """Log-odds of Yes by the words of the item that the verdict is about; each word is looked for in prompt and answer."""

    def __init__(self, odds: dict[str, float], *answers: Any) -> None:
        super().__init__(*(answers or (by_task,)))
        self.odds = odds
        self.scored: list[tuple[str, list[str]]] = []

    async def score(self, messages: Sequence[ChatMessage], continuations: Sequence[str]) -> list[float]:
        prompt = "\n".join(message.content for message in messages)
        self.scored.append((prompt, list(continuations)))
        found = []
        for text in continuations:
            odds = next((o for word, o in self.odds.items() if word in text or (word in prompt and len(text) < 5)), -9.0)
            # The item's own words cost the same either way.
            found.append(-7.5 + (odds if text.endswith("Yes") else 0.0))
        return found


def artefact(folder: Path, prompt: str = "smtpo-tiny.v1", **decision: float) -> str:
    with create(folder, Card(kind=KIND, name="t")) as inside:
        write(inside / SETTINGS, Stored(prompt=prompt, decision=Decision(**decision)))
    return str(folder)


def seeker(
    tmp_path: Path, model: Any, *, prompt: str = "smtpo-tiny.v1", kind: type[SmtpoSft] = SmtpoSft, **options: Any
) -> SmtpoSft:
    simulator = kind(Options(artifact=artefact(tmp_path / "sim", prompt, accept=0.9, keep=0.3), **options))
    training = (TrainingDialogue("d", (Message("recommender", "Iron Harbour and Night Orchard", items=("f3", "f1")),)),)
    simulator.prepare(SimulatorSetup(FILMS, training, 5, 0, llm=model))
    return simulator


def answer(simulator: SmtpoSft, talk: Conversation, knowledge: Knowledge | None = None) -> Feedback:
    return asyncio.run(simulator.reply(talk, knowledge or Knowledge()))


# ------------------------------------------------------------------------------------------------------ the decision


def test_probability_is_platts_curve_and_never_overflows() -> None:
    decision = Decision(slope=2.0, offset=-1.0)
    assert decision.probability(0.5) == 0.5
    assert decision.probability(1.0) == pytest.approx(math.e / (1 + math.e))
    assert (decision.probability(1e9), decision.probability(-1e9)) == (1.0, 0.0)


def test_the_best_item_is_accepted_from_the_threshold_on_and_the_higher_ranked_of_equal_ones() -> None:
    decision = Decision(accept=0.5, keep=0.5)
    assert decide(decision, {"a": -1.0, "b": 0.0, "c": 0.0}).accepted == ("b",)
    assert decide(decision, {"a": -1.0, "b": -0.1}).accepted == ()
    assert decide(decision, {}) == decide(decision, {})
    assert decide(decision, {}).accepted == ()


def test_only_implausible_items_are_turned_down() -> None:
    # sigmoid(-1) = .27, sigmoid(-3) = .05
    verdict = decide(Decision(accept=0.9, keep=0.2), {"a": -3.0, "b": -1.0, "c": -4.0})
    assert verdict.rejected == ("a", "c")
    assert decide(Decision(accept=0.9, keep=1.0), {"a": -3.0, "b": -1.0}).rejected == ("a", "b")


def test_a_stored_decision_comes_back_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    stored = Stored(prompt="smtpo.v1", decision=Decision(slope=1.25, offset=-3.5, accept=0.375, keep=0.0625), base="hf:x")
    write(tmp_path / SETTINGS, stored)
    assert read(tmp_path / SETTINGS) == stored
    (tmp_path / SETTINGS).write_text('{"prompt": "smtpo.v1", "decision": {"accept": 7}}')
    with pytest.raises(DataError, match="accept"):
        read(tmp_path / SETTINGS)


# ----------------------------------------------------------------------------------------------------------- a turn


def test_accepts_turns_down_or_spares_by_the_verdicts(tmp_path: Path) -> None:
    # f1 has the wanted genre, f3 is the liked film itself, f2 has the unwanted genre: .88, .12 and .5.
    model = Judges({"<+genre>": 2.0, "<~director>": -2.0, "<!genre>": 0.0})
    given = answer(seeker(tmp_path, model), conversation("f1", "f3", "f2", context=ASKS_HORROR))
    assert (given.action, given.rejected, given.text) == ("continue", ("f3",), SAID)
    model = Judges({"<+genre>": 3.0})
    given = answer(seeker(tmp_path, model), conversation("f3", "f1", context=ASKS_HORROR))
    assert (given.action, given.accepted, given.rejected) == ("accept", ("f1",), ())
    assert model.requests == []
    assert "Orchard" not in given.text
    given = answer(seeker(tmp_path, Judges({"<+genre>": 2.0}), accept=0.8), conversation("f1", context=ASKS_HORROR))
    assert given.action == "accept"


def test_a_list_is_judged_in_one_question_and_what_was_judged_is_not_asked_again(tmp_path: Path) -> None:
    model = Judges({})
    simulator = seeker(tmp_path, model)
    first = answer(simulator, conversation("f1", "f3", context=ASKS_HORROR))
    assert [len(texts) for _, texts in model.scored] == [4]
    later = conversation("f3", "f2", turn=2, state=json.loads(json.dumps(first.state)), context=ASKS_HORROR)
    second = answer(simulator, later)
    assert [len(texts) for _, texts in model.scored] == [4, 2]
    assert "<!genre>" in model.scored[1][1][0]
    assert second.rejected == ("f3", "f2")


def test_only_the_top_of_a_list_is_looked_at(tmp_path: Path) -> None:
    model = Judges({})
    given = answer(seeker(tmp_path, model, show=2), conversation("f1", "f3", "f2", context=ASKS_HORROR))
    assert len(model.scored[0][1]) == 4
    assert given.rejected == ("f1", "f3")


def test_the_prompt_tells_what_the_dialogue_says_and_how_an_item_matches(tmp_path: Path) -> None:
    model = Judges({})
    answer(seeker(tmp_path, model), conversation("f1", "f2", context=ASKS_HORROR))
    prompt, verdicts = model.scored[0]
    assert prompt == "<wants> genre Horror <not> genre Comedy <judge>"
    assert "<liked> Crime Dov Moor Cy Lane Eve Tarn 1990s " in prompt_of(model.requests[0])
    orchard, boats = verdicts[0], verdicts[2]
    # The two films of the training dialogue are as popular as each other, and the only ones that go together.
    assert orchard.startswith("<item> <+genre> <fit0> <known7> <accept>")
    assert boats.startswith("<item> <!genre> <-genre> <~decade> <~star> <fit1> <known0> <accept>")
    assert [text.rpartition("<accept>")[2] for text in verdicts] == ["Yes", "No", "Yes", "No"]


@pytest.mark.parametrize("prompt", ["smtpo-tiny.v1", "smtpo.v1"])
def test_nothing_of_a_need_reaches_the_model(tmp_path: Path, prompt: str) -> None:
    told = Knowledge("target_aware", ("f4",), (), (), {"genre": ("Crime",)}, {}, ("f4",))
    talk = conversation("f1", "f2", context=ASKS_HORROR)
    asked = []
    for knowledge in (Knowledge(), told):
        model = Judges({})
        given = answer(seeker(tmp_path, model, prompt=prompt), talk, knowledge)
        asked.append((given, model.scored, [prompt_of(request) for request in model.requests]))
    assert asked[0] == asked[1]
    assert "Never Been Found" not in str(asked)


def test_a_chat_model_is_asked_about_each_item(tmp_path: Path) -> None:
    model = Judges({"Night Orchard": 1.0})
    given = answer(seeker(tmp_path, model, prompt="smtpo.v1"), conversation("f3", "f1"))
    assert [texts for _, texts in model.scored] == [["Yes", "No"]] * 2
    assert given.rejected == ("f3",)
    assert "1. Iron Harbour (1995)" in prompt_of(model.requests[0])


def test_the_alignment_becomes_the_notes_of_the_reply(tmp_path: Path) -> None:
    model = Judges({})
    answer(seeker(tmp_path, model), conversation("f1", context=ASKS_HORROR))
    assert "<plan> matched Horror <reply>" in prompt_of(model.requests[1])
    model = Judges({}, "I'd like crime films.")
    assert answer(seeker(tmp_path, model, align=False), conversation("f1")).text == "I'd like crime films."
    assert len(model.requests) == 1


def test_what_nothing_points_to_is_left_out_of_the_notes(tmp_path: Path) -> None:
    # Horror is stated; of the liked film alone comes its genre, which is no taste yet; nobody has spoken of Animation.
    made_up = json.dumps(
        {"liked": ["Horror", "Crime"], "disliked": ["Comedy"], "matched": ["Horror", "Animation"], "missing": ["Crime"]}
    )
    model = Judges({}, made_up, SAID)
    answer(seeker(tmp_path, model), conversation("f1", context=ASKS_HORROR))
    assert "<plan> matched Horror; not Comedy <reply>" in prompt_of(model.requests[1])


def test_what_was_said_in_an_answer_is_not_said_again(tmp_path: Path) -> None:
    answered = (*conversation("f1", context=ASKS_HORROR).messages, Message("seeker", "I'd like horror films."))
    model = Judges({})
    answer(seeker(tmp_path, model), Conversation((*answered, Message("recommender", "", ranked=("f2",))), 2))
    assert "<said> genre Horror <plan>  <reply>" in prompt_of(model.requests[1])


def test_an_alignment_of_another_form_is_drawn_anew(tmp_path: Path) -> None:
    model = Judges({}, '{"liked":[" you', ALIGNED, SAID)
    assert answer(seeker(tmp_path, model), conversation("f1", context=ASKS_HORROR)).text == SAID
    first, second, reply = model.requests
    assert prompt_of(first) == prompt_of(second)
    assert (first.temperature, second.temperature) == (0.0, 0.7)
    assert first.seed != second.seed
    assert "<plan> matched Horror <reply>" in prompt_of(reply)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("", "empty"),
        ("horror, I think", "malformed"),
        ('{"liked": ["a"]}', "malformed"),
        ('{"liked": "a", "disliked": [], "matched": [], "missing": []}', "malformed"),
        ('{"liked": [], "disliked": [], "matched": [], "missing": [], "action": "accept"}', "malformed"),
        (Completion('{"liked": ["a', finish="length"), "malformed"),
    ],
)
def test_an_unusable_alignment_is_the_simulators_fault(tmp_path: Path, said: Any, kind: str) -> None:
    with pytest.raises(ComponentFault) as fault:
        answer(seeker(tmp_path, Judges({}, said)), conversation("f1"))
    assert fault.value.kind == kind


def test_an_empty_reply_is_a_fault_and_of_a_cut_one_the_whole_sentences_stand(tmp_path: Path) -> None:
    with pytest.raises(ComponentFault, match="nothing"):
        answer(seeker(tmp_path, Judges({}, ALIGNED, " \n ")), conversation("f1"))
    cut = Completion("No. I'd like crime films. I'm looking", finish="length")
    assert answer(seeker(tmp_path, Judges({}, ALIGNED, cut)), conversation("f1")).text == "No. I'd like crime films."


def test_noise_makes_statements_false_and_leaves_the_rest(tmp_path: Path) -> None:
    said = "None of these. I'd like horror films. I don't like films from the 1990s."
    quiet = answer(seeker(tmp_path, Judges({}, ALIGNED, said), eps=0.0), conversation("f1")).text
    assert quiet == said
    texts = set()
    for seed in range(20):
        talk = conversation("f1", seed=seed)
        noisy = answer(seeker(tmp_path, Judges({}, ALIGNED, said), eps=1.0), talk).text
        assert noisy == answer(seeker(tmp_path, Judges({}, ALIGNED, said), eps=1.0), talk).text
        assert noisy.startswith("None of these. ")
        assert "like horror films" not in noisy.replace("don't like horror films", "")
        texts.add(noisy)
    assert len(texts) > 5


def test_without_an_artefact_or_a_model_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        SmtpoSft(Options(artifact="./nowhere")).default_llm()
    simulator = SmtpoSft(Options(artifact=artefact(tmp_path / "sim")))
    assert simulator.default_llm() == f"hf:{tmp_path / 'sim'}"
    with pytest.raises(UsageError, match="--sim-llm"):
        simulator.prepare(SimulatorSetup(FILMS, (), 5, 0))
    assert SmtpoBase(Options(artifact=artefact(tmp_path / "sim"))).default_llm() is None
