"""The step of multi-turn GRPO on a language model: rows, credit, masks, and TRL's private methods that it builds on."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from harness.api import Catalogue, Conversation, Item, Message, Need, Scenario, SimulatorSetup, Split  # noqa: E402
from harness.rollouts import Environment  # noqa: E402
from harness_plugins.recommenders.smtpo.chain import MARKS, Chain, identifier, render  # noqa: E402
from harness_plugins.recommenders.smtpo.prompt import Prompting  # noqa: E402
from harness_plugins.recommenders.smtpo.recommender import Options  # noqa: E402
from harness_plugins.simulators.controls import ExcludeOnly  # noqa: E402
from harness_plugins.simulators.target import RuleTarget  # noqa: E402
from harness_plugins.smtpo.tiny import TinySettings, make_model, make_tokenizer  # noqa: E402
from harness_plugins.trainers.smtpo.rl.credit import CreditSettings  # noqa: E402
from harness_plugins.trainers.smtpo.rl.policy import EngineGenerate, Player, Recorder, Said  # noqa: E402
from harness_plugins.trainers.smtpo.rl.rewards import Weights  # noqa: E402
from harness_plugins.trainers.smtpo.rl.rollout import Rollouts, credited, item_tokens  # noqa: E402
from harness_plugins.trainers.smtpo.rl.settings import RlSettings  # noqa: E402

if TYPE_CHECKING:
    from harness_plugins.trainers.smtpo.rl.grpo import TurnTrainer

# TRL is imported by the tests that need it: that takes seconds, and every process collects this module.
pytestmark = pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed")

FILMS = Catalogue(Item(f"f{n}", f"Film {n}", attributes={"genre": ("horror" if n % 2 else "comedy",)}) for n in range(4))
SCENARIOS = [
    Scenario(
        f"s{n}", f"d{n}", (Message("seeker", f"I want horror {n}."),), Need(("f1",), liked_attributes={"genre": ("horror",)})
    )
    for n in range(4)
]
SPLIT = Split("train", SCENARIOS, (), FILMS)
HOW = Prompting(candidates=4, answer=2, last_words=8)


class AllOfThem:
    """A retriever: every film, in the order of the catalogue."""

    def recall(self, conversation: Conversation, k: int, *, exclude: object = ()) -> list[tuple[str, float]]:
        return [(film.id, 1.0) for film in FILMS]


def chain(*answer: int, likes: Sequence[str] = ("horror",)) -> str:
    return render(Chain(tuple(likes), (), (), (), answer, "so", answer))


GOOD, LATE, BAD, BROKEN = chain(2, 1), chain(1, 2), chain(3, 4, likes=("comedy",)), "<think> no"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    marks = [*(identifier(n) for n in range(1, 5)), *MARKS, "\n"]
    return make_tokenizer(["I want horror. comedy so " * 5], FILMS, marks, 320)


class Told:
    """Answers as told, one after another for the same prompt: what a model would have sampled."""

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self._tokenizer, self._texts = tokenizer, list(texts)
        self.prompts: list[str] = []
        self._asked: Counter[tuple[int, ...]] = Counter()

    def __call__(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], limits: Sequence[int], temperature: float
    ) -> list[Said]:
        said = []
        for prompt in prompts:
            self.prompts.append(self._tokenizer.decode(prompt))
            text = self._texts[self._asked[tuple(prompt)] % len(self._texts)]
            self._asked[tuple(prompt)] += 1
            tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            said.append(Said([*tokens, self._tokenizer.eos_token_id], text, "stop"))
        return said


def rollouts(tokenizer: Any, generate: Any, simulator: Any, answers: int = 1) -> Rollouts:
    player = Player(Options(), HOW, AllOfThem(), Recorder(generate, tokenizer, answers=answers), FILMS)
    simulator.prepare(SimulatorSetup(FILMS, (), 3, 0))
    environment = Environment(SPLIT, simulator, name="s", k=2)
    return Rollouts(environment, player, SCENARIOS, tokenizer.pad_token_id)


def test_rows_hold_prompts_answers_and_terms(tokenizer: Any) -> None:
    told = Told(tokenizer, [GOOD])
    (first, second) = rollouts(tokenizer, told, ExcludeOnly(None)).rows([("s0", 0)], turns=1, horizon=2, seed=0)
    assert "wants" in told.prompts[0]
    assert "[C02]" in told.prompts[0]
    assert first.played
    assert first.terms == (1.0, 1.0, 1.0)
    assert first.hits == (1.0, 0.0)
    assert tokenizer.decode(first.completion).startswith("<think>")
    assert not second.played  # beyond this step's horizon
    (late, *_) = rollouts(tokenizer, Told(tokenizer, [LATE]), ExcludeOnly(None)).rows([("s0", 0)], turns=1, horizon=1, seed=0)
    assert late.terms == (1.0, pytest.approx(1 / math.log2(3)), 1.0)


def test_a_broken_answer_earns_nothing_and_ends_the_dialogue(tokenizer: Any) -> None:
    first, second = rollouts(tokenizer, Told(tokenizer, [BROKEN]), ExcludeOnly(None)).rows(
        [("s0", 0)], turns=2, horizon=2, seed=0
    )
    assert first.terms == (0.0, 0.0, 0.0)
    assert not second.played
    assert not second.ended


def test_an_accepted_list_ends_the_dialogue_and_is_carried(tokenizer: Any) -> None:
    found = rollouts(tokenizer, Told(tokenizer, [GOOD]), RuleTarget()).rows([("s0", 0)], turns=2, horizon=2, seed=0)
    assert [row.played for row in found] == [True, False]
    assert found[0].ended
    result = credited(
        np.array([row.terms for row in found] * 2),
        np.array([row.played for row in found] * 2),
        np.array([row.ended for row in found] * 2),
        np.zeros((4, 2)),
        group=2,
        horizon=2,
        weights=Weights(),
        credit=CreditSettings(),
    )
    assert not result.used.any()  # two equal dialogues teach nothing
    assert result.log["reward"] == pytest.approx(0.1 + 1.0 + 0.3)


def test_credit_by_rank_leaves_out_what_the_retriever_missed() -> None:
    found = credited(
        np.array([[1.0, np.nan, 0.0], [1.0, 0.5, 0.0], [1.0, 1.0, 0.0]]),
        np.ones(3, dtype=bool),
        np.zeros(3, dtype=bool),
        np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        group=3,
        horizon=1,
        weights=Weights(),
        credit=CreditSettings(ranks="exp_inf"),
    )
    assert found.by_rank is not None
    assert np.allclose(found.by_rank, [[0, 0], [-1, 1], [1, -1]], atol=1e-3)
    # The missed row stands at the mean of the others, so its reasoning is neither praised nor blamed.
    assert np.allclose(found.advantage, [0, -math.sqrt(1.5), math.sqrt(1.5)], atol=1e-3)
    assert found.log["missed"] == pytest.approx(1 / 3)


def test_several_answers_are_drawn_in_one_state_and_the_first_goes_on(tokenizer: Any) -> None:
    told = Told(tokenizer, [BAD, GOOD])
    found = rollouts(tokenizer, told, ExcludeOnly(None), answers=2).rows([("s0", 0)], turns=2, horizon=2, seed=0, answers=2)
    assert [row.terms[1] for row in found] == [0.0, 0.0, 1.0, 1.0]  # by answer, then by turn
    assert found[0].prompt == found[2].prompt


def test_long_reasoning_and_more_candidates_than_asked_pay_nothing(tokenizer: Any) -> None:
    def worth(text: str) -> tuple[float, ...]:
        return (
            rollouts(tokenizer, Told(tokenizer, [text]), ExcludeOnly(None))
            .rows([("s0", 0)], turns=1, horizon=1, seed=0)[0]
            .terms
        )

    assert worth(chain(2, 1, 3, 4)) == (0.0, 0.0, 0.0)  # all candidates: not the format
    assert worth(GOOD.replace("so</explain>", "so " * 200 + "</explain>")) == worth(GOOD)
    assert worth(GOOD.replace("<answer>", "<think>again</think><answer>")) == (0.0, 0.0, 0.0)
    assert worth(GOOD + " " + GOOD) == (0.0, 0.0, 0.0)


def test_tokens_of_the_answer_know_their_rank(tokenizer: Any) -> None:
    tokens = [*tokenizer(GOOD, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    ranks = item_tokens(tokenizer, tokens, 2)
    of_rank = [tokenizer.decode([t for t, r in zip(tokens, ranks, strict=True) if r == rank]).strip() for rank in (0, 1)]
    assert of_rank == ["[C02]", "[C01]"]
    assert ranks[-1] == -1
    assert set(item_tokens(tokenizer, tokens[:5], 2)) == {-1}


def test_log_ratios_of_items_are_means_over_their_tokens() -> None:
    from harness_plugins.trainers.smtpo.rl.grpo import item_means

    difference = torch.tensor([[0.1, 0.3, 0.5, 0.7]])
    means = item_means(difference, torch.tensor([[-1, 0, 0, 1]]), torch.ones(1, 4, dtype=torch.long))
    assert means[0].tolist() == pytest.approx([0.1, 0.4, 0.4, 0.7])


# ---------------------------------------------------------------------------------------------------------------- on TRL


def trainer_of(
    tokenizer: Any, folder: Path, settings: RlSettings, texts: Sequence[str], *, level: str = "token", **arguments: Any
) -> TurnTrainer:
    from datasets import Dataset
    from trl import GRPOConfig

    from harness_plugins.trainers.smtpo.rl.grpo import TurnTrainer

    model = make_model(tokenizer, TinySettings(width=32, layers=1, heads=2, inner=64, context=256), 0)
    model.save_pretrained(folder / "start")
    model.config._name_or_path = str(folder / "start")
    rows = settings.scenarios * settings.group * max(settings.horizon)
    config = GRPOConfig(
        output_dir=str(folder / "out"),
        max_steps=settings.steps,
        per_device_train_batch_size=rows // 2,
        gradient_accumulation_steps=2,
        steps_per_generation=2,
        num_generations=settings.group * max(settings.horizon),
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        beta=settings.beta,
        use_bias_correction_kl=False,
        epsilon=settings.clip_low,
        epsilon_high=settings.clip_high,
        loss_type="dapo",
        scale_rewards="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        **arguments,
    )
    answers = settings.group if settings.credit == "state-group" else 1
    return TurnTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": [scenario.id for scenario in SCENARIOS]}),
        processing_class=tokenizer,
        rl=settings,
        level=level,  # type: ignore[arg-type]
        rollouts=lambda trainer: rollouts(tokenizer, Told(tokenizer, texts), ExcludeOnly(None), answers),
    )


def preferred(model: Any, tokenizer: Any, prompt: list[int]) -> float:
    """log p(GOOD) - log p(BAD) after the prompt."""
    values = []
    for text in (GOOD, BAD):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        values.append(float(logits[torch.arange(len(ids)), torch.tensor(ids)].sum()))
    return values[0] - values[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("credit", ["turn", "state-group", "exp_inf"])
def test_what_is_rewarded_becomes_more_probable(tokenizer: Any, tmp_path: Path, credit: str) -> None:
    ranked = credit == "exp_inf"
    settings = RlSettings(
        steps=4,
        scenarios=2,
        group=2,
        horizon=(1, 2),
        credit="turn" if ranked else credit,  # type: ignore[arg-type]
        ranks="exp_inf" if ranked else "off",
    )
    trainer = trainer_of(tokenizer, tmp_path, settings, [GOOD, BAD], level="item" if ranked else "token")
    prompt = trainer._rollouts.rows([("s0", 0)], turns=1, horizon=1, seed=0)[0].prompt
    before = preferred(trainer.model, tokenizer, prompt)
    trainer.train()
    assert preferred(trainer.model, tokenizer, prompt) > before + 1.0
    logged = [entry for entry in trainer.state.log_history if "smtpo/reward" in entry]
    assert [entry["smtpo/turns"] for entry in logged] == [1.0, 1.0, 2.0, 2.0]
    assert logged[0]["smtpo/reward/recommendation"] == pytest.approx(0.5)
    assert logged[0]["smtpo/reward/format"] == 1.0
    assert logged[0]["smtpo/skipped"] == 0.0
    assert logged[0]["smtpo/played"] == 0.5
    assert logged[-1]["smtpo/kl"] > logged[0]["smtpo/kl"] >= 0.0


@pytest.mark.filterwarnings("ignore")
def test_log_probabilities_and_their_gradient_are_trls(tokenizer: Any, tmp_path: Path) -> None:
    """On a CPU ours leave the prompt's logits out."""
    from trl import GRPOTrainer

    from harness_plugins.trainers.smtpo.rl.grpo import TurnTrainer

    trainer = trainer_of(
        tokenizer, tmp_path, RlSettings(steps=1, scenarios=1, group=2, horizon=(2,), beta=0.05), [GOOD, BROKEN], temperature=0.7
    )
    inputs = trainer._generate_and_score_completions([{"prompt": "s0"}] * 4)
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    count, there = inputs["completion_ids"].size(1), inputs["completion_mask"] > 0
    found = {}
    for who in (TurnTrainer, GRPOTrainer):
        trainer.model.zero_grad()
        logps, entropies, _ = who._get_per_token_logps_and_entropies(
            trainer, trainer.model, ids, attention, count, batch_size=3, compute_entropy=True
        )
        (logps[there] * torch.arange(int(there.sum()))).sum().backward()
        weights = next(iter(trainer.model.parameters())).grad.clone()
        found[who] = (logps[there].detach(), entropies[there].detach(), weights)
    for ours, theirs in zip(found[TurnTrainer], found[GRPOTrainer], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    played = torch.tensor([row.played for row in trainer._rows])
    assert not played.all()
    with torch.no_grad():
        once = trainer._get_per_token_logps_and_entropies(trainer.model, ids, attention, count)[0]
    theirs = found[GRPOTrainer][0][played[:, None].expand_as(there)[there]]
    assert torch.allclose(once[played][there[played]], theirs, atol=1e-4)
    assert not once[~played].any(), "what was not played is not computed"


@pytest.mark.filterwarnings("ignore")
def test_the_loss_is_trls_where_nothing_is_left_out(tokenizer: Any, tmp_path: Path) -> None:
    """Guards the private methods: a TRL that computes otherwise, or calls them otherwise, fails here."""
    from trl import GRPOTrainer

    settings = RlSettings(steps=1, scenarios=1, group=4, horizon=(1,), beta=0.05)
    trainer = trainer_of(tokenizer, tmp_path, settings, [GOOD, BAD, LATE, BROKEN])
    inputs = trainer._generate_and_score_completions([{"prompt": "s0"}] * 4)
    assert inputs["advantages"].shape == inputs["completion_ids"].shape
    draw = torch.Generator().manual_seed(0)
    for name in ("old_per_token_logps", "ref_per_token_logps"):
        noise = torch.randn(inputs["completion_ids"].shape, generator=draw) * 0.5
        inputs[name] = -3.0 + noise
    trainer.current_gradient_accumulation_steps = 2
    ours = trainer._compute_loss(trainer.model, dict(inputs))
    theirs = GRPOTrainer._compute_loss(trainer, trainer.model, dict(inputs))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    # A row that is masked changes nothing, however long it is.
    inputs["tool_mask"][0] = 0
    ours = trainer._compute_loss(trainer.model, dict(inputs))
    theirs = GRPOTrainer._compute_loss(trainer, trainer.model, dict(inputs))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_advantages_and_masks_of_a_batch_by_hand(tokenizer: Any, tmp_path: Path) -> None:
    settings = RlSettings(steps=1, scenarios=1, group=2, horizon=(1, 2), preference_reward=0.0, format_reward=0.0, beta=0.0)
    trainer = trainer_of(tokenizer, tmp_path, settings, [GOOD, BAD])
    out = trainer._generate_and_score_completions([{"prompt": "s0"}] * 4)
    tokens = out["completion_mask"].sum(dim=1)
    # Turn 1 of two dialogues, 1 against 0: one deviation above and below their mean; turn 2 is beyond the first horizon.
    for row, counted in enumerate([True, False, True, False]):
        hit = "[C02] [C01]" in tokenizer.decode(out["completion_ids"][row]).replace("[C02][C01]", "[C02] [C01]")
        expected = (1.0 if hit else -1.0) if counted else 0.0
        assert out["advantages"][row, 0].item() == pytest.approx(expected, abs=1e-4)
        assert (out["completion_mask"] * out["tool_mask"])[row].sum().item() == (tokens[row].item() if counted else 0)
    assert sorted(out["advantages"][:, 0].round().tolist()) == [-1.0, 0.0, 0.0, 1.0]
    assert out["num_items_in_batch"].item() == tokens[0].item() + tokens[2].item()


def test_the_model_generates_by_the_evaluations_engine(tokenizer: Any) -> None:
    model = make_model(tokenizer, TinySettings(width=32, layers=1, heads=2, inner=64, context=256), 0)
    model.train()
    generate = EngineGenerate(lambda: model, tokenizer)
    prompts = [tokenizer("I want horror", add_special_tokens=False)["input_ids"], [5, 6, 7]]
    together = generate(prompts, [1, 2], [12, 12], 1.0)
    alone = generate(prompts[1:], [2], [12], 1.0)
    assert together[1].tokens == alone[0].tokens
    assert generate(prompts[1:], [3], [12], 1.0)[0].tokens != alone[0].tokens
    assert generate(prompts, [1, 2], [12, 12], 0.0)[0].tokens == generate(prompts, [8, 9], [12, 12], 0.0)[0].tokens
    assert model.training
    assert all(len(said.tokens) <= 12 for said in together)
