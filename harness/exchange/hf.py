"""A run as a data set for Hugging Face `datasets`: a Parquet file with one row per dialogue, and a data set card.

`datasets.load_dataset(FOLDER)` reads it; the folder can be pushed to the Hub as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from harness.assembly import resolve
from harness.errors import HarnessError
from harness.exchange.placing import MARK
from harness.exchange.played import Played, PlayedDialogues, Turn
from harness.modelcard import text
from harness.report.text import interval, number

if TYPE_CHECKING:
    import pyarrow

BATCH: Final = 64
"""Dialogues that are in memory at once; a row group of the file."""
SPLITS: Final = ("train", "validation", "test")


def write(played: PlayedDialogues, folder: Path) -> None:
    """`data/SPLIT-00000-of-00001.parquet` and README.md."""
    from pyarrow import parquet

    split = played.run["split"] if played.run["split"] in SPLITS else "test"
    name = f"data/{split}-00000-of-00001.parquet"
    (folder / "data").mkdir()
    schema = _schema()
    with parquet.ParquetWriter(folder / name, schema) as writer:
        rows = (_row(played, dialogue) for dialogue in played)
        while batch := list(itertools.islice(rows, BATCH)):
            writer.write_table(_table(batch, schema))
    (folder / MARK).write_text("made by harness export; --force replaces this folder\n", encoding="utf-8")
    (folder / "README.md").write_text(card(played, split, name), encoding="utf-8")


def _table(rows: list[dict[str, Any]], schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    return pyarrow.Table.from_pylist(rows, schema=schema)


def _schema() -> pyarrow.Schema:
    import pyarrow as pa

    texts = pa.list_(pa.string())
    message = pa.struct([("role", pa.string()), ("text", pa.string()), ("items", texts), ("ranked", texts)])
    turn = pa.struct(
        [
            ("turn", pa.int32()), ("text", pa.string()), ("items", texts), ("titles", texts),
            ("target_ranks", pa.list_(pa.int32())), ("reasoning", pa.string()), ("unknown", pa.int32()),
            ("repeated", pa.int32()), ("dropped", pa.int32()), ("user_text", pa.string()), ("action", pa.string()),
            ("accepted", texts), ("rejected", texts), ("leaks", texts), ("injection", pa.bool_()),
            ("user_injection", pa.bool_()),
        ]
    )  # fmt: skip
    fault = pa.struct([("turn", pa.int32()), ("blame", pa.string()), ("kind", pa.string()), ("message", pa.string())])
    score = pa.struct([("metric", pa.string()), ("value", pa.float64())])
    unscored = pa.struct([("metric", pa.string()), ("reason", pa.string())])
    return pa.schema(
        [
            ("recommender", pa.string()), ("simulator", pa.string()), ("scenario", pa.string()), ("source", pa.string()),
            ("trial", pa.int32()), ("stop", pa.string()), ("status", pa.string()), ("context", pa.list_(message)),
            ("turns", pa.list_(turn)), ("targets", texts), ("target_titles", texts), ("faults", pa.list_(fault)),
            ("scores", pa.list_(score)), ("unscored", pa.list_(unscored)),
        ]
    )  # fmt: skip


def _row(played: PlayedDialogues, dialogue: Played) -> dict[str, Any]:
    record = dialogue.record
    return {
        "recommender": str(played.run["recommender"]),
        "simulator": str(played.run["simulator"]),
        "scenario": record.scenario,
        "source": record.source,
        "trial": record.trial,
        "stop": record.stop,
        "status": dialogue.status,
        "context": [
            {"role": m.role, "text": m.text, "items": list(m.items), "ranked": list(m.ranked)} for m in dialogue.context
        ],
        "turns": [_turn(played, turn) for turn in dialogue.turns() if turn.record is not None],
        "targets": list(dialogue.targets),
        "target_titles": played.titles(dialogue.targets),
        "faults": [{"turn": f.turn, "blame": f.blame, "kind": f.kind, "message": f.message} for f in record.faults],
        "scores": [{"metric": metric, "value": value} for metric, value in dialogue.scores().items()],
        "unscored": [{"metric": metric, "reason": reason} for metric, reason in dialogue.unscored().items()],
    }


def _turn(played: PlayedDialogues, turn: Turn) -> dict[str, Any]:
    record = turn.record
    if record is None:
        return {}
    row = {name: list(getattr(record, name)) for name in ("items", "accepted", "rejected", "leaks")}
    plain = ("text", "reasoning", "unknown", "repeated", "dropped", "user_text", "action", "injection", "user_injection")
    row |= {name: getattr(record, name) for name in plain}
    return {"turn": turn.number, "titles": played.titles(record.items), "target_ranks": list(turn.ranks), **row}


# --------------------------------------------------------------------------------------------------------------------- card


def card(played: PlayedDialogues, split: str, file: str) -> str:
    """The data set card. Names and values are texts that nothing in them can turn into markup."""
    run = played.run
    name = f"{run['recommender']} x {run['simulator']} on {run['dataset']}"
    head = {
        "pretty_name": name,
        "tags": ["conversational-recommendation", "simulated-dialogues"],
        "license": "other",
        "configs": [{"config_name": "default", "data_files": [{"split": split, "path": file}]}],
    }
    licence, source = _terms(played)
    facts = [
        ("dialogues", f"{len(played):,}"),
        *((key, str(run[key])) for key in ("recommender", "recommender_version", "simulator", "knowledge", "dataset", "split")),
        *((key, str(run[key])) for key in ("variant", "data_hash", "preset", "protocol", "seed", "trials", "fingerprint")),
        ("licence of the data", licence),
        ("source of the data", source),
    ]
    blocks = [
        # JSON is YAML: no text can leave its quotes.
        "---\n" + "\n".join(f"{key}: {msgspec.json.encode(value).decode()}" for key, value in head.items()) + "\n---",
        f"# {text(name)}",
        "Recorded dialogues between a recommender and a simulated user, one row each, written by `harness export --to hf`.",
        "| | |\n| --- | --- |\n" + "\n".join(f"| {text(key)} | {text(value)} |" for key, value in facts),
        *_scores(played),
        "## Columns\n\n"
        "- `context`: the human dialogue that this one goes on from; `turns`: what was played; `items`: the ranked list, best "
        "first, ids of the catalogue (`titles`: as people read them).\n"
        "- `targets`, `target_titles`, `target_ranks` (a place per target, 0: not in the list): **hidden**. The recommender "
        "never saw them; who trains on these rows should leave them out of a model's input.\n"
        "- `status`: `valid` dialogues are scored; `invalid` (the simulator failed) and `incomplete` ones are not.\n"
        "- `scores`: a number per metric; what has none is in `unscored` with the reason.\n\n"
        "The rows quote the data set and the models: its licence holds for them too.",
    ]
    return "\n\n".join(blocks) + "\n"


def _scores(played: PlayedDialogues) -> Iterator[str]:
    lines = (played.summary or {}).get("headline", [])
    if lines:
        rows = [f"| {text(x['name'])} | {text(number(x['value']))} | {text(interval(x))} | {x['n']} |" for x in lines]
        yield "## Scores\n\n| metric | value | 95 % CI | n |\n| --- | --- | --- | --- |\n" + "\n".join(rows)


def _terms(played: PlayedDialogues) -> tuple[str, str]:
    """Licence and home page of the data set."""
    try:
        found = resolve(played.registry, "dataset", played.config.dataset).create().card
        return str(found.licence), str(found.homepage)
    except (HarnessError, AttributeError):
        return "unknown", "unknown"
