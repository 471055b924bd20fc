"""Stage `rl`: multi-turn GRPO of the reasoning recommender, from the weights of stage `sft`, against the trained simulator.

Started by one process, or by several (`accelerate launch`, `torchrun`): every process plays its part of the rollouts. The
weights that are kept are those of the best validation NDCG@10 at the last turn (greedy, through the same runner), the start
included.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final, Literal

import msgspec

from harness.errors import UsageError

from ....recommenders.smtpo.prompt import Prompting
from ....recommenders.smtpo.recommender import Options
from ..checkpoints import last_whole
from ..context import StageContext
from ..evaluation import load_retriever
from ..failures import finite
from ..sft_stage import sample
from .keeping import Progress, best_folder, measured, save_recommender
from .players import environments
from .policy import EngineGenerate, Generate, Player, Recorder, ServerGenerate
from .rollout import Rollouts
from .settings import RlSettings

DISTRIBUTED: Final = True
"""Every process of a distributed training takes part."""


class Settings(RlSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the language model is trained. Rows of a step: scenarios x group x the longest horizon."""

    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-6
    optimizer: Literal["adamw", "muon"] = "adamw"
    muon_learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    iterations: Annotated[int, msgspec.Meta(ge=1, description="steps taken on one batch of rollouts (mu)")] = 1
    micro_batch: Annotated[
        int, msgspec.Meta(ge=1, description="rows of one forward pass and device; must divide a process's rows")
    ] = 48
    temperature: Annotated[float, msgspec.Meta(gt=0, description="of the rollouts")] = 1.0
    level: Annotated[
        Literal["auto", "token", "item"],
        msgspec.Meta(description="unit of the ratio: token, or an item of the list; auto: item with rank-grpo"),
    ] = "auto"
    warmup: Annotated[int, msgspec.Meta(ge=0, description="steps")] = 0
    max_grad_norm: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    generate_rows: Annotated[int, msgspec.Meta(ge=1, description="answers generated at the same time, at most")] = 128
    bf16: bool = False
    gradient_checkpointing: bool = False
    lora_rank: Annotated[int, msgspec.Meta(ge=0, description="0: all weights are trained")] = 0
    lora_alpha: Annotated[int, msgspec.Meta(ge=1)] = 32
    vllm: Annotated[str, msgspec.Meta(description="address of a `trl vllm-serve` for the rollouts; empty: generated here")] = ""
    threads: Annotated[int, msgspec.Meta(ge=0, description="CPU threads; 0: as torch chooses")] = 0
    control_steps: Annotated[int, msgspec.Meta(ge=0, description="sft-continued: steps; 0: by control_seconds")] = 0
    control_seconds: Annotated[
        float, msgspec.Meta(ge=0, description="sft-continued: CPU seconds to spend, those of the RL that it is compared with")
    ] = 0.0
    control_scale: Annotated[
        float, msgspec.Meta(gt=0, description="sft-continued: factor on the learning rates of stage sft")
    ] = 0.3


def run(context: StageContext, settings: Settings, out: Path) -> None:
    """Makes the artefact `out`; goes on from the last checkpoint. Raises UsageError where a part is missing."""
    if settings.method == "sft-continued":
        from .control import run as run_control

        run_control(context, settings, out)
        return
    Stage(context, settings, out).run()


class Stage:
    """The training with everything around it."""

    def __init__(self, context: StageContext, settings: Settings, out: Path) -> None:
        import torch
        from transformers import AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.context, self.settings, self.out = context, settings, out
        self.start = context.artifact("sft")
        self.tokenizer = AutoTokenizer.from_pretrained(str(self.start), local_files_only=True)
        self._retriever = load_retriever(context)
        self.worlds = environments(context, settings.held_out, max_turns=settings.check_turns)
        self.progress = Progress.load(context.work)
        self.began = time.process_time() - self.progress.seconds

    def run(self) -> None:
        """Train, then write the artefact."""
        trainer = self._trainer()
        last = last_whole(self.context.work / "checkpoints", remove_torn=self.context.first)
        at = 0 if last is None else int(last.name.rpartition("-")[2])
        self.progress.curve = [point for point in self.progress.curve if point["step"] <= at]
        if last is None and not self.progress.curve:
            self.validate(trainer, 0)
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        if self.context.first:
            save_recommender(self.context, self.out, self.start, self.progress, self.worlds[0].name)

    # ------------------------------------------------------------------------------------------------------------ parts

    def _trainer(self) -> Any:
        import torch
        from datasets import Dataset
        from transformers import AutoModelForCausalLM, PrinterCallback
        from trl import GRPOConfig

        from .grpo import TurnTrainer

        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        settings, context = self.settings, self.context
        model = AutoModelForCausalLM.from_pretrained(
            str(self.start), dtype=torch.bfloat16 if settings.bf16 else torch.float32, local_files_only=True
        )
        horizon = max(settings.horizon)
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        rows = settings.scenarios * settings.group * horizon
        accumulate, over = divmod(rows, settings.micro_batch * processes)
        if over:
            raise UsageError(
                f"a step has {rows} rows (scenarios x group x longest horizon): rl.micro_batch={settings.micro_batch} times "
                f"{processes} processes must divide that"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL itself sets what transformers renames
            arguments = GRPOConfig(
                output_dir=str(context.work / "checkpoints"),
                max_steps=settings.steps,
                per_device_train_batch_size=settings.micro_batch,
                gradient_accumulation_steps=accumulate,
                steps_per_generation=accumulate,
                num_generations=settings.group * horizon,
                num_iterations=settings.iterations,
                learning_rate=settings.learning_rate,
                lr_scheduler_type="constant_with_warmup",
                warmup_steps=settings.warmup,
                adam_beta2=0.99,
                max_grad_norm=settings.max_grad_norm,
                temperature=settings.temperature,
                beta=settings.beta,
                epsilon=settings.clip_low,
                epsilon_high=settings.clip_high,
                loss_type="dapo",
                use_bias_correction_kl=False,
                scale_rewards="none",
                max_completion_length=1024,
                bf16=settings.bf16,
                use_cpu=not torch.cuda.is_available(),
                gradient_checkpointing=settings.gradient_checkpointing,
                use_vllm=bool(settings.vllm),
                vllm_mode="server",
                vllm_server_base_url=settings.vllm or None,
                save_strategy="steps",
                save_steps=settings.check_every,
                save_total_limit=1,
                logging_steps=1,
                seed=context.seed,
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=torch.cuda.is_available(),
                remove_unused_columns=False,
                shuffle_dataset=False,
            )
        ranked = settings.ranks != "off"
        optimizers: tuple[Any, Any] = (None, None)
        if settings.optimizer == "muon":
            from ..muon import MuonAdamW

            parts = MuonAdamW(model.named_parameters(), muon_lr=settings.muon_learning_rate, adamw_lr=settings.learning_rate)
            optimizers = (parts, None)
        watch = _callback(self)
        trainer = TurnTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": self._order()}),
            processing_class=self.tokenizer,
            peft_config=self._lora(),
            optimizers=optimizers,
            callbacks=[watch],
            rl=settings,
            level=("item" if ranked else "token") if settings.level == "auto" else settings.level,
            rollouts=self._rollouts,
        )
        trainer.remove_callback(PrinterCallback)
        watch.trainer = trainer
        return trainer

    def _order(self) -> list[str]:
        """Ids of the scenarios of every step, in one go: an order that a resumed training finds again. None twice in a step."""
        settings = self.settings
        names = [scenario.id for scenario in self.context.train.scenarios]
        if len(names) < settings.scenarios:
            raise UsageError(f"there are {len(names)} training scenarios, fewer than rl.scenarios={settings.scenarios}")
        ordered: list[str] = []
        for epoch in range(settings.steps):
            if len(ordered) >= settings.steps * settings.scenarios:
                break
            Random(f"{self.context.seed}/{epoch}").shuffle(names)
            ordered += names[: len(names) - len(names) % settings.scenarios]
        return ordered[: settings.steps * settings.scenarios]

    def _lora(self) -> Any:
        if not self.settings.lora_rank:
            return None
        from peft import LoraConfig

        return LoraConfig(
            r=self.settings.lora_rank,
            lora_alpha=self.settings.lora_alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )

    def _rollouts(self, trainer: Any) -> Rollouts:
        answers = self.settings.group if self.settings.credit == "state-group" else 1
        player = self.player(trainer, self.settings.temperature, answers)
        nothing = int(self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id)
        return Rollouts(self.worlds[0], player, list(self.context.train.scenarios), nothing)

    def player(self, trainer: Any, temperature: float, answers: int = 1) -> Player:
        """The recommender as it is evaluated, but for its language model: the one under training."""
        generate: Generate
        if self.settings.vllm:
            from trl.generation.vllm_client import VLLMClient

            generate = ServerGenerate(VLLMClient(base_url=self.settings.vllm), self.tokenizer)
        else:
            generate = EngineGenerate(
                lambda: trainer.accelerator.unwrap_model(trainer.model_wrapped),
                self.tokenizer,
                rows=self.settings.generate_rows,
            )
        recorder = Recorder(generate, self.tokenizer, temperature=temperature, answers=answers)
        return Player(Options(), Prompting.load(self.start), self._retriever, recorder, self.context.train.catalogue)

    # ------------------------------------------------------------------------------------------------------- validation

    def validate(self, trainer: Any, step: int) -> bool:
        """Greedy dialogues of validation scenarios, with both simulators; keeps the weights if they are the best so far."""
        settings, context = self.settings, self.context
        player = self.player(trainer, 0.0)
        chosen = sample(context.validation, settings.check_scenarios, 0)
        point = measured(self.worlds, player, chosen, settings.check_turns, step)
        self.progress.curve.append(point)
        better = point["ndcg@10"] > self.progress.best_value
        if better:
            self.progress.best_value, self.progress.best_step = point["ndcg@10"], step
            if step:
                trainer.save_model(str(best_folder(context.work, step)))
        if context.first:
            self.progress.seconds = time.process_time() - self.began
            context.log(validation=point)
            self.progress.save(context.work)
        context.say(f"step {step}: " + ", ".join(f"{name} {value:.3f}" for name, value in point.items() if name != "step"))
        return better


def _callback(stage: Stage) -> Any:
    from transformers import TrainerCallback

    settings, context = stage.settings, stage.context

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Validates, logs, stops early, and refuses numbers that are none."""

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            told = logs or {}
            if "loss" not in told:
                return
            for name in ("loss", "grad_norm"):
                if told.get(name) is not None:
                    finite(float(told[name]), name.replace("_", " "), state.global_step)
            values = {name.removeprefix("smtpo/"): v for name, v in told.items() if name.startswith("smtpo/")}
            values |= {"loss": told["loss"], "grad_norm": told.get("grad_norm")}
            if context.first:
                context.log(step=state.global_step, **values)
            shown = {name: values[name] for name in ("reward", "reward/format") if name in values}
            context.step(state.global_step, settings.steps, **shown)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            step = state.global_step
            if step % settings.check_every and step != settings.steps:
                return
            stage.validate(self.trainer, step)
            patience = settings.patience * settings.check_every
            if patience and step - max(0, stage.progress.best_step) >= patience:
                control.should_training_stop = True

        trainer: Any = None

    return Watch()
