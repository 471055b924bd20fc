"""A run as a log of Inspect (UK AI Security Institute): `inspect view` opens it.

An .eval log is a zip archive: `header.json` (the log without its samples), one JSON file per sample, `summaries.json` (the list
that the viewer shows first) and `_journal/start.json`; log format version 2. It is written sample by sample and needs no
inspect_ai. A sample's `messages` are the public conversation, word for word what the recommender could read and what it said.
Targets stand where Inspect keeps what is hidden from the system under test: in `target`, and in the scores.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.api import Message, TurnRecord, Usage
from harness.exchange.played import Played, PlayedDialogues, Turn

VERSION: Final = 2
UNKNOWN_TIME: Final = "1970-01-01T00:00:00+00:00"
HIDDEN: Final = "the recommender saw the messages and nothing else; it never saw the target"
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]{0,119}")
_THIN: Final = 500
"""Characters of a text in the list of samples."""


def write(played: PlayedDialogues, path: Path) -> None:
    """A zip archive, the same bytes for the same run."""
    spec = _spec(played)
    names = _sample_ids(played)
    done = 0
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as log, tempfile.SpooledTemporaryFile(1 << 20) as listed:
        _add(log, "_journal/start.json", {"version": VERSION, "eval": spec, "plan": _plan(played)})
        for number, dialogue in enumerate(played):
            sample = _sample(played, dialogue, names[dialogue.record.scenario])
            done += dialogue.status == "valid"
            _add(log, f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
            listed.write((b"," if number else b"[") + msgspec.json.encode(_summary(sample)))
        listed.write(b"]")
        listed.seek(0)
        with log.open(_entry("summaries.json"), "w") as summaries:
            while part := listed.read(1 << 20):
                summaries.write(part)
        started = spec["created"]
        header = {
            "version": VERSION,
            "status": "success",
            "eval": spec,
            "plan": _plan(played),
            "results": _results(played, done),
            "stats": {"started_at": started, "completed_at": started, "model_usage": _run_usage(played)},
        }
        _add(log, "header.json", header)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # without the time: equal runs give equal files
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _add(log: zipfile.ZipFile, name: str, content: Any) -> None:
    log.writestr(_entry(name), msgspec.json.encode(content))


def _sample_ids(played: PlayedDialogues) -> dict[str, str]:
    """Scenario -> sample id. A sample's file is called by its id: whatever isn't a plain name gets a number instead."""
    scenarios = dict.fromkeys(scenario for scenario, _ in played.keys)
    plain = {scenario for scenario in scenarios if _PLAIN_ID.fullmatch(scenario)}
    names = {}
    for number, scenario in enumerate(scenarios, 1):
        name = scenario
        if scenario not in plain:
            name = f"scenario-{number}"
            while name in plain:
                name += "_"
        names[scenario] = name
    return names


# ------------------------------------------------------------------------------------------------------------------- header


def _model(played: PlayedDialogues, role: str = "recommender") -> str:
    return f"{role}/{played.run[role]}"


def _spec(played: PlayedDialogues) -> dict[str, Any]:
    run = played.run
    name = f"{run['dataset']}/{run['variant']}"
    mark = hashlib.sha256(f"{run['fingerprint']} {run['recommender']}".encode()).hexdigest()
    scenarios = dict.fromkeys(scenario for scenario, _ in played.keys)
    return {
        "eval_id": mark[:22],
        "run_id": mark[22:44],
        "task_id": mark[42:64],
        "created": played.manifest.get("started", UNKNOWN_TIME),
        "task": f"{run['recommender']} x {run['simulator']}",
        "task_version": 0,
        "task_args": {
            key: str(run[key]) for key in ("simulator", "knowledge", "split", "variant", "preset", "protocol", "seed", "trials")
        },
        "tags": ["conversational-recommendation"],
        "dataset": {"name": name, "samples": len(scenarios)},
        "model": _model(played),
        "config": {"epochs": 1 + max(trial for _, trial in played.keys)},
        "packages": {},
        "metadata": {"written_by": "harness export --to inspect", "hidden": HIDDEN, **played.facts()},
        "scorers": [{"name": metric} for metric in played.headline],
    }


def _plan(played: PlayedDialogues) -> dict[str, Any]:
    protocol = {key: played.run[key] for key in ("recommender_options", "simulator_options")}
    return {"name": "dialogue", "steps": [{"solver": "dialogue", "params": protocol}]}


def _results(played: PlayedDialogues, done: int) -> dict[str, Any]:
    scores = []
    for line in (played.summary or {}).get("headline", []):
        metrics = {}
        if isinstance(line["value"], (int, float)):
            metrics["mean"] = {"name": "mean", "value": line["value"]}
            if isinstance(line["ci"], list):
                for name, bound in zip(("ci95_low", "ci95_high"), line["ci"], strict=True):
                    metrics[name] = {"name": name, "value": bound}
        scores.append(
            {
                "name": line["name"],
                "scorer": line["name"],
                "scored_samples": line["n"],
                "params": {"mean_over": line["average"]},
                "metrics": metrics,
                "metadata": {"source_dialogues": line["clusters"], "higher_is_better": line["higher_is_better"]},
            }
        )
    return {"total_samples": len(played), "completed_samples": done, "scores": scores}


def _run_usage(played: PlayedDialogues) -> dict[str, Any]:
    usage = (played.summary or {}).get("usage", {})
    return {
        _model(played, role): _tokens(msgspec.convert(usage[role], Usage))
        for role in ("recommender", "simulator")
        if role in usage and usage[role].get("calls")
    }


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


# ------------------------------------------------------------------------------------------------------------------ samples


def _sample(played: PlayedDialogues, dialogue: Played, name: str) -> dict[str, Any]:
    record = dialogue.record
    turns = list(dialogue.turns())
    context = [_context_message(message, f"c{n}") for n, message in enumerate(dialogue.context, 1)]
    messages = [*context, *(message for turn in turns for message in _turn_messages(played, turn))]
    said = [message for message in messages[len(context) :] if message["role"] == "assistant"]
    sample: dict[str, Any] = {
        "id": name,
        "epoch": record.trial + 1,
        "input": context or "",
        "target": played.titles(dialogue.targets) or "",
        "messages": messages,
        "output": {"model": _model(played), "choices": [{"message": said[-1], "stop_reason": "stop"}] if said else []},
        "metadata": {
            "scenario": record.scenario,
            "source_dialogue": record.source,
            "stop": record.stop,
            "status": dialogue.status,
            "turns": len(record.turns),
            "hidden": HIDDEN,
            "faults": [f"turn {f.turn}, {f.blame} {f.kind}: {f.message}" for f in record.faults],
            "leaks": [f"turn {n}: {title}" for n, t in enumerate(record.turns, 1) for title in played.titles(t.leaks)],
            "unscored": {m: why for m, why in dialogue.unscored().items() if m in played.headline},
        },
        "scores": _scores(played, dialogue, turns),
        "model_usage": _usage(played, record.turns),
        "total_time": sum(record.seconds.values()),
        "turn_count": len(record.turns),
    }
    if dialogue.status != "valid":
        text = f"{dialogue.status}: ended by {record.stop}; it is in no score"
        sample["error"] = {"message": text, "traceback": "", "traceback_ansi": ""}
    return sample


def _context_message(message: Message, mark: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": mark, "content": message.text, "source": "input"}
    return shown | {"role": "user" if message.role == "seeker" else "assistant"}


def _turn_messages(played: PlayedDialogues, turn: Turn) -> Iterable[dict[str, Any]]:
    record = turn.record
    if record is None:
        return
    content: list[dict[str, Any]] = []
    if record.reasoning:
        content.append({"type": "reasoning", "reasoning": record.reasoning})
    if record.text or not record.items:
        content.append({"type": "text", "text": record.text})
    if record.items:
        lines = [f"{n}. {' '.join(title.split())}" for n, title in enumerate(played.titles(record.items), 1)]
        content.append({"type": "text", "text": ("\n\n" if record.text else "") + "Ranked list:\n\n" + "\n".join(lines)})
    told = ("items", "unknown", "repeated", "dropped", "injection")
    facts = {"turn": turn.number} | {key: getattr(record, key) for key in told if getattr(record, key)}
    yield {
        "id": f"r{turn.number}",
        "role": "assistant",
        "content": content,
        "source": "generate",
        "model": _model(played),
        "metadata": facts,
    }
    if record.user_text is not None:
        answered = ("action", "accepted", "rejected", "user_injection")
        yield {
            "id": f"s{turn.number}",
            "role": "user",
            "content": record.user_text,
            "source": "generate",
            "metadata": {"turn": turn.number} | {key: getattr(record, key) for key in answered if getattr(record, key)},
        }


def _scores(played: PlayedDialogues, dialogue: Played, turns: list[Turn]) -> dict[str, Any]:
    ranks = [min((rank for rank in turn.ranks if rank), default=0) for turn in turns]
    why = "best target's place in the list, by turn: " + ", ".join(str(rank) if rank else "-" for rank in ranks)
    last = next((turn.record.items for turn in reversed(turns) if turn.record is not None and turn.record.items), ())
    values = dialogue.scores()
    return {
        name: {"value": values[name], "answer": "; ".join(played.titles(last)), "explanation": why}
        for name in played.headline
        if name in values
    }


def _usage(played: PlayedDialogues, turns: Iterable[TurnRecord]) -> dict[str, Any]:
    found = {}
    for role in ("recommender", "simulator"):
        spent = sum((used for turn in turns if (used := getattr(turn, f"{role}_usage")) is not None), Usage())
        if spent.calls:
            found[_model(played, role)] = _tokens(spent)
    return found


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "epoch", "model_usage", "total_time", "turn_count")
    first = sample["input"][-1]["content"] if sample["input"] else ""
    target = sample["target"] if isinstance(sample["target"], str) else [title[:_THIN] for title in sample["target"][:10]]
    thin = {
        name: {**score, "answer": score["answer"][:_THIN], "explanation": score["explanation"][:_THIN]}
        for name, score in sample["scores"].items()
    }
    facts = {key: sample["metadata"][key] for key in ("source_dialogue", "stop", "status", "turns")}
    error = {"error": sample["error"]["message"]} if "error" in sample else {}
    return {
        **{key: sample[key] for key in kept},
        "input": first[:_THIN],
        "target": target,
        "metadata": facts,
        "scores": thin,
        "completed": True,
        "message_count": len(sample["messages"]),
        **error,
    }
