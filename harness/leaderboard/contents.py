"""What can be checked of a submission without its data set: files, schema, identity, dialogues, and every claimed number."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import DialogueRecord
from harness.assembly import uncollected
from harness.config import RunConfig, fingerprint
from harness.errors import HarnessError, UsageError
from harness.leaderboard.dialogues import check_end, check_record, check_row
from harness.leaderboard.identity import board_fields, config_from, same_but_for
from harness.leaderboard.ranks import record_of, scenario_hash, scenarios_of, transcripts_hash
from harness.leaderboard.safefiles import (
    Problem,
    Told,
    control_files,
    decode,
    known_name,
    look_around,
    read_small,
    sha256,
    unpack_lines,
)
from harness.leaderboard.scores import Scored, evaluate
from harness.leaderboard.texts import odd_texts
from harness.leaderboard.types import DIALOGUES, MANIFEST, RANKS, SUBMISSION, Board, Manifest, RankRow, Submission, strict
from harness.registry import FIRST_PARTY, Registry
from harness.summary import INVALID_CAP

_ENOUGH = 20
"""Problems of one kind that are listed; more of them are only counted."""
SLACK = 1e-9


class Contents(msgspec.Struct, frozen=True):
    """A submission that could be read: what it is, what was played, and the recomputed scores (None when they can't be)."""

    folder: Path
    submission: Submission
    manifest: Manifest
    config: RunConfig
    records: Sequence[DialogueRecord]
    controls: Mapping[str, Sequence[DialogueRecord]]
    scored: Scored | None


class Problems:
    """Collects what is wrong; of each kind of problem of a file, the first 20 and how many more there are."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self._more: Counter[tuple[str, str]] = Counter()

    def __call__(self, problem: Problem) -> None:
        kind = (problem.file, re.sub(r"\d+", "", problem.field))
        self._more[kind] += 1
        if self._more[kind] <= _ENOUGH:
            self.found.append(problem)

    def listed(self) -> list[Problem]:
        """All of them, in the order found."""
        rest = [
            Problem(file, field, f"and {count - _ENOUGH:,} more like that")
            for (file, field), count in self._more.items()
            if count > _ENOUGH
        ]
        return [*self.found, *rest]


def check_contents(registry: Registry, folder: Path, told: Told, board: Board | None = None) -> Contents | None:
    """Everything that needs no data set. None when the submission could not be read at all."""
    with uncollected():
        return _check_contents(registry, folder, told, board)


def _check_contents(registry: Registry, folder: Path, told: Told, board: Board | None) -> Contents | None:
    for problem in look_around(folder):
        told(problem)
    if folder.is_symlink() or not folder.is_dir():
        return None
    content = read_small(folder, SUBMISSION, told)
    submission: Submission | None = decode(content, Submission, told, SUBMISSION) if content is not None else None
    if submission is None:
        return None
    for field, text in odd_texts(submission):
        told(Problem(SUBMISSION, field, text))
    _files(folder, submission, told)
    read = _manifest(folder, MANIFEST, told)
    if read is None:
        return None
    manifest, config = read
    if not submission.code_url and manifest.fields["recommender.distribution"] != FIRST_PARTY:
        told(Problem(SUBMISSION, "code_url", "is empty: only the harness's own recommenders need none"))
    records = _records(folder, submission, manifest, config, told)
    controls = {name: played for name in submission.controls if (played := _control(folder, name, manifest, told)) is not None}
    if board is not None:
        _fits(submission, manifest, records, board, told)
    if records is None:
        return Contents(folder, submission, manifest, config, [], controls, None)
    if transcripts_hash(records) != submission.transcripts and submission.form == "transcripts":
        told(Problem(SUBMISSION, "transcripts", "is not the hash of these dialogues"))
    scored = _scores(registry, submission, config, records, controls, told)
    return Contents(folder, submission, manifest, config, records, controls, scored)


# -------------------------------------------------------------------------------------------------------------- submission


def _files(folder: Path, submission: Submission, told: Told) -> None:
    """Exactly the files that this form has, each as it was written."""
    expected = {MANIFEST, DIALOGUES if submission.form == "transcripts" else RANKS}
    expected.update(name for control in submission.controls for name in control_files(control))
    for name, digest in submission.files.items():
        if not known_name(name) or name not in expected:
            told(Problem(SUBMISSION, f"files.{name[:80]}", "is no file of this submission: paths and other names are refused"))
        elif (actual := sha256(folder, name, told)) is not None and actual != digest:
            told(Problem(SUBMISSION, f"files.{name}", "the file is not what was prepared (its hash differs)"))
    for name in sorted(expected - set(submission.files)):
        told(Problem(SUBMISSION, f"files.{name[:80]}", "is missing"))
    for name in sorted(entry.name for entry in folder.iterdir() if known_name(entry.name)):
        if name not in expected | {SUBMISSION}:
            told(Problem(name, "", "belongs to no part of this submission"))


def _manifest(folder: Path, name: str, told: Told) -> tuple[Manifest, RunConfig] | None:
    content = read_small(folder, name, told)
    manifest: Manifest | None = decode(content, Manifest, told, name) if content is not None else None
    if manifest is None:
        return None
    try:
        if fingerprint(manifest.fields) != manifest.fingerprint:
            told(Problem(name, "fingerprint", "is not that of the fields: they were changed after the run"))
        config = config_from(manifest.fields)
    except UsageError as error:
        field, _, text = str(error).partition(": ")
        told(Problem(name, f"fields.{field}", text))
        return None
    if manifest.scenarios > manifest.rows:
        told(Problem(name, "scenarios", "there are more scenarios than rows"))
    return manifest, config


# --------------------------------------------------------------------------------------------------------------- dialogues


def _records(
    folder: Path, submission: Submission, manifest: Manifest, config: RunConfig, told: Told
) -> list[DialogueRecord] | None:
    """All dialogues, each checked; None when there are none to score."""
    name = DIALOGUES if submission.form == "transcripts" else RANKS
    return _read(folder, name, manifest.scenarios, config, told, texts=submission.form == "transcripts")


def _read(
    folder: Path, name: str, scenarios: int, config: RunConfig, told: Told, *, texts: bool
) -> list[DialogueRecord] | None:
    kind = strict(DialogueRecord) if texts else RankRow
    decoder = msgspec.json.Decoder(DialogueRecord)
    records: list[DialogueRecord] = []
    seen: dict[tuple[str, int], int] = {}
    for number, line in unpack_lines(folder, name, scenarios * config.trials, told):
        place = f"line {number}"
        row = decode(line, kind, told, name, place)
        if row is None:
            continue
        # A row with other ranks than targets can't be made into a record.
        wrong = [] if texts else list(check_row(row, config))
        record = decoder.decode(line) if texts else None if wrong else record_of(row)
        if record is not None:
            wrong += check_record(record, config)
            wrong += check_end(record, config, texts=texts)
            if (record.scenario, record.trial) in seen:
                first = seen[record.scenario, record.trial]
                wrong.append(("scenario", f"{record.scenario[:80]!r}, trial {record.trial} stands on line {first} already"))
            seen.setdefault((record.scenario, record.trial), number)
        for field, text in wrong:
            told(Problem(name, f"{place} {field}", text))
        if record is not None and not any(field in ("scenario", "targets", "turns", "stop") for field, _ in wrong):
            records.append(record)
    planned = scenarios * config.trials
    if len(seen) < planned:
        told(
            Problem(name, "", f"holds {len(seen):,} dialogues of the run's {planned:,}: every scenario and trial must be there")
        )
    void = sum(record.stop == "simulator_fault" for record in records)
    if void > INVALID_CAP * planned:
        told(
            Problem(
                name, "stop", f"{void} of {planned} dialogues are invalid, more than the {INVALID_CAP:.0%} that are allowed"
            )
        )
    return records or None


def _control(folder: Path, name: str, manifest: Manifest, told: Told) -> list[DialogueRecord] | None:
    """A control run's dialogues."""
    named, ranked = control_files(name)
    if not known_name(named):
        told(Problem(SUBMISSION, "controls", f"{name[:80]!r} is no simulator's name"))
        return None
    read = _manifest(folder, named, told)
    if read is None:
        return None
    control, config = read
    for line in same_but_for(manifest.fields, control.fields, "simulator."):
        told(Problem(named, "fields", f"only the simulator of a control may differ, not {line}"))
    if config.simulator is None or config.simulator.name != name:
        told(Problem(named, "fields.simulator.name", f"is not the control {name}"))
    return _read(folder, ranked, control.scenarios, config, told, texts=False)


def _fits(submission: Submission, manifest: Manifest, records: list[DialogueRecord] | None, board: Board, told: Told) -> None:
    """One data set, protocol and simulator per board."""
    for line in same_but_for(board.fields, board_fields(manifest.fields), "recommender."):
        told(Problem(MANIFEST, "fields", f"is another board's run (this board -> submission): {line}"))
    if submission.form != board.form:
        told(Problem(SUBMISSION, "form", f"this board takes {board.form}, for its data's licence"))
    if records is not None and scenario_hash(scenarios_of(records)) != board.scenario_hash:
        told(Problem(SUBMISSION, "", "its scenarios are not those of this board (ids, sources, numbers of targets)"))


# ------------------------------------------------------------------------------------------------------------------ scores


def _scores(
    registry: Registry,
    submission: Submission,
    config: RunConfig,
    records: list[DialogueRecord],
    controls: Mapping[str, Sequence[DialogueRecord]],
    told: Told,
) -> Scored | None:
    passed = [each.value for each in submission.results.passed]
    for number, (before, after) in enumerate(itertools.pairwise(passed), start=2):
        if isinstance(before, float) and isinstance(after, float) and after > before + SLACK:
            told(
                Problem(
                    SUBMISSION,
                    f"results.passed[{number - 1}].value",
                    f"pass^{number} is above pass^{number - 1}: it can't rise",
                )
            )
    try:
        scored = evaluate(registry, config, records, list(controls.items()))
    except HarnessError as error:
        told(Problem(SUBMISSION, "results", f"can't be recomputed: {error}"))
        return None
    claimed, actual = (msgspec.to_builtins(each) for each in (submission.results, scored.results))
    for field, said, found in differences(claimed, actual, "results"):
        told(Problem(SUBMISSION, field, f"says {said}, the dialogues give {found}"))
    return scored


def differences(claimed: Any, actual: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """(field, claimed, recomputed) wherever two plain values differ by more than rounding."""
    if isinstance(claimed, dict) and isinstance(actual, dict):
        for key in sorted(claimed.keys() | actual.keys()):
            yield from differences(claimed.get(key, "nothing"), actual.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(claimed, list | tuple) and isinstance(actual, list | tuple) and len(claimed) == len(actual):
        for number, (said, found) in enumerate(zip(claimed, actual, strict=True)):
            yield from differences(said, found, f"{path}[{number}]")
    elif _number(claimed) and _number(actual):
        if not math.isclose(claimed, actual, rel_tol=SLACK, abs_tol=SLACK):
            yield path, f"{claimed:.10g}", f"{actual:.10g}"
    elif claimed != actual:
        yield path, _shown(claimed), _shown(actual)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
