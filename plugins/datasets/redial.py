"""ReDial as published: human movie dialogues with a questionnaire (Li et al., NeurIPS 2018)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from harness.api import Catalogue, DatasetCard, RemoteFile, Scenario, Split
from harness.errors import DataError

from .cutting import check_split, cut
from .files import DataFile, companion_folder, data_folder, field, find_file, read_jsonl
from .films import FilmInfo, canonical_ids, full_title, id_order, make_item, read_id2info
from .redial_raw import OFFICIAL_DIALOGUES, Labels, LabelSource, Linker, RawDialogue, RawFiles, read_raw, training_dialogue

VALIDATION_SHARE = 0.1
IEVALM_FOLDER = "redial_ievalm"

CARD = DatasetCard(
    name="redial",
    title="ReDial: Recommendation through Dialog",
    licence="CC BY 4.0",
    citation="Raymond Li, Samira Kahou, Hannes Schulz, Vincent Michalski, Laurent Charlin, Chris Pal: "
    "Towards Deep Conversational Recommendations. NeurIPS 2018.",
    homepage="https://redialdata.github.io/website/",
    how_to_get="By hand: put redial_dataset.zip, or train_data.jsonl and test_data.jsonl out of it, into a folder and give it "
    "as path=FOLDER or as $HARNESS_DATA/redial. Genres, directors and casts come from redial-ievalm's id2info.json, if present",
    files=(
        RemoteFile(
            "redial_dataset.zip",
            "https://github.com/ReDialData/website/raw/data/redial_dataset.zip",
            # As other downloaders of the official file pin it (ParlAI's build.py, the Hugging Face script's metadata).
            sha256="b48756681ec6f84e0af36979c5e9baa21ea8d9e7036b8764ea9b787bb0baf69b",
            bytes=5_765_261,
        ),
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `redial`."""

    path: Annotated[
        str | None, msgspec.Meta(description="folder with the official files, or the zip; default: $HARNESS_DATA/redial")
    ] = None
    metadata: Annotated[
        str | None,
        msgspec.Meta(
            description="id2info.json of redial-ievalm, or its folder, for genres, directors and casts; 'none' leaves it out; "
            "default: the redial_ievalm folder beside the data"
        ),
    ] = None
    labels: Annotated[
        LabelSource,
        msgspec.Meta(description="whose questionnaire counts: the seeker's own, the recommender's guess, or where both agree"),
    ] = "seeker"


class Redial:
    """The official train and test files. Validation is a fixed tenth of the train dialogues (`in_validation`)."""

    card = CARD

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """Scenarios of `split` with the training dialogues (train without validation) and the whole catalogue.

        Raises DataError (file, line, field) for missing or malformed files and for a conversation in both files.
        """
        check_split(split, self.card)
        place = data_folder(self.options.path, "redial", self.card)
        # A file inside the folder stands for the folder, unless it is the archive.
        place = place.parent if place.is_file() and place.suffix != ".zip" else place
        raw = read_raw(place, self.card)
        info_file = self._metadata_file(place)
        catalogue, linker = build_catalogue(raw, read_id2info(info_file) if info_file else {})
        labels = self.options.labels
        training = tuple(training_dialogue(d, linker, labels) for d in raw.train if not in_validation(d.id))
        validation = tuple(training_dialogue(d, linker, labels) for d in raw.train if in_validation(d.id))
        dialogues = {"train": training, "validation": validation}.get(split)
        if dialogues is None:
            dialogues = tuple(training_dialogue(d, linker, labels) for d in raw.test)
        scenarios = cut(dialogues, catalogue)
        notes = [
            *source_notes(raw),
            f"training: {len(training):,} dialogues; validation: {len(validation):,} (the tenth of the train file whose "
            "conversation ids have the lowest sha256)",
            *label_notes(scenarios, {d.id: Labels(d.liked, d.disliked, d.seen) for d in dialogues}, labels),
            _metadata_note(catalogue, info_file),
            *repair_notes(raw.repairs),
            *_overlap_notes(raw.train, info_file),
        ]
        return Split(split, scenarios, training, catalogue, tuple(notes))

    def _metadata_file(self, place: Path) -> DataFile | None:
        given = self.options.metadata
        if given == "none":
            return None
        if given is not None:
            path = Path(given).expanduser()
            if path.is_file():
                return DataFile(path)
            found = find_file(path, "id2info.json") if path.exists() else None
            if found is None:
                raise DataError(
                    f"redial: the option metadata={given} names neither an id2info.json nor a folder that holds one"
                )
            return found
        beside = companion_folder(place, IEVALM_FOLDER)
        return find_file(beside, "id2info.json") if beside else None


def in_validation(conversation_id: str) -> bool:
    """Whether a train dialogue belongs to our validation split: sha256 of its id, as a fraction, is below 0.1. It depends on
    nothing but the id, so a partial train file gives a part of the same split."""
    digest = hashlib.sha256(conversation_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < VALIDATION_SHARE * 2**64


def build_catalogue(raw: RawFiles, info: dict[str, FilmInfo]) -> tuple[Catalogue, Linker]:
    """All movies that the files name, ordered by id; ids of one title are one item, metadata joined by id."""
    titles = {movie: info[movie].name if movie in info else title for movie, title in raw.titles.items()}
    canonical = canonical_ids(titles.items())
    known: dict[str, FilmInfo] = {}
    for movie in sorted(titles, key=id_order):
        if movie in info:
            known.setdefault(canonical[movie], info[movie])
    items = [make_item(i, titles[i], known.get(i)) for i in sorted(set(canonical.values()), key=id_order)]
    catalogue = Catalogue(items)
    shown = {movie: full_title(catalogue[catalogue.position(item)]) for movie, item in canonical.items()}
    if merged := len(canonical) - len(items):
        raw.repairs["movie ids merged with another id of the same title"] += merged
    return catalogue, Linker(canonical, shown, raw.repairs)


def source_notes(raw: RawFiles) -> list[str]:
    """Which files were read and how much of the official data they hold."""
    parts = []
    for part, official in OFFICIAL_DIALOGUES.items():
        held = len(raw.train if part == "train" else raw.test)
        share = "" if held == official else f" of the official {official:,}: this copy is not the official {part} set"
        parts.append(f"{raw.sources[part].name}: {held:,} dialogues{share}")
    return parts


def label_notes(scenarios: Sequence[Scenario], labels: Mapping[str, Labels], source: LabelSource) -> list[str]:
    """Whose labels (by dialogue) were used, how skewed they are, and how many targets the seeker turned down."""
    whose = {
        "seeker": "the seeker's own answers (initiatorQuestions)",
        "recommender": "the recommender's guesses (respondentQuestions), not the seeker's own answers",
        "agree": "only answers on which seeker and recommender agree",
    }[source]
    used = {s.source: labels.get(s.source, Labels()) for s in scenarios}
    liked, disliked = sum(len(n.liked) for n in used.values()), sum(len(n.disliked) for n in used.values())
    without = sum(not (n.liked or n.disliked or n.seen) for n in used.values())
    against = sum(any(t in used[s.source].disliked for t in s.need.targets) for s in scenarios)
    known = sum(any(t in used[s.source].seen for t in s.need.targets) for s in scenarios)
    return [
        f"labels: {whose}: {liked:,} liked and {disliked:,} disliked items over the {len(used):,} dialogues of these rows; "
        f"{without:,} of the dialogues have none",
        f"of {len(scenarios):,} rows, {against:,} have a target that the labels say was disliked (it stays a target and is "
        f"taken out of that row's disliked items) and {known:,} one that was already seen",
    ]


def repair_notes(repairs: Counter[str]) -> list[str]:
    """What was repaired or left out in all files together, with counts."""
    return [f"while reading: {'; '.join(f'{n:,} {what}' for what, n in sorted(repairs.items()))}"] if repairs else []


def _metadata_note(catalogue: Catalogue, info_file: DataFile | None) -> str:
    if info_file is None:
        return "no metadata: items have titles and years only (option metadata=id2info.json adds genres, directors and casts)"
    with_any = sum(bool(item.attributes) for item in catalogue)
    return f"metadata: {with_any:,} of {len(catalogue):,} items have genres, directors or casts (from {info_file.name})"


def _overlap_notes(train: Sequence[RawDialogue], info_file: DataFile | None) -> list[str]:
    """redial-ievalm's validation turns are cut from the official train file: who mixes the two must know."""
    file = find_file(info_file.path.parent, "valid_data_processed.jsonl") if info_file else None
    if file is None:
        return []
    theirs = {field(record, "dialog_id", str, f"{file}:{line}") for line, record in read_jsonl(file)}
    trained = sum(d.id in theirs and not in_validation(d.id) for d in train)
    if not trained:
        return []
    return [
        f"{trained:,} training dialogues are validation dialogues of redial-ievalm: don't choose a model trained here on those"
    ]
