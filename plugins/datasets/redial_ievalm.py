"""ReDial as iEvaLM evaluates on it: one record per recommendation turn, entities linked, metadata in id2info.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from harness.api import Catalogue, DatasetCard, Message, RemoteFile, Scenario, Split, TrainingDialogue
from harness.errors import DataError

from .cutting import check_split, cut
from .files import DataFile, companion_folder, data_folder, find_file, need_file, read_json
from .films import FilmInfo, canonical_ids, clean_title, id_order, make_item, read_id2info
from .ievalm_records import TurnRecord, context_messages, read_records, rebuild
from .needs import make_need
from .redial import label_notes, source_notes
from .redial_raw import Labels, Linker, RawFiles, read_raw

LabelChoice = Literal["seeker", "recommender", "agree", "none"]
RAW_FOLDER = "redial"
_FILES = {
    "train": "train_data_processed.jsonl",
    "validation": "valid_data_processed.jsonl",
    "test": "test_data_processed.jsonl",
}
_PUBLISHED_ROWS = {"test": 3_341, "validation": 2_716}
COMMIT = "162e2f442fb0799550af587dce0285a2d5ca897f"
_BASE = f"https://raw.githubusercontent.com/RUCAIBox/iEvaLM-CRS/{COMMIT}/data"

CARD = DatasetCard(
    name="redial-ievalm",
    title="ReDial, recommendation turns as prepared for iEvaLM",
    licence="MIT as stated in the LICENSE of RUCAIBox/iEvaLM-CRS; the dialogues are ReDial's, CC BY 4.0; no separate terms are "
    "stated for the film facts and short plots",
    citation="Xiaolei Wang, Xinyu Tang, Wayne Xin Zhao, Jingyuan Wang, Ji-Rong Wen: Rethinking the Evaluation for "
    "Conversational Recommendation in the Era of Large Language Models. EMNLP 2023. Dialogues: Li et al., NeurIPS 2018.",
    homepage="https://github.com/RUCAIBox/iEvaLM-CRS",
    how_to_get="By hand: from https://github.com/RUCAIBox/iEvaLM-CRS copy id2info.json (data/redial) and the "
    "*_data_processed.jsonl files (data/redial_eval) into a folder; give it as path=FOLDER or as $HARNESS_DATA/redial_ievalm. "
    "Labels (and training dialogues, without train_data_processed.jsonl) come from the data set redial, if that is there",
    files=(
        RemoteFile(
            "id2info.json",
            f"{_BASE}/redial/id2info.json",
            sha256="7bdfe9a9c7f1b4d59aa9a5aeba0029071fd5a7232b61c8257212a335ffe424f7",
            bytes=2_745_351,
        ),
        RemoteFile(
            "valid_data_processed.jsonl",
            f"{_BASE}/redial_eval/valid_data_processed.jsonl",
            sha256="20f0672f83c2be2f1f6c43867ba0ab1c2c483ca221a360ddc58679294afa472f",
            bytes=2_779_311,
        ),
        # No checksum of the official file is known to us; the commit in the address fixes its content.
        RemoteFile("test_data_processed.jsonl", f"{_BASE}/redial_eval/test_data_processed.jsonl"),
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `redial-ievalm`."""

    path: Annotated[
        str | None,
        msgspec.Meta(description="folder with *_data_processed.jsonl and id2info.json; default: $HARNESS_DATA/redial_ievalm"),
    ] = None
    train: Annotated[
        Literal["auto", "processed", "redial", "none"],
        msgspec.Meta(
            description="training dialogues: train_data_processed.jsonl, or the raw redial train file without the validation "
            "and test conversations; auto takes the first that is there"
        ),
    ] = "auto"
    labels: Annotated[
        LabelChoice,
        msgspec.Meta(description="likes and dislikes from the raw redial questionnaires, joined by conversation"),
    ] = "seeker"
    redial: Annotated[
        str | None, msgspec.Meta(description="folder or zip of the raw redial data; default: the folder redial beside this one")
    ] = None


class RedialIevalm:
    """The published turn records; scenario ids are "<dialog_id>:<turn_id>"."""

    card = CARD

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """One scenario per record of the split's file. Raises DataError (file, line, field), also when a dialogue stands in
        two of the files."""
        check_split(split, self.card)
        place = data_folder(self.options.path, "redial_ievalm", self.card)
        place = place.parent if place.is_file() and place.suffix != ".zip" else place
        info_file = need_file(place, "id2info.json", card=self.card)
        info = read_id2info(info_file)
        names = canonical_names(info)
        catalogue = Catalogue(make_item(i, info[i].name, info[i]) for i in sorted(names.values(), key=id_order))
        _check_candidates(place, names, info_file)
        records = self._records(place, names)
        raw, linker = self._raw(place, info, names)
        labels = self._labels(raw, linker)
        training, notes = self._training(records, raw, linker, names, labels)
        if split in records:
            scenarios = [_scenario(r, names, catalogue, labels) for r in records[split]]
            held, published = len(scenarios), _PUBLISHED_ROWS.get(split)
            differs = (
                f"; the published file has {published:,}: this is another row set" if published not in (None, held) else ""
            )
            notes.insert(0, f"{split}: {held:,} rows of {len({r.dialogue for r in records[split]}):,} dialogues{differs}")
        elif training:
            scenarios = cut(training, catalogue)
            notes.insert(0, f"train: {len(scenarios):,} rows cut from the raw dialogues at every recommender turn with an item")
        else:
            raise DataError(
                f"redial-ievalm: no training records: put train_data_processed.jsonl into {place}, or give the raw data set "
                "redial (option redial=FOLDER) and train=auto"
            )
        return Split(
            split, scenarios, training, catalogue, (*notes, *_label_notes(scenarios, labels, self.options.labels, raw))
        )

    def _records(self, place: Path, names: Mapping[str, str]) -> dict[str, list[TurnRecord]]:
        """The records by split; each dialogue in one split only."""
        records: dict[str, list[TurnRecord]] = {}
        home: dict[str, str] = {}
        for part, name in _FILES.items():
            if part == "train" and self.options.train not in ("auto", "processed"):
                continue
            file = find_file(place, name) if part == "train" else need_file(place, name, card=self.card)
            if file is None:
                continue
            records[part] = read_records(file, names)
            for record in records[part]:
                if home.setdefault(record.dialogue, part) != part:
                    raise DataError(
                        f"{file}: dialogue {record.dialogue!r} is also in {_FILES[home[record.dialogue]]}; remove it from one"
                    )
        return records

    def _raw(
        self, place: Path, info: Mapping[str, FilmInfo], names: Mapping[str, str]
    ) -> tuple[RawFiles, Linker] | tuple[None, None]:
        """The raw data set with its links into this catalogue, if an option asks for it and it is there."""
        if self.options.redial is not None:
            folder: Path | None = data_folder(self.options.redial, RAW_FOLDER, self.card)
        elif self.options.labels == "none" and self.options.train in ("processed", "none"):
            folder = None
        else:
            folder = companion_folder(place, RAW_FOLDER)
        if folder is None:
            return None, None
        raw = read_raw(folder, self.card)
        shown = {**raw.titles, **{movie: film.name for movie, film in info.items()}}
        return raw, Linker({movie: names.get(title) for movie, title in shown.items()}, shown, raw.repairs)

    def _labels(self, raw: RawFiles | None, linker: Linker | None) -> dict[str, Labels]:
        """Questionnaire labels by dialogue."""
        if raw is None or linker is None or self.options.labels == "none":
            return {}
        return {d.id: linker.labels(d, self.options.labels) for d in (*raw.train, *raw.test)}

    def _training(
        self,
        records: Mapping[str, Sequence[TurnRecord]],
        raw: RawFiles | None,
        linker: Linker | None,
        names: Mapping[str, str],
        labels: Mapping[str, Labels],
    ) -> tuple[list[TrainingDialogue], list[str]]:
        """Training dialogues, and notes that say where they come from."""
        wanted = self.options.train
        if "train" in records:
            dialogues = [_training_dialogue(i, messages, labels) for i, messages in rebuild(records["train"], names)]
            return dialogues, [
                f"training: {len(dialogues):,} dialogues rebuilt from {_FILES['train']}, each up to its last recommendation"
            ]
        if wanted == "processed":
            raise DataError(f"redial-ievalm: the option train=processed needs {_FILES['train']} beside the other files")
        if wanted == "none":
            return [], ["training: none (option train=none)"]
        if raw is None or linker is None:
            if wanted == "redial":
                raise DataError(
                    "redial-ievalm: the option train=redial needs the raw data set; give its folder as redial=FOLDER"
                )
            return [], [f"training: none; {_FILES['train']} isn't there, nor the raw data set redial"]
        held_out = {r.dialogue for part in ("validation", "test") for r in records[part]}
        dialogues = [_training_dialogue(d.id, linker.messages(d), labels) for d in raw.train if d.id not in held_out]
        return dialogues, [
            f"training: {len(dialogues):,} raw redial dialogues, {len(raw.train) - len(dialogues):,} left out because they are "
            "validation or test rows here; their mentions are ReDial's own, not iEvaLM's entity links",
            source_notes(raw)[0],
        ]


def canonical_names(info: Mapping[str, FilmInfo]) -> dict[str, str]:
    """Item name -> item id. Where two ids bear one name they are one item: the smaller id."""
    return {info[movie].name: item for movie, item in canonical_ids((m, film.name) for m, film in info.items()).items()}


def _check_candidates(place: Path, names: Mapping[str, str], info_file: DataFile) -> None:
    """Where iEvaLM's candidate list is at hand, it must be the catalogue: published ranks are ranks in that list."""
    numbers_file, items_file = find_file(place, "entity2id.json"), find_file(place, "item_ids.json")
    if numbers_file is None or items_file is None:
        return
    numbers, wanted = read_json(numbers_file), read_json(items_file)
    if type(numbers) is not dict or type(wanted) is not list:
        raise DataError(f"{numbers_file} must hold an object (name to number) and {items_file} a list of numbers")
    candidates = set(wanted)
    listed = {clean_title(name) for name, number in numbers.items() if number in candidates}
    if listed != set(names):
        odd = sorted(listed ^ set(names))
        raise DataError(
            f"{items_file} and {info_file} list different items ({len(odd):,} differ, such as {odd[0]!r}): "
            "take both from the same version of the data"
        )


def _scenario(record: TurnRecord, names: Mapping[str, str], catalogue: Catalogue, labels: Mapping[str, Labels]) -> Scenario:
    given = labels.get(record.dialogue, Labels())
    targets = tuple(dict.fromkeys(names[name] for name in record.recommended))
    need = make_need(catalogue, targets, given.liked, given.disliked, given.seen)
    return Scenario(record.id, record.dialogue, context_messages(record, names), need)


def _training_dialogue(dialogue: str, messages: tuple[Message, ...], labels: Mapping[str, Labels]) -> TrainingDialogue:
    given = labels.get(dialogue, Labels())
    return TrainingDialogue(dialogue, messages, given.liked, given.disliked, given.seen)


def _label_notes(
    scenarios: Sequence[Scenario], labels: Mapping[str, Labels], choice: LabelChoice, raw: RawFiles | None
) -> list[str]:
    if choice == "none":
        return ["labels: none (option labels=none)"]
    if raw is None:
        return ["labels: none; the raw data set redial, which holds the questionnaires, isn't there"]
    joined = sum(s.source in labels for s in scenarios)
    joined_note = f"questionnaires joined from the raw redial data for {joined:,} of {len(scenarios):,} rows"
    return [joined_note, *label_notes(scenarios, labels, choice)]
