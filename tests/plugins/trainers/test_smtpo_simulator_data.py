"""What the simulator learns from: labels worked out by hand, nothing of a target but its attributes, and the fitted numbers."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from harness.api import Catalogue, Item, Message, Need, Scenario, Statement, TrainingDialogue
from harness.errors import DataError
from harness.leakgate import LeakGate
from harness.llm.api import ChatRequest, Completion
from harness.text import AttributeIndex
from harness_plugins import prompting
from harness_plugins.smtpo.user.alignment import Alignment
from harness_plugins.smtpo.user.decision import Decision
from harness_plugins.smtpo.user.view import View
from harness_plugins.trainers.smtpo import simulator_calibration as calibration
from harness_plugins.trainers.smtpo.simulator_calibration import Judged
from harness_plugins.trainers.smtpo.simulator_data import Moments, Telling, align, fold_of, pairs
from harness_plugins.trainers.smtpo.simulator_examples import Examples, Mixture
from harness_plugins.trainers.smtpo.simulator_quality import _attributes
from harness_plugins.trainers.smtpo.simulator_replies import real_reply, taught

GENRES = ("horror", "comedy", "crime", "drama")
DIRECTORS = ("Ana Sol", "Bo Reed", "Cy Lane")


def film(number: int) -> Item:
    genres = (GENRES[number % 4], GENRES[(number // 4) % 4])
    held = {
        "genre": tuple(dict.fromkeys(genres)),
        "director": (DIRECTORS[number % 3],),
        "star": (f"Star Number{number}",),
        "decade": ("1990s",) if number % 2 else ("1980s",),
    }
    return Item(f"f{number}", f"Quiet Lantern {'abcdefghijklmnopqrstuvwxyz'[number % 26]}{number}", attributes=held)


FILMS = Catalogue([film(n) for n in range(60)])
WIDE = Catalogue([*FILMS, *(Item(f"w{n}", f"Loud Candle {n}", attributes={"decade": ("1980s",)}) for n in range(90))])
PROMPT = prompting.load("harness_plugins.smtpo.user", "smtpo-tiny.v1")


def scenario(number: int) -> Scenario:
    liked, target = FILMS[(number * 7 + 3) % 60], FILMS[(number * 11) % 60]
    context = (
        Message("seeker", f"I loved {liked.title}. I'd like a {target.attributes['genre'][0]} film, no drama.", (liked.id,)),
    )
    return Scenario(f"d{number}:1", f"d{number}", context, Need((target.id,)))


SCENARIOS = [scenario(n) for n in range(1, 13) if (n * 11) % 60 != (n * 7 + 3) % 60]


def moments(crossed: bool = True) -> Moments:
    training = [TrainingDialogue(s.source, (*s.context, Message("recommender", "This one", s.need.targets))) for s in SCENARIOS]
    return Moments(FILMS, training, 0, crossed=crossed)


MADE = moments()


def seen(
    wants: tuple[Any, ...] = (), unwanted: tuple[Any, ...] = (), shown: tuple[int, ...] = (), liked: tuple[int, ...] = ()
) -> View:
    said = tuple(Statement(f, v) for f, v in wants)
    against = tuple(Statement(f, v, -1) for f, v in unwanted)
    return View(None, said, against, (), (), liked, (), tuple(FILMS[n] for n in shown), None)  # type: ignore[arg-type]


FOUND = [s for s in SCENARIOS if s.need.targets[0] in {i.id for i in MADE.pool(MADE.part(s)[1], s)[:25]}]
"""Those whose target the reference recommender finds."""


# ------------------------------------------------------------------------------------------------------------- labels


def test_alignment_is_read_off_the_cards() -> None:
    # The target: horror crime, Cy Lane, 1980s. Shown: horror, Ana Sol, 1980s; comedy horror, Bo Reed, 1990s; and the same
    # genres by Cy Lane, 1990s. Liked: horror comedy by Cy Lane, horror drama by Ana Sol, and horror crime by Cy Lane (f56).
    target, shown = FILMS[8], (0, 1, 17)
    assert pairs(target)[:2] == [("genre", "horror"), ("genre", "crime")]
    view = seen(
        wants=(("director", "Bo Reed"), ("genre", "crime")),
        unwanted=(("genre", "drama"), ("genre", "horror")),
        shown=shown,
        liked=(20, 12, 56),
    )
    found = align(view, target, Telling(WIDE), WIDE)
    # Stated first, then what liked films carry, horror twice. Four films in five are of the 1980s, which tells nothing; nothing
    # points to the star; Bo Reed was said and is not true of the target.
    assert found.liked == ("crime", "horror", "Cy Lane")
    # Horror is unwanted, but true of the target. Comedy is on two of three cards, before the 1990s, which are one too many.
    assert found.disliked == ("drama", "comedy")
    assert found.matched == ("horror", "Cy Lane")
    assert found.missing == ("crime",)


def test_alignment_says_nothing_that_the_dialogue_does_not_bear_out() -> None:
    assert align(seen(shown=(0, 1, 17)), FILMS[8], Telling(WIDE), WIDE).liked == ()


def test_moments_are_the_same_each_time_and_other_ones_in_another_pass() -> None:
    first = [(m.turn, m.reply, [i.id for i in m.view.shown]) for s in SCENARIOS[:3] for m in MADE.of(s)]
    again = [(m.turn, m.reply, [i.id for i in m.view.shown]) for s in SCENARIOS[:3] for m in moments().of(s)]
    later = [(m.turn, m.reply, [i.id for i in m.view.shown]) for s in SCENARIOS[:3] for m in MADE.of(s, 1)]
    assert first == again
    assert first != later
    assert [turn for turn, _, _ in first] == [1, 2, 3] * 3


def test_replies_say_what_is_true_of_the_target_and_no_title() -> None:
    index, gate = AttributeIndex(FILMS), LeakGate(FILMS)
    said = 0
    for s in SCENARIOS:
        for epoch in range(3):
            for moment in MADE.of(s, epoch):
                own = set(pairs(moment.target))
                for statement in index.statements(moment.reply):
                    said += 1
                    assert ((statement.facet, statement.value) in own) == (statement.polarity > 0), moment.reply
                result = gate.check(moment.reply, hidden=FILMS.ids)
                assert result.leaks == ()
    assert said > 50


def test_what_a_view_knows_of_items_comes_from_other_dialogues() -> None:
    # Each film's only mentions are those of one dialogue, so the other fold has never heard of its target.
    for s in SCENARIOS:
        viewer, _ = MADE.part(s)
        others = {
            t for o in SCENARIOS if fold_of(o.source) != fold_of(s.source) for t in (*o.need.targets, *o.context[0].items)
        }
        target = FILMS.get(s.need.targets[0])
        assert target is not None
        evidence = viewer.item(seen(), target, {"evidence"})["evidence"]
        assert ("<known0>" in evidence) == (target.id not in others)


# ----------------------------------------------------------------------------------------------------------- examples


def tasks(mixture: Mixture, count: int = 12) -> Counter[str]:
    made = Examples(MADE, PROMPT, mixture).once(SCENARIOS[:count], Random(0))
    return Counter(e.prompt.rpartition("<")[2] for e in made)


def test_the_mixture_is_kept_and_a_task_without_weight_is_left_out() -> None:
    count = 3 * len(SCENARIOS)
    assert tasks(Mixture()) == {"reply>": count, "align>": count / 2, "judge>": count / 2}
    assert tasks(Mixture(feedback=1, alignment=1, target=4)) == {"reply>": count, "align>": count, "judge>": 4 * count}
    assert tasks(Mixture(lambda_alignment=0, lambda_target=0)) == {"reply>": count}
    assert tasks(Mixture(feedback=0, alignment=0, target=2)) == {"judge>": count}


def test_one_negative_per_positive_and_the_loss_is_on_the_answer_alone() -> None:
    made = list(Examples(MADE, PROMPT, Mixture(feedback=0, alignment=0, target=9)).once(SCENARIOS, Random(0)))
    assert {e.completion for e in made} == {"Yes", "No"}
    assert all(e.given.endswith("<accept>") and e.prompt.endswith("<judge>") for e in made)
    for negatives, share in ((1, 1 / 2), (3, 1 / 4)):
        drawn = [
            e.completion == "Yes"
            for epoch in range(8)
            for e in Examples(MADE, PROMPT, Mixture(feedback=0, alignment=0, negatives=negatives)).once(FOUND, Random(epoch))
        ]
        assert sum(drawn) / len(drawn) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(drawn)))


def test_a_target_that_the_recommender_did_not_find_is_no_example() -> None:
    """It shares less with what was said than what was found: who learns from it learns that a match speaks against an item."""

    class Missed(Moments):
        def of(self, scenario: Scenario, epoch: int = 0) -> Iterator[Any]:
            for moment in super().of(scenario, epoch):
                pool = tuple(item for item in moment.pool if item.id != moment.target.id)
                shown = tuple(item for item in moment.view.shown if item.id != moment.target.id)
                view = msgspec.structs.replace(moment.view, shown=shown)
                yield msgspec.structs.replace(moment, pool=pool, view=view)

    mixture = Mixture(feedback=0, alignment=0)
    missed = list(Examples(Missed(FILMS, [], 0, crossed=True), PROMPT, mixture).once(SCENARIOS, Random(0)))
    assert len(missed) > 10
    assert {e.completion for e in missed} == {"No"}


def test_without_notes_a_reply_states_nothing() -> None:
    index = AttributeIndex(FILMS)
    made = [e for n in range(20) for e in Examples(MADE, PROMPT, Mixture(target=0)).once(SCENARIOS, Random(n))]
    replies = [e for e in made if e.prompt.endswith("<reply>")]
    planless = [e.completion for e in replies if "<plan>  <reply>" in e.prompt]
    assert len(planless) > 20
    assert not any(index.statements(reply) for reply in planless)
    assert sum(bool(index.statements(e.completion)) for e in replies) > len(replies) / 2
    # Where nothing but replies is learned there are no notes to go by: then they say what they say.
    alone = list(Examples(MADE, PROMPT, Mixture(alignment=0, target=0)).once(SCENARIOS, Random(0)))
    assert all("<plan>  <reply>" in e.prompt for e in alone)
    assert any(index.statements(e.completion) for e in alone)


def test_weights_make_every_answer_count_the_same() -> None:
    mixture = Mixture(feedback=1, alignment=1, target=1, lambda_target=2)
    lengths = {"reply>": 20, "align>": 30, "judge>": 2}
    found = Examples(MADE, PROMPT, mixture).weigh(lambda e: lengths[e.prompt.rpartition("<")[2]], SCENARIOS)
    examples = Examples(MADE, PROMPT, mixture, weights=found)
    weights = {e.prompt.rpartition("<")[2]: e.weight for e in examples.once(SCENARIOS, Random(0))}
    per_answer = {task: weights[task] * lengths[task] for task in lengths}
    assert per_answer["reply>"] == pytest.approx(per_answer["align>"])
    assert per_answer["judge>"] == pytest.approx(2 * per_answer["align>"])


def test_a_reply_that_names_a_title_is_left_out() -> None:
    class Blabs(Moments):
        def of(self, scenario: Scenario, epoch: int = 0) -> Iterator[Any]:
            for moment in super().of(scenario, epoch):
                title = FILMS[scenario_number(scenario)].title if moment.turn == 1 else FILMS[5].title
                reply = f"I'd like {title}." if moment.turn < 3 else moment.reply
                yield type(moment)(**{f: getattr(moment, f) for f in moment.__struct_fields__} | {"reply": reply})

    def scenario_number(scenario: Scenario) -> int:
        return FILMS.position(scenario.need.targets[0])

    blabs = Blabs(FILMS, [], 0, crossed=True)
    examples = Examples(blabs, PROMPT, Mixture(alignment=0, target=0))
    made = list(examples.once(SCENARIOS, Random(0)))
    assert (len(made), examples.left_out) == (len(SCENARIOS), 2 * len(SCENARIOS))
    assert not any("Quiet Lantern" in e.completion for e in made)


def test_no_prompt_holds_anything_of_the_target_but_what_the_dialogue_said() -> None:
    """The same moment with another target asks the same questions."""
    for s in SCENARIOS[:4]:
        other = Scenario(s.id, s.source, s.context, Need(("f50",)))
        viewer, _ = MADE.part(s)
        first, second = next(MADE.of(s)), next(MADE.of(other))
        shown = first.view
        for name in ("align", "feedback", "target"):
            names = PROMPT.placeholders(name)
            assert PROMPT.text(name, **viewer.state(shown, names)) == PROMPT.text(
                name,
                **viewer.state(
                    type(shown)(**{f: getattr(second.view, f) for f in shown.__struct_fields__} | {"shown": shown.shown}), names
                ),
            )


def test_without_an_attribute_there_is_nothing_to_learn() -> None:
    bare = Catalogue([Item(f"b{n}", f"Bare Reel {n}") for n in range(12)])
    made = Examples(Moments(bare, [], 0, crossed=True), PROMPT, Mixture())
    with pytest.raises(DataError, match="attributes"):
        next(made.stream([Scenario("s", "s", (), Need(("b1",)))], 0))


# -------------------------------------------------------------------------------------------------------- calibration


def judged(odds: tuple[float, ...], target: int | None) -> Judged:
    return Judged("s", odds, tuple(n == target for n in range(len(odds))))


def test_area_and_hits_by_hand() -> None:
    lists = [judged((2.0, 1.0, 1.0), 0), judged((0.0, 3.0, 0.0), 0), judged((5.0, 5.0), 1), judged((9.0, 1.0), None)]
    # won pairs: 2 of 2, 0.5 of 2, 0.5 of 1; best is the target: yes, no, no (the first of equal ones is meant)
    assert calibration.area(lists) == pytest.approx(3 / 5)
    assert calibration.hit_at_1(lists) == pytest.approx(1 / 3)


def test_items_turned_down_make_room_and_a_wrong_acceptance_ends_it() -> None:
    # Ten items that are not it stand before the target; all but two of them are seen to be wrong.
    odds = (0.0, 0.0, *[-5.0] * 8, 1.0, *[-5.0] * 3)
    target = judged(odds, 10)
    spared = calibration.played([target], Decision(accept=0.9, keep=0.2))
    # Third place in the second list: the two that were spared stay before it.
    assert spared == pytest.approx([0.0, *[1 / math.log2(4)] * 4])
    assert calibration.played([target], Decision(accept=0.9, keep=1.0))[1] == pytest.approx(1.0)
    assert calibration.played([target], Decision(accept=0.5, keep=0.2)) == [0.0] * 5


def test_calibrated_probabilities_fit_and_thresholds_are_the_best_on_what_was_judged() -> None:
    rng = Random(3)
    lists = []
    for _ in range(120):
        there = rng.random() < 0.6
        place = rng.randrange(10) if there else None
        odds = tuple(rng.gauss(3.0 if n == place else 0.0, 1.0) for n in range(20))
        lists.append(judged(odds, place))
    decision = calibration.fit(lists)
    shown = [(decision.probability(o), t) for one in lists for o, t in zip(one.odds[:20], one.targets[:20], strict=True)]
    assert sum(p for p, _ in shown) == pytest.approx(sum(t for _, t in shown), rel=1e-2)
    precision, recall, f1 = calibration.accepting(lists, decision)
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))

    def share(at: float) -> float:
        return sum(max(map(decision.probability, one.odds[:10])) >= at for one in lists) / len(lists)

    assert 0 < share(decision.accept) <= calibration.ACCEPTED
    for other in (n / 50 for n in range(1, 50)):
        if share(other) <= calibration.ACCEPTED:
            found = Decision(slope=decision.slope, offset=decision.offset, accept=other)
            assert f1 >= calibration.accepting(lists, found)[2] - 0.03
    assert calibration.fit([judged((1.0, 2.0), None)]) == Decision()


# ------------------------------------------------------------------------------------------------------------ quality


def test_attribute_scores_of_a_text() -> None:
    index = AttributeIndex(FILMS)
    # The target: horror crime, Cy Lane, Star Number8, 1980s. Right: crime, no comedy. Wrong: the 1990s.
    precision, recall, f1 = _attributes(index, "I'd like crime films from the 1990s. I don't like comedy films.", FILMS[8])
    assert precision == pytest.approx(2 / 3)
    assert recall == pytest.approx(1 / 5)
    assert f1 == pytest.approx(2 * (2 / 3) * 0.2 / (2 / 3 + 0.2))
    assert _attributes(index, "None of these.", FILMS[8]) == (None, 0.0, 0.0)


def test_alignment_as_notes_and_as_json() -> None:
    found = Alignment(("a", "b"), ("c",), ("a",), ("b",))
    assert found.plan() == "missing b; matched a; not c"
    assert found.answer() == '{"liked":["a","b"],"disliked":["c"],"matched":["a"],"missing":["b"]}'
    assert Alignment((), (), (), ()).plan() == ""


# --------------------------------------------------------------------------------------------- people's and a teacher's words


def test_what_a_person_answered_to_a_recommendation_is_learned_without_titles() -> None:
    context = (
        Message("seeker", "Hi, I like comedy."),
        Message("recommender", "Quiet Lantern c2?", items=("f2",)),
        Message("seeker", "Seen it. Something with more horror please."),
    )
    told = Scenario("r:3", "r", context, Need(("f8",)))
    mute = Scenario("q:3", "q", (*context[:2], Message("seeker", "Seen it.")), Need(("f8",)))
    found = real_reply(told)
    assert found is not None
    talk, reply = found
    assert reply == "Seen it. Something with more horror please."
    assert [m.ranked for m in talk.messages] == [(), ("f2",)]
    made = list(Examples(MADE, PROMPT, Mixture(alignment=0, target=0), "real").once([told, mute, SCENARIOS[0]], Random(0)))
    assert [e.completion for e in made] == [reply]
    assert made[0].prompt.startswith("<wants> genre comedy ")
    assert "horror" not in made[0].prompt.partition("<list>")[0]


def test_a_teacher_is_asked_once_and_what_it_says_takes_the_place_of_the_grammar(tmp_path: Path) -> None:
    class Teacher:
        asked = 0

        async def chat(self, request: ChatRequest) -> Completion:
            self.asked += 1
            said = request.messages[1].content
            assert "genre: horror, crime" in said.partition("</after>")[0]
            assert FILMS[8].title not in said.partition("</after>")[0]
            return Completion("" if self.asked == 1 else f"Words {self.asked}.")

    s = Scenario("t:1", "t", (Message("seeker", "Hello."),), Need(("f8",)))
    file = tmp_path / "taught.jsonl"
    teacher = Teacher()
    viewer, _ = MADE.part(s)
    found = asyncio.run(taught(teacher, list(MADE.of(s)), viewer, file))  # type: ignore[arg-type]
    assert sorted(found.values()) == ["Words 2.", "Words 3."]  # an empty answer is left out
    file.write_bytes(file.read_bytes() + b'\n["t:1",1,"tor')
    again = asyncio.run(taught(teacher, list(MADE.of(s)), viewer, file))  # type: ignore[arg-type]
    assert teacher.asked == 4
    assert sorted(again) == [("t:1", 1), ("t:1", 2), ("t:1", 3)]
    assert sorted(again.values()) == ["Words 2.", "Words 3.", "Words 4."]
    made = Examples(MADE, PROMPT, Mixture(alignment=0, target=0), "teacher", again).once([s, SCENARIOS[0]], Random(0), 5)
    assert [e.completion for e in made] == [again["t:1", turn] for turn in (1, 2, 3)]
