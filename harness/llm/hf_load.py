"""Loading a local model: tokenizer, weights, adapter, device and number format."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from harness.errors import described
from harness.llm.api import LlmError

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class HfOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `hf:MODEL_OR_PATH`."""

    dtype: Annotated[Dtype, msgspec.Meta(description="auto: bfloat16 on CUDA, float32 elsewhere")] = "auto"
    device: Annotated[str, msgspec.Meta(description="auto: cuda if there is one, else cpu; or cpu, cuda:1, mps")] = "auto"
    device_map: Annotated[
        str | None, msgspec.Meta(description="spread the layers over devices: auto, balanced, sequential (needs accelerate)")
    ] = None
    adapter: Annotated[
        str | None, msgspec.Meta(description="folder of a LoRA adapter (needs peft); merged into the weights")
    ] = None
    revision: Annotated[str | None, msgspec.Meta(description="branch, tag or commit of a model of the hub")] = None
    chat_template: Annotated[str | None, msgspec.Meta(description="Jinja file to use instead of the model's own")] = None
    thinking: Annotated[
        bool | None, msgspec.Meta(description="passed to templates as enable_thinking; none: their own way")
    ] = None
    max_batch: Annotated[int, msgspec.Meta(ge=1, description="dialogues computed at the same time, at most")] = 64
    max_batch_tokens: Annotated[
        int, msgspec.Meta(ge=1, description="tokens of prompts and answers held at the same time, at most (memory)")
    ] = 65_536
    prefix_cache: Annotated[
        bool, msgspec.Meta(description="keep what was computed for up to max_batch_tokens tokens of earlier prompts")
    ] = True
    threads: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="CPU threads; none: one for models under 20 million parameters, else as torch chooses"),
    ] = None
    exact: Annotated[
        bool,
        msgspec.Meta(description="float32 only: compute near ties alone, so that no text depends on what else is in the batch"),
    ] = True
    temperature: Annotated[
        Annotated[float, msgspec.Meta(ge=0)] | None, msgspec.Meta(description="instead of what the component asks")
    ] = None
    top_p: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=1)] | None, msgspec.Meta(description="instead of what the component asks")
    ] = None
    max_tokens: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="tokens of an answer at most, instead of what the component asks"),
    ] = None


class Loaded(msgspec.Struct, frozen=True):
    """A model ready to be called. `device` is where token ids go; `context` the longest sequence, None if it isn't known."""

    model: Any
    tokenizer: Any
    device: Any
    exact: bool
    end_tokens: frozenset[int]
    context: int | None
    arguments: frozenset[str]
    """Names that the model's forward takes."""


def place(options: HfOptions) -> tuple[str, str]:
    """Device and number format that "auto" stands for here. Raises LlmError for a device that isn't there."""
    import torch

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise LlmError(f"option device={device}: torch knows no such device; it takes auto, cpu, cuda, cuda:0, ...") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}.get(kind, True)
    if not there:
        raise LlmError(f"option device={device}: there is no such device here; device=cpu always works")
    if options.dtype != "auto":
        return device, options.dtype
    if kind != "cuda":
        return device, "float32"
    return device, "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def load(folder: Path, adapter: Path | None, template: str | None, options: HfOptions) -> Loaded:
    """Read everything from a model's folder. Code of the model's own is never run, pickles are never read.

    Raises LlmError with what is wrong and what to do.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device, dtype = place(options)
    if options.device_map is not None and importlib.util.find_spec("accelerate") is None:
        raise LlmError(f"option device_map={options.device_map} needs the package accelerate: pip install accelerate")
    if adapter is not None and importlib.util.find_spec("peft") is None:
        raise LlmError(f"option adapter={options.adapter} needs the package peft: pip install peft")
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with _quiet(), _explained():
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **safe)
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=getattr(torch, dtype), use_safetensors=True, device_map=options.device_map, **safe
        )
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter), local_files_only=True).merge_and_unload()
        if options.device_map is None:
            model = model.to(device)
    model.eval()
    _check_cache(model)
    if template is not None:
        tokenizer.chat_template = template
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        device=_entrance(model, device),
        exact=options.exact and _is_exact(model, dtype),
        end_tokens=_end_tokens(model, tokenizer),
        context=getattr(model.config.get_text_config(), "max_position_embeddings", None),
        arguments=frozenset(inspect.signature(model.forward).parameters),
    )


def _entrance(model: Any, device: str) -> Any:
    """Where token ids go: to the embeddings, which device_map may have put anywhere."""
    import torch

    weights = model.get_input_embeddings().weight.device
    return torch.device(device) if weights.type == "meta" else weights


def _is_exact(model: Any, dtype: str) -> bool:
    """Whether sums are rounded as finely as `hf_engine.MARGIN` assumes: float32 without TF32, weights as they are."""
    import torch

    quantised = getattr(model.config, "quantization_config", None) is not None
    return dtype == "float32" and not quantised and torch.get_float32_matmul_precision() == "highest"


def _check_cache(model: Any) -> None:
    """Rows of different lengths are moved in and out of a batch, which a recurrent state can't do."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = DynamicCache(config=model.config).layers
    if not layers or not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        kind = model.config.model_type
        raise LlmError(
            f"models of type {kind} keep more than keys and values between tokens, which the hf backend can't batch;"
            " serve it (vLLM, say) and use openai:MODEL with base_url=..."
        )


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: those of the generation configuration and the tokenizer's own."""
    ends: set[int] = set()
    for value in (getattr(model.generation_config, "eos_token_id", None), model.config.eos_token_id, tokenizer.eos_token_id):
        if value is not None:
            ends.update(value if isinstance(value, (list, tuple)) else [value])
    return frozenset(ends)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What can go wrong with a stranger's files, in one line."""
    try:
        yield
    except LlmError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            raise LlmError("it doesn't fit into memory: take another device, device_map=auto or a smaller model") from None
        text = described(error)
        if "trust_remote_code" in text:
            raise LlmError(
                "it needs code of its own (trust_remote_code), which the harness never runs; serve it, and use openai:MODEL"
                " with base_url=..."
            ) from None
        raise LlmError(f"it can't be loaded: {type(error).__name__}: {text[:300]}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar of transformers in the middle of the harness's own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
