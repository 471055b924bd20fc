"""The `hf:` backend beside a bare `model.generate` loop over the same weights, and what batching does to its texts.

Tiny random models, made here. Bare generate gets its prompts as ready token ids, padded to a batch; the backend gets messages,
as in a run. Both decode greedily until the end token or the limit; tokens are counted up to the end token. Every round has
prompts of its own, so that nothing is known from the round before. Both compute in one thread: at this size a second one waits
for the first more than it helps, and on a busy machine the waiting is all that one measures.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.llm import ChatMessage, ChatRequest, Completion
from harness.llm.hf import HfModel
from harness.llm.hf_load import HfOptions
from tests.llm import tiny_model

DIALOGUES, ALONE, LIMIT, TURNS, REPEATS = 64, 8, 64, 4, 5
SIZES = ({"hidden": 64, "layers": 2}, {"hidden": 128, "layers": 4})


def main() -> list[dict[str, Any]]:
    """Rows: tokens per second one at a time and 64 at once, bare and through the backend; then prefix reuse; then exactness."""
    import torch

    torch.set_num_threads(1)
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = tiny_model.make(Path(name), **size)
            rows += _throughput(folder) + _turns(folder) + _exactness(folder)
    return rows


def prompts(count: int, round_: int) -> list[tuple[ChatMessage, ...]]:
    """Prompts of about 40 to 140 tokens."""
    system = ChatMessage("system", "You want a film.")
    texts = [tiny_model.sentence(20 + (n * 37 + round_) % 80, 1_000 * round_ + n) for n in range(count)]
    return [(system, ChatMessage("user", text)) for text in texts]


def _throughput(folder: Path) -> list[dict[str, Any]]:
    model = HfModel(str(folder), HfOptions(threads=1))
    loaded = model._worker.load()
    parameters = sum(p.numel() for p in loaded.model.parameters()) / 1e6

    def through(count: int, together: bool) -> Callable[[int], int]:
        def measured(round_: int) -> int:
            requests = [ChatRequest(messages, max_tokens=LIMIT) for messages in prompts(count, round_)]
            return sum(answer.usage.completion_tokens for answer in asyncio.run(_ask(model, requests, together)))

        return measured

    def bare(count: int, together: bool) -> Callable[[int], int]:
        def measured(round_: int) -> int:
            ids = [_ids(loaded.tokenizer, messages) for messages in prepared[round_][:count]]
            batches = [ids] if together else [[one] for one in ids]
            return sum(_generate(loaded, batch) for batch in batches)

        return measured

    prepared = {round_: prompts(DIALOGUES, round_) for round_ in range(-1, REPEATS)}
    speeds = _speeds(
        {
            "bare generate, one at a time": bare(ALONE, False),
            "hf, one at a time": through(ALONE, False),
            f"bare generate, batch of {DIALOGUES}": bare(DIALOGUES, True),
            f"hf, {DIALOGUES} dialogues": through(DIALOGUES, True),
        }
    )
    asyncio.run(model.close())
    names = list(speeds)
    return [
        {
            "benchmark": "local_model",
            "what": f"{parameters:.1f} M: {name}",
            "tokens_s": speeds[name],
            "of_bare": speeds[name] / speeds[names[2 * (at // 2)]],
            "times_one": speeds[name] / speeds[names[at % 2]],
        }
        for at, name in enumerate(names)
    ]


def _turns(folder: Path) -> list[dict[str, Any]]:
    """Dialogues of several turns, each prompt repeating the one before: what keeping the computed beginnings brings."""
    models = {kept: HfModel(str(folder), HfOptions(prefix_cache=kept, threads=1)) for kept in (False, True)}
    for model in models.values():
        model.load()
    speeds = _speeds({f"{TURNS} turns, prefix cache {k}": lambda r, m=m: asyncio.run(_play(m, r)) for k, m in models.items()})
    for model in models.values():
        asyncio.run(model.close())
    floor = next(iter(speeds.values()))
    return [
        {"benchmark": "local_model", "what": what, "tokens_s": speed, "of_bare": None, "times_one": None, "gain": speed / floor}
        for what, speed in speeds.items()
    ]


def _exactness(folder: Path) -> list[dict[str, Any]]:
    """Texts of each request alone and among 63 others, greedy and sampled; how often a choice was made again alone."""
    rows = []
    for what, temperature in (("greedy", 0.0), ("temperature 1, top_p .9", 1.0)):
        model = HfModel(str(folder), HfOptions(threads=1))
        asked = [
            ChatRequest(m, max_tokens=LIMIT, temperature=temperature, top_p=0.9, seed=n)
            for n, m in enumerate(prompts(DIALOGUES, 7))
        ]
        together = asyncio.run(_ask(model, asked, True))
        alone = asyncio.run(_ask(model, asked, False))
        same = sum(one.text == other.text for one, other in zip(together, alone, strict=True))
        again = model._worker.rechecked / model._worker.choices
        asyncio.run(model.close())
        rows.append(
            {"benchmark": "local_model", "what": f"{what}: same texts of {DIALOGUES}", "same": same, "chosen_again": again}
        )
    rows.append({"benchmark": "local_model", "what": "largest logit error / largest logit", "error": _largest_error(folder)})
    return rows


async def _ask(model: HfModel, requests: Sequence[ChatRequest], together: bool) -> list[Completion]:
    if together:
        return await asyncio.gather(*map(model.chat, requests))
    return [await model.chat(request) for request in requests]


async def _play(model: HfModel, round_: int) -> int:
    async def dialogue(opening: tuple[ChatMessage, ...], number: int) -> int:
        messages, tokens = list(opening), 0
        for turn in range(TURNS):
            answer = await model.chat(ChatRequest(tuple(messages), max_tokens=LIMIT // 2))
            tokens += answer.usage.completion_tokens
            more = tiny_model.sentence(12, 10_000 * round_ + 100 * number + turn)
            messages += [ChatMessage("assistant", answer.text), ChatMessage("user", more)]
        return tokens

    return sum(await asyncio.gather(*(dialogue(opening, n) for n, opening in enumerate(prompts(DIALOGUES, round_)))))


def _ids(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[int]:
    plain = [{"role": m.role, "content": m.content} for m in messages]
    ids: list[int] = tokenizer.apply_chat_template(plain, add_generation_prompt=True, return_dict=False)
    return ids


def _generate(loaded: Any, batch: Sequence[list[int]]) -> int:
    """Tokens that `model.generate` gave for a batch of prompts."""
    import torch

    width = max(map(len, batch))
    ids = torch.tensor([[0] * (width - len(one)) + one for one in batch])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in batch])
    with torch.inference_mode():
        out = loaded.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=LIMIT, do_sample=False, pad_token_id=0, eos_token_id=2
        )
    return sum(row.index(2) + 1 if 2 in row else len(row) for row in out[:, width:].tolist())


def _largest_error(folder: Path) -> float:
    """Of the logits of a padded batch with a cache, against each row computed alone, as a part of the row's largest logit."""
    import torch

    from harness.llm import hf_cache

    model = HfModel(str(folder), HfOptions(threads=1))
    loaded = model._worker.load()
    rows = [_ids(loaded.tokenizer, messages) for messages in prompts(DIALOGUES, 9)]
    lengths, width, worst = [len(row) - 1 for row in rows], max(map(len, rows)) - 1, 0.0
    with torch.inference_mode():
        cache = hf_cache.empty()
        mask = hf_cache.mask(lengths, width, "cpu", extra=1)
        head = torch.tensor([[0] * (width - len(row) + 1) + row[:-1] for row in rows])
        hf_cache.logits(loaded, head, mask[:, :width], (mask[:, :width].cumsum(1) - 1).clamp_(min=0), cache)
        last = torch.tensor([row[-1:] for row in rows])
        batched = hf_cache.logits(loaded, last, mask, torch.tensor(lengths)[:, None], cache)[:, -1]
        for row, logits in zip(rows, batched, strict=True):
            alone = loaded.model(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1]
            worst = max(worst, float((alone - logits).abs().max() / alone.abs().max()))
    return worst


def _speeds(measured: dict[str, Callable[[int], int]]) -> dict[str, float]:
    """Median tokens per second of wall time. The rounds of all are interleaved, so that a busy machine is busy for all."""
    times: dict[str, list[float]] = {name: [] for name in measured}
    for round_ in range(-1, REPEATS):
        for name, work in measured.items():
            began = time.perf_counter()
            tokens = work(round_)
            if round_ >= 0:  # the first warms up
                times[name].append(tokens / (time.perf_counter() - began))
    return {name: statistics.median(found) for name, found in times.items()}
