"""Boards: their rows in order, the ranks that they share, and what is marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.api import Ceiling
from harness.comparison import Row as ScoreRow
from harness.config import RunConfig
from harness.errors import StoreError, UsageError
from harness.leaderboard.contents import Contents, Problems, check_contents
from harness.leaderboard.identity import board_fields, config_from, trained
from harness.leaderboard.prepare import finished_run, submission_slug
from harness.leaderboard.ranks import scenario_hash, scenarios_of, transcripts_hash
from harness.leaderboard.safefiles import Problem
from harness.leaderboard.scores import primary
from harness.leaderboard.types import BOARD, REPRODUCED, SUBMISSION, SUBMISSIONS, Board, Form, Manifest, Results, Submission
from harness.leaderboard.validate import own_board, read_board
from harness.registry import FIRST_PARTY, Registry
from harness.statistics import holm, paired_permutation
from harness.store import read_manifest, read_summary
from harness.wholefiles import write_atomically

FLOORS = ("random", "popularity", "copy-history", "bm25")
ALPHA = 0.05


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a board."""

    rank: int
    slug: str
    submission: Submission
    manifest: Manifest
    config: RunConfig
    results: Results
    floor: bool
    below: tuple[str, ...]
    """Floors with a higher headline score."""
    trained_on: tuple[str, ...]
    trained_against: tuple[str, ...]
    reproduced: bool


class Standing(msgspec.Struct, frozen=True):
    """A board with its rows, best first."""

    folder: Path
    board: Board
    config: RunConfig
    """Of any run on it; the recommender is nobody's."""
    rows: tuple[Row, ...]


def find_boards(root: Path) -> list[Path]:
    """Folders with a board.json, by name. Raises StoreError when there are none."""
    found = sorted(path.parent for path in root.glob(f"*/{BOARD}"))
    if not found:
        raise StoreError(f"there is no board below {root}: make one with `harness leaderboard new {root / 'NAME'} RUN`")
    return found


def stand(registry: Registry, folder: Path) -> tuple[Standing, list[Problem]]:
    """Recompute a board from its submissions. What is not sound is left out of it, and told."""
    sound, problems = checked(registry, folder)
    return standing_of(folder, sound), problems


def checked(registry: Registry, folder: Path) -> tuple[list[Contents], list[Problem]]:
    """The sound submissions of a board, by name, and what is wrong with the others; the data set is not looked at."""
    board = read_board(folder)
    sound: list[Contents] = []
    problems: list[Problem] = []
    for place in sorted(path for path in (folder / SUBMISSIONS).glob("*") if not path.name.startswith(".")):
        told = Problems()
        contents = check_contents(registry, place, told, board)
        found = told.listed() or list(_misplaced(contents, sound))
        problems += [
            problem._replace(file="/".join(p for p in (folder.name, place.name, problem.file) if p)) for problem in found
        ]
        if contents is not None and not found:
            sound.append(contents)
    return sound, problems


def standing_of(folder: Path, sound: Sequence[Contents]) -> Standing:
    """A board with these submissions on it."""
    board = read_board(folder)
    return Standing(folder, board, _config(board), tuple(_rows(board, sound, _reproduced(folder))))


def _misplaced(contents: Contents | None, earlier: Sequence[Contents]) -> Iterator[Problem]:
    if contents is None:
        return
    slug = submission_slug(contents.submission.name)
    if contents.folder.name != slug:
        yield Problem("", "", f"a submission named {contents.submission.name!r} lies in a folder named {slug}")
    for other in earlier:
        if other.manifest.fingerprint == contents.manifest.fingerprint:
            yield Problem(SUBMISSION, "", f"is the same run as {other.folder.name}: a run stands on a board once")


def _rows(board: Board, sound: Sequence[Contents], confirmed: dict[str, str]) -> Iterator[Row]:
    metric = primary(_config(board))

    def score(contents: Contents) -> float:
        value = _results(contents).scores[metric].value
        return -1.0 if isinstance(value, str) else value

    ordered = sorted(sound, key=lambda contents: (-score(contents), contents.folder.name))
    ranks = shared_ranks([contents.scored.rows if contents.scored else [] for contents in ordered], metric)
    floors = [(contents, contents.config.recommender.name) for contents in ordered if _is_floor(board, contents)]
    for rank, contents in zip(ranks, ordered, strict=True):
        submission, fields = contents.submission, contents.manifest.fields
        floor = any(contents is other for other, _ in floors)
        yield Row(
            rank=rank,
            slug=contents.folder.name,
            submission=submission,
            manifest=contents.manifest,
            config=contents.config,
            results=_results(contents),
            floor=floor,
            below=() if floor else tuple(name for other, name in floors if score(other) > score(contents)),
            trained_on=tuple(sorted({*submission.trained_on, *trained(fields, "trained_on")})),
            trained_against=tuple(sorted({*submission.trained_against, *trained(fields, "trained_against")})),
            reproduced=confirmed.get(contents.folder.name) == submission.transcripts,
        )


def _results(contents: Contents) -> Results:
    return contents.scored.results if contents.scored else contents.submission.results


def _is_floor(board: Board, contents: Contents) -> bool:
    own = contents.manifest.fields["recommender.distribution"] == FIRST_PARTY
    return own and contents.config.recommender.name in board.floors


def _config(board: Board) -> RunConfig:
    nobody = {f"{role}.{key}": "0" for role in ("recommender", "dataset") for key in ("distribution", "version")}
    nobody["recommender.name"] = "nobody"
    return config_from({**board.fields, **nobody, "seed": 0, "trials": 1})


def shared_ranks(rows: Sequence[Sequence[ScoreRow]], metric: str) -> list[int]:
    """Rank per row, best first. A row opens a new rank when it differs significantly from the best row of the current one
    (paired permutation test by source dialogue, Holm-corrected over all pairs of the board)."""
    means = [_means(each, metric) for each in rows]
    pairs = [(a, b) for a in range(len(rows)) for b in range(a + 1, len(rows))]
    p_values = [_p(means[a], means[b]) for a, b in pairs]
    corrected = dict(zip(pairs, holm(p_values), strict=True))
    ranks, leader = [1][: len(rows)], 0
    for row in range(1, len(rows)):
        if corrected[leader, row] < ALPHA:
            leader = row
        ranks.append(leader + 1)
    return ranks


def _means(rows: Sequence[ScoreRow], metric: str) -> dict[str, tuple[str, float]]:
    """Scenario -> (source, mean over its scored trials)."""
    values: dict[str, list[float]] = {}
    sources: dict[str, str] = {}
    for row in rows:
        value = row.get("values", {}).get(metric)
        if isinstance(value, int | float):
            values.setdefault(row["scenario"], []).append(float(value))
            sources[row["scenario"]] = row["source"]
    return {scenario: (sources[scenario], sum(held) / len(held)) for scenario, held in values.items()}


def _p(a: dict[str, tuple[str, float]], b: dict[str, tuple[str, float]]) -> float:
    shared = sorted(a.keys() & b.keys())
    p = paired_permutation([a[s][1] for s in shared], [b[s][1] for s in shared], [a[s][0] for s in shared]).p
    return p if isinstance(p, float) else 1.0


# ------------------------------------------------------------------------------------------------------- what maintainers do


def new_board(folder: Path, run: Path, *, title: str, form: Form, floors: Sequence[str] = FLOORS) -> Board:
    """Make a board of runs like `run` (complete, scored). Raises UsageError when there is another board already."""
    manifest, config, records = finished_run(run)
    summary: dict[str, Any] = read_summary(run)
    if config.limit is not None:
        title = f"{title}, first {config.limit} scenarios"
    board = Board(
        title=title,
        form=form,
        fields=board_fields(manifest.fields),
        scenario_hash=scenario_hash(scenarios_of(records)),
        rows=manifest.rows,
        scenarios=manifest.scenarios,
        sources=len({record.source for record in records}),
        floors=list(floors),
        notes=[str(note) for note in read_manifest(run).get("notes", [])],
        references=msgspec.convert(summary.get("ceilings", []), list[Ceiling]),
    )
    if (folder / BOARD).exists() and read_board(folder).fields != board.fields:
        raise UsageError(f"{folder} is a board of other runs: choose another folder")
    (folder / SUBMISSIONS).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / BOARD, _json(board))
    return board


def confirm(submission: Path, run: Path) -> None:
    """Note that `run`, made anew by the maintainers, has the very dialogues of a submission. Raises UsageError otherwise."""
    board = own_board(submission)
    if board is None:
        raise UsageError(f"{submission} lies in no board's {SUBMISSIONS}")
    try:
        said = msgspec.json.decode((submission / SUBMISSION).read_bytes(), type=Submission)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{submission / SUBMISSION}: {error}") from None
    _, _, records = finished_run(run)
    if transcripts_hash(records) != said.transcripts:
        raise UsageError(f"{run} has other dialogues than {submission} (seconds aside): it reproduces nothing")
    write_atomically(
        board / REPRODUCED, _json(dict(sorted({**_reproduced(board), submission.absolute().name: said.transcripts}.items())))
    )


def _reproduced(folder: Path) -> dict[str, str]:
    path = folder / REPRODUCED
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from None


def _json(content: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=2) + b"\n"


def default_title(config: RunConfig) -> str:
    """What a board is called unless somebody says otherwise."""
    played = f"{config.turns} turns with {config.simulator.name}" if config.simulator else "one list from the context"
    return f"{config.dataset.name}, {config.variant} targets: {played}"
