"""From a finished run directory to a submission's folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import DialogueRecord
from harness.assembly import resolve
from harness.config import RunConfig
from harness.errors import HarnessError, UsageError
from harness.experiment import slug
from harness.leaderboard.identity import board_name, config_from, same_but_for
from harness.leaderboard.ranks import in_order, rank_row, transcripts_hash
from harness.leaderboard.safefiles import control_files
from harness.leaderboard.scores import evaluate
from harness.leaderboard.texts import odd_texts
from harness.leaderboard.types import DIALOGUES, MANIFEST, RANKS, SUBMISSION, SUBMISSIONS, Form, Manifest, Submission
from harness.registry import Registry
from harness.results import need_run
from harness.store import read_manifest, read_records
from harness.wholefiles import write_atomically

_LONGEST = 40
"""Characters of a folder's name."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What only the authors can say."""

    name: str
    authors: Sequence[str]
    code_url: str = ""
    description: str = ""
    trained_on: Sequence[str] = ()
    trained_against: Sequence[str] = ()


def prepare(
    registry: Registry,
    run: Path,
    about: About,
    out: Path,
    *,
    controls: Sequence[Path] = (),
    form: Form | None = None,
    board: Path | None = None,
) -> Path:
    """Write `out`/<board>/<name>, or <name> into the submissions of `board`, and return it; an earlier one is replaced.

    `controls` are control runs of the same recommender, beside those inside the run directory. `form` "ranks" leaves every
    text out; None: transcripts where the data set's licence lets anybody publish them (CC0), else ranks. Raises UsageError for
    runs that can't be submitted as they are; `validate` has the whole list of what is refused.
    """
    manifest, config, records = finished_run(run)
    inner = sorted(path for path in run.glob("control-*") if (path / MANIFEST).is_file())
    rows = [_control(path, manifest) for path in dict.fromkeys([*controls, *inner])]
    form = form or _form(registry, config)
    results = evaluate(registry, config, records, [(name, read) for name, _, read in rows]).results
    files = {MANIFEST: _json(manifest)}
    files |= {DIALOGUES: _pack(records)} if form == "transcripts" else {RANKS: _pack(map(rank_row, records))}
    for name, control, read in rows:
        named, ranked = control_files(name)
        files |= {named: _json(control), ranked: _pack(map(rank_row, read))}
    submission = Submission(
        name=about.name,
        authors=list(about.authors),
        code_url=about.code_url,
        description=about.description,
        form=form,
        transcripts=transcripts_hash(records),
        trained_on=sorted(set(about.trained_on) | _announced(registry, config)),
        trained_against=sorted(set(about.trained_against)),
        controls=[name for name, _, _ in rows],
        results=results,
        files={name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    )
    wrong = [f"--{field.replace('_', '-')} {text}" for field, text in odd_texts(submission)]
    if wrong:
        raise UsageError("; ".join(wrong))
    within = out / board_name(config) if board is None else board / SUBMISSIONS
    place = within / submission_slug(about.name)
    _write(place, files | {SUBMISSION: _json(submission)}, about.name)
    return place


def submission_slug(name: str) -> str:
    """A submission's name as a folder's name. Names of which a folder's name would lose too much get a part of their hash."""
    plain = slug(re.sub(r"[^A-Za-z0-9._-]+", "-", name)).lower()
    if name.isascii() and len(name) <= _LONGEST and re.search("[A-Za-z0-9]", name):
        return plain
    return f"{plain[: _LONGEST - 9].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def finished_run(folder: Path) -> tuple[Manifest, RunConfig, list[DialogueRecord]]:
    """What a run directory holds, dialogues in order. Raises UsageError for a chat and for a run that isn't finished."""
    recorded = read_manifest(folder)
    if recorded.get("kind") == "chat":
        raise UsageError(f"{folder} is a chat: it has no scenarios and no scores, so it can't be submitted")
    need_run(recorded, folder, "submitted")
    try:
        made_by = {key: str(value) for key, value in recorded.get("made_by", {}).items() if key in ("harness", "python")}
        manifest = Manifest(
            fingerprint=recorded["fingerprint"],
            fields=recorded["fields"],
            rows=recorded["rows"],
            scenarios=recorded["scenarios"],
            made_by=made_by,
        )
        config = config_from(manifest.fields)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{folder}/{MANIFEST} is damaged or of another version: {error}") from None
    records = in_order(read_records(folder))
    done, planned = sum(record.complete for record in records), manifest.scenarios * config.trials
    if done < planned:
        raise UsageError(
            f"{folder} is incomplete: {done:,} of {planned:,} dialogues are finished; go on with: harness resume {folder}"
        )
    return manifest, config, records


def _control(folder: Path, main: Manifest) -> tuple[str, Manifest, list[DialogueRecord]]:
    manifest, config, records = finished_run(folder)
    wrong = same_but_for(main.fields, manifest.fields, "simulator.")
    if wrong or config.simulator is None:
        also = "; ".join(wrong[:3]) or "it has none"
        raise UsageError(f"{folder} is no control of this run: only the simulator may differ, but also {also}")
    return slug(config.simulator.name), manifest, records


def _form(registry: Registry, config: RunConfig) -> Form:
    """Transcripts only where their data's licence lets anybody publish them."""
    try:
        card = resolve(registry, "dataset", config.dataset).create().card
    except (HarnessError, AttributeError):
        return "ranks"
    return "transcripts" if str(card.licence).startswith("CC0") else "ranks"


def _announced(registry: Registry, config: RunConfig) -> set[str]:
    """What the recommender's plugin says of its shipped weights."""
    try:
        return set(registry.find("recommender", config.recommender.name).component.trained_on)
    except HarnessError:
        return set()


def _json(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=2) + b"\n"


def _pack(rows: Iterable[Any]) -> bytes:
    """The same bytes for the same rows: no time, no name."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
    return packed.getvalue()


def _write(place: Path, files: dict[str, bytes], name: str) -> None:
    """All files, or the folder as it was. What lies there and is no submission of that name is left alone."""
    if place.exists():
        try:
            held = None if place.is_symlink() else msgspec.json.decode((place / SUBMISSION).read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            held = None
        if held is None:
            raise UsageError(f"{place} is there already and holds no submission: choose another --name or --out")
        if held.get("name") != name:
            raise UsageError(f"{place} holds the submission of another system, {held.get('name')!r}: choose another --name")
    beside = place.with_name(f".{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, content in files.items():
        write_atomically(beside / name, content)
    if place.exists():
        shutil.rmtree(place)
    beside.rename(place)
