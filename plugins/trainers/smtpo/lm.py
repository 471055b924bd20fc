"""Supervised fine-tuning of a causal language model by TRL's SFTTrainer: loss on the answers alone, resumable.

One function for all sizes: a tiny model made on the spot with Muon on a CPU, a 7B model with LoRA in bf16 on GPUs (then run by
`accelerate launch`). Examples stream: they are made while the model trains.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from harness.errors import DataError, HarnessError

from .checkpoints import last_whole
from .processes import Processes


class Example(msgspec.Struct, frozen=True):
    """A prompt (one user message), the answer, and how much its tokens count in the loss.

    `given` is how the answer begins without being learned: the item that a verdict is about.
    """

    prompt: str
    completion: str
    weight: float = 1.0
    given: str = ""


class LmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a language model is fine-tuned."""

    steps: Annotated[int, msgspec.Meta(ge=1)] = 1000
    batch: Annotated[int, msgspec.Meta(ge=1, description="examples per device and step")] = 32
    accumulate: Annotated[int, msgspec.Meta(ge=1, description="steps of gradients that are summed")] = 1
    optimizer: Literal["muon", "adamw"] = "adamw"
    learning_rate: Annotated[float, msgspec.Meta(gt=0, description="of AdamW (with muon: of embeddings and gains)")] = 5e-5
    muon_learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.02
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "cosine"
    warmup: Annotated[float, msgspec.Meta(ge=0, lt=1, description="share of the steps")] = 0.03
    clip: Annotated[float, msgspec.Meta(gt=0, description="largest norm of a gradient")] = 1.0
    max_length: Annotated[int, msgspec.Meta(ge=16, description="tokens of prompt and answer; longer examples are left out")] = (
        1024
    )
    check_every: Annotated[int, msgspec.Meta(ge=1, description="steps between checkpoints and validation losses")] = 200
    bf16: bool = False
    gradient_checkpointing: bool = False
    lora_rank: Annotated[int, msgspec.Meta(ge=0, description="0: all weights are trained")] = 0
    lora_alpha: Annotated[int, msgspec.Meta(ge=1)] = 32
    threads: Annotated[int, msgspec.Meta(ge=0, description="CPU threads; 0: as torch chooses")] = 0


class Report(msgspec.Struct, frozen=True):
    """What came of it: the validation curve, oldest first, and the step that was kept."""

    steps: int
    curve: tuple[dict[str, float], ...]
    best_step: int


def fine_tune(
    model: Any,
    tokenizer: Any,
    examples: Callable[[], Iterator[Example]],
    validation: Sequence[Example],
    settings: LmSettings,
    work: Path,
    *,
    seed: int,
    step: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Report:
    """Train `model` in place; at the end it has the weights of the lowest validation loss.

    `examples()` gives the same endless (or long enough) stream each time it is called; after a kill it is read again up to
    the checkpoint in `work`. Raises DataError for no usable example, HarnessError when the loss is no number.
    """
    import torch
    from datasets import Dataset, IterableDataset
    from transformers import TrainerCallback, set_seed
    from transformers.utils import logging
    from trl import SFTConfig, SFTTrainer

    if settings.threads:
        torch.set_num_threads(settings.threads)
    if model.dtype == torch.float16:
        model.float()  # an optimiser's small numbers are zero in half precision
    on_gpu = torch.cuda.is_available()

    def encoded(source: Iterator[Example]) -> Iterator[dict[str, Any]]:
        for example in source:
            row = _encode(tokenizer, example)
            if len(row["input_ids"]) <= settings.max_length:
                yield row

    held_out = list(encoded(iter(validation)))
    if next(encoded(examples()), None) is None:
        raise DataError(f"there is no training example of at most {settings.max_length} tokens")

    class Told(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is not None and not math.isfinite(float(loss)):
                raise HarnessError(
                    f"the loss is {loss} at step {state.global_step}: take a smaller learning rate"
                    " (learning_rate, muon_learning_rate)"
                )
            if step is not None and state.global_step:
                known = {name: float(logs[name]) for name in ("loss", "eval_loss") if logs and name in logs}
                step(state.global_step, settings.steps, known)

    class Weighted(SFTTrainer):
        """TRL's trainer with a weight per example, and vocabulary logits only where there is something to learn.

        The prompt is three quarters of a sequence here: leaving out its logits halves the cost of a step on a CPU.
        """

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            labels, weights = inputs["labels"], inputs["weight"]
            # Rows are padded on the left, so that what is learned stands at the end: its logits alone are computed.
            kept = int((labels != -100).sum(1).max()) + 1
            outputs = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                position_ids=(inputs["attention_mask"].cumsum(1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=kept,
            )
            targets = labels[:, -kept + 1 :]
            losses = torch.nn.functional.cross_entropy(
                outputs.logits[:, :-1].float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none"
            )
            total = (losses.view(targets.shape) * weights[:, None]).sum()
            tokens = (targets != -100).sum() if num_items_in_batch is None else num_items_in_batch
            loss = total / torch.as_tensor(tokens).clamp(min=1)
            return (loss, outputs) if return_outputs else loss

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TRL itself sets what transformers renames
        arguments = SFTConfig(
            output_dir=str(work),
            max_steps=settings.steps,
            per_device_train_batch_size=settings.batch,
            per_device_eval_batch_size=settings.batch,
            gradient_accumulation_steps=settings.accumulate,
            learning_rate=settings.learning_rate,
            lr_scheduler_type=settings.schedule,
            warmup_steps=int(settings.warmup * settings.steps),
            max_grad_norm=settings.clip,
            bf16=settings.bf16,
            fp16=False,
            use_cpu=not on_gpu,
            gradient_checkpointing=settings.gradient_checkpointing,
            max_length=None,
            logging_steps=max(1, settings.check_every // 4),
            eval_strategy="steps" if held_out else "no",
            eval_steps=settings.check_every,
            save_strategy="steps",
            save_steps=settings.check_every,
            save_total_limit=2,
            load_best_model_at_end=bool(held_out),
            metric_for_best_model="eval_loss" if held_out else None,
            greater_is_better=False,
            seed=seed,
            data_seed=seed,
            remove_unused_columns=False,
            logging_nan_inf_filter=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=on_gpu,
        )
    peft_config = None
    if settings.lora_rank:
        from peft import LoraConfig

        peft_config = LoraConfig(
            r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    optimizers: tuple[Any, Any] = (None, None)
    if settings.optimizer == "muon":
        from .muon import MuonAdamW

        optimizers = (
            MuonAdamW(model.named_parameters(), muon_lr=settings.muon_learning_rate, adamw_lr=settings.learning_rate),
            None,
        )
    set_seed(seed)
    logging.disable_progress_bar()
    trainer = Weighted(
        model=model,
        args=arguments,
        train_dataset=IterableDataset.from_generator(_Stream(lambda: encoded(examples()))),
        eval_dataset=Dataset.from_list(held_out) if held_out else None,
        processing_class=tokenizer,
        data_collator=_Collator(tokenizer.pad_token_id),
        peft_config=peft_config,
        optimizers=optimizers,
        callbacks=[Told()],
    )
    _quiet(trainer)
    last = last_whole(work, remove_torn=Processes().first)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    curve = tuple(
        {"step": float(entry["step"]), "loss": float(entry["eval_loss"])}
        for entry in trainer.state.log_history
        if "eval_loss" in entry
    )
    best = min(curve, key=lambda point: point["loss"])["step"] if curve else settings.steps
    return Report(trainer.state.global_step, curve, int(best))


def _encode(tokenizer: Any, example: Example) -> dict[str, Any]:
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": example.prompt}], add_generation_prompt=True, tokenize=False
    )
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if example.given:
        before = before + tokenizer(example.given, add_special_tokens=False)["input_ids"]
    answer = tokenizer(example.completion, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return {
        "input_ids": before + answer,
        "labels": [-100] * len(before) + answer,
        "weight": example.weight,
    }


class _Stream:
    """A generator function that `datasets` can hash: it pickles what it is handed for that, and what examples are made of may
    not be pickled. The hash is a name for a cache that streams don't use."""

    def __init__(self, rows: Callable[[], Iterator[dict[str, Any]]]) -> None:
        self._rows = rows

    def __call__(self) -> Iterator[dict[str, Any]]:
        return self._rows()

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("stream",)


class _Collator:
    """Left padding: what is learned stands at the end of every row."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        import torch

        longest = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, filler: int) -> Any:
            return torch.tensor([[filler] * (longest - len(row[name])) + row[name] for row in rows])

        mask = [[0] * (longest - len(row["input_ids"])) + [1] * len(row["input_ids"]) for row in rows]
        return {
            "input_ids": padded("input_ids", self._pad),
            "labels": padded("labels", -100),
            "attention_mask": torch.tensor(mask),
            "weight": torch.tensor([float(row["weight"]) for row in rows]),
        }


def _quiet(trainer: Any) -> None:
    """Progress is told by the harness."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
