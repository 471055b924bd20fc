"""Supervised fine-tuning of the tiny model: what is learned, what is not, and that a killed training goes on as it was."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from harness.api import Catalogue, Item, Split
from harness.errors import DataError, HarnessError, UsageError
from harness_plugins.datasets.cinema.fresh import fresh_split
from harness_plugins.recommenders.smtpo.prompt import Prompter, Prompting
from harness_plugins.smtpo.tiny import TinySettings, make_model, make_tokenizer
from harness_plugins.trainers.smtpo import sft_stage
from harness_plugins.trainers.smtpo.context import StageContext
from harness_plugins.trainers.smtpo.lm import Example, LmSettings, fine_tune
from harness_plugins.trainers.smtpo.muon import MuonAdamW, orthogonalised

FILMS = Catalogue(
    [
        Item("a", "Alpha", 1981, {"genre": ("Science Fiction",), "director": ("Ana Sól",)}),
        Item("b", "Beta", 1982, {"genre": ("horror",), "director": ("Bo Li",)}),
    ]
)
SHAPE = TinySettings(width=16, layers=1, heads=2, inner=32, context=128, pieces=300)
TEXTS = ["I want horror", "who likes science fiction", "yes", "no"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer(TEXTS, FILMS, ["[C01]", "[C02]", "<answer>"], SHAPE.pieces)


def rows(count: int = 10_000, fail_at: int | None = None) -> Iterator[Example]:
    for number in range(count):
        if number == fail_at:
            raise KeyboardInterrupt
        yield Example("who likes horror", "yes") if number % 2 else Example("who likes science fiction", "no")


def settings(**changed: Any) -> LmSettings:
    kept: dict[str, Any] = {"steps": 6, "batch": 4, "learning_rate": 1e-2, "optimizer": "muon", "check_every": 2, "warmup": 0.0}
    return LmSettings(**{**kept, "schedule": "constant_with_warmup", "threads": 1, **changed})


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_value_is_one_token_whatever_its_case_and_the_rest_is_spelled(tokenizer: Any) -> None:
    ids = tokenizer("[C01] science FICTION Ana Sól")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[C01]", "science fiction", "ana sól"]
    unknown = tokenizer("Zoë 中 horrors")["input_ids"]
    assert tokenizer.unk_token_id not in unknown
    assert tokenizer.decode(unknown).strip() == "zoë 中 horrors"
    again = make_tokenizer(TEXTS, FILMS, ["[C01]", "[C02]", "<answer>"], SHAPE.pieces)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_the_loss_is_the_answers_mean_weighted(tokenizer: Any, tmp_path: Path) -> None:
    model = make_model(tokenizer, SHAPE, 1)
    seen: list[float] = []

    def step(done: int, total: int, values: dict[str, float]) -> None:
        seen.extend(values[name] for name in ("loss",) if name in values)

    example = Example("who likes horror", "yes")
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": example.prompt}], add_generation_prompt=True)
    prompt = prompt["input_ids"] if not isinstance(prompt, list) else prompt
    answer = tokenizer("yes")["input_ids"] + [tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(answer)).item()
    # Longer prompts beside it are padding's business: they must not change its loss.
    once = settings(steps=1, batch=1, check_every=1, learning_rate=1e-12, muon_learning_rate=1e-12)
    fine_tune(model, tokenizer, lambda: iter([example] * 3), [], once, tmp_path / "one", seed=0, step=step)
    assert seen[-1] == pytest.approx(expected, rel=1e-4)
    halved = Example(example.prompt, example.completion, weight=0.5)
    fine_tune(model, tokenizer, lambda: iter([halved] * 3), [], once, tmp_path / "half", seed=0, step=step)
    assert seen[-1] == pytest.approx(expected / 2, rel=1e-4)


def test_a_killed_training_goes_on_to_the_same_weights(tokenizer: Any, tmp_path: Path) -> None:
    held_out = list(rows(2))
    whole, killed = (make_model(tokenizer, SHAPE, 3) for _ in range(2))
    report = fine_tune(whole, tokenizer, rows, held_out, settings(), tmp_path / "whole", seed=5)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(killed, tokenizer, lambda: rows(fail_at=17), held_out, settings(), tmp_path / "killed", seed=5)
    fresh = make_model(tokenizer, SHAPE, 3)
    again = fine_tune(fresh, tokenizer, rows, held_out, settings(), tmp_path / "killed", seed=5)
    assert torch.equal(weights(fresh), weights(whole))
    assert again.curve == report.curve
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]


def test_a_model_that_was_stored_in_half_precision_is_trained_in_full(tokenizer: Any, tmp_path: Path) -> None:
    whole, half = make_model(tokenizer, SHAPE, 3).half().float(), make_model(tokenizer, SHAPE, 3).half()
    for name, model in (("whole", whole), ("half", half)):
        fine_tune(model, tokenizer, rows, [], settings(steps=2), tmp_path / name, seed=5)
    assert torch.equal(weights(whole), weights(half))
    assert bool(weights(half).isfinite().all())


def test_no_example_and_a_loss_that_is_no_number_are_told(tokenizer: Any, tmp_path: Path) -> None:
    model = make_model(tokenizer, SHAPE, 1)
    with pytest.raises(DataError, match="no training example of at most 16 tokens"):
        fine_tune(
            model, tokenizer, lambda: iter([Example("horror " * 40, "yes")]), [], settings(max_length=16), tmp_path, seed=0
        )
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(math.nan)
    with pytest.raises(HarnessError, match="smaller learning rate"):
        fine_tune(model, tokenizer, rows, [], settings(), tmp_path / "nan", seed=0)


@pytest.mark.parametrize("simulator", [("rule", {}), None])
def test_the_stage_tells_at_once_which_earlier_one_is_missing(simulator: Any, tmp_path: Path) -> None:
    split = Split("train", (), (), FILMS)
    context = StageContext(
        stage="sft",
        train=split,
        validation=split,
        dataset="films",
        work=tmp_path,
        log_file=tmp_path / "log",
        simulator=simulator,
    )
    with pytest.raises(UsageError, match="needs the artefact of stage retriever"):
        sft_stage.run(context, sft_stage.Settings(fresh=1.0), tmp_path / "out")
    with_retriever = msgspec.structs.replace(context, done={"retriever": tmp_path}, simulator=None)
    with pytest.raises(UsageError, match="needs the artefact of stage simulator"):
        sft_stage.run(with_retriever, sft_stage.Settings(fresh=1.0), tmp_path / "out")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_weights_are_chosen_on_examples_of_every_source_that_is_learned_from(share: float, tmp_path: Path) -> None:
    made = {name: [Example(f"{name} {n}", "yes") for n in range(9)] for name in ("train", "validation")}
    for name, examples in made.items():
        (tmp_path / f"played-{name}.json").write_bytes(msgspec.json.encode(examples))

    class Worlds:
        def split(self, name: str, given: dict[str, Any]) -> Split:
            if not share:
                raise UsageError("no fresh worlds are to be made")
            return fresh_split(given["fresh"], given["users"])

    splits = {name: Split(name, (), (), FILMS) for name in made}
    context = StageContext(
        stage="sft",
        dataset="films",
        work=tmp_path,
        log_file=tmp_path / "log",
        resources=Worlds(),
        **splits,  # type: ignore[arg-type]
    )
    chosen = sft_stage.Settings(fresh=share, world=8, validation=4, lm=settings(steps=2, batch=4))
    examples, held_out = sft_stage._data(context, chosen, Prompter(Prompting(), "film"))
    dealt = int(4 * share)
    assert len(held_out) == 4
    assert held_out[dealt:] == made["validation"][: 4 - dealt]
    assert all("[C20]" in each.prompt for each in held_out[:dealt])
    stream = list(itertools.islice(examples(), 8))
    assert all(each in made["train"] for each in stream[2 * dealt :])
    assert not any(each in made["train"] for each in stream[: 2 * dealt])


def test_muon_turns_a_gradient_into_a_nearly_orthogonal_step() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((8, 24), (24, 8)):
        singular = torch.linalg.svdvals(orthogonalised(torch.randn(*shape, generator=generator)))
        assert singular.min() > 0.6
        assert singular.max() < 1.3
    weight, gain = torch.nn.Parameter(torch.eye(4)), torch.nn.Parameter(torch.ones(4))
    optimizer = MuonAdamW([("layer.weight", weight), ("norm.weight", gain)], muon_lr=0.1, adamw_lr=0.01)
    (weight.sum() + gain.sum()).backward()
    optimizer.step()
    assert gain.tolist() == pytest.approx([0.99] * 4)  # AdamW's first step is the learning rate
    assert not torch.equal(weight, torch.eye(4))
    kept = optimizer.state_dict()
    other = MuonAdamW([("layer.weight", weight), ("norm.weight", gain)], muon_lr=0.1, adamw_lr=0.01)
    other.load_state_dict(kept)
    assert torch.equal(other.state[weight]["average"], optimizer.state[weight]["average"])
