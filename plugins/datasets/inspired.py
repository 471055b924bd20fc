"""INSPIRED: human film dialogues with acceptance labels (Hayati et al. 2020), and its re-annotation INSPIRED2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from harness.api import DatasetCard, Message, Split, TrainingDialogue
from harness.errors import DataError
from harness.text import normalise

from .cutting import check_split, cut, mentioned_before, unique
from .files import DataFile, companion_folder, data_folder, find_file
from .inspired_files import Dialogue, read_inspired2, read_official, read_prefixes
from .inspired_films import Films, coverage
from .inspired_metadata import Database, find_sources, read_database
from .titles import split_year, title_key

FACETS = ("genre", "director", "star")
STEMS = {"train": "train", "validation": "dev", "test": "test"}
FOLDERS = ("", "tsv", "json", "Dataset/tsv", "Dataset/json", "dialog_data", "data/dialog_data", "data")
OPENING = 200

CARD = DatasetCard(
    name="inspired",
    title="INSPIRED / INSPIRED2",
    licence=(
        "INSPIRED2: GPL-3.0 (its LICENSE file); the original INSPIRED states no licence, so the rights to the dialogues are "
        "unclear"
    ),
    citation=(
        "Hayati, Kang, Zhu, Shi, Yu: INSPIRED: Toward Sociable Recommendation Dialog Systems. EMNLP 2020. Re-annotation: "
        "Manzoor, Jannach: INSPIRED2: An Improved Dataset for Sociable Conversational Recommendation. KaRS 2022."
    ),
    homepage="https://github.com/ahtsham58/INSPIRED2",
    how_to_get=(
        "By hand, as the rights to the dialogues are unclear: from https://github.com/ahtsham58/INSPIRED2 (folder Dataset) "
        "or https://github.com/sweetpeach/Inspired (folder data) put the train, dev and test TSV files, and movie_database.tsv "
        "if you like, into a folder and give it as path=FOLDER or as $HARNESS_DATA/inspired2. Film facts come from "
        "redial-ievalm, from CFCRS's INSPIRED graph (folder inspired_cfcrs: entity2id.json, entity2type.json and kg.json of "
        "data/inspired in https://github.com/wxl1999/CFCRS) and from movielens, if their folders lie beside it"
    ),
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `inspired`."""

    path: Annotated[str | None, msgspec.Meta(description="folder of the dialogue files; default: $HARNESS_DATA/inspired2")] = (
        None
    )
    form: Annotated[
        Literal["auto", "tsv", "json"], msgspec.Meta(description="which files to read; auto takes the TSV where there is one")
    ] = "auto"
    train: Annotated[
        Literal["auto", "official", "instructlf", "none"],
        msgspec.Meta(
            description="training dialogues: the official train file, or instructLF's inspired_train.csv (contexts of some 700 "
            "of the 801 dialogues, no labels); auto takes the first that is there"
        ),
    ] = "auto"
    metadata: Annotated[
        bool, msgspec.Meta(description="join genres, directors and casts from the data sets beside this one")
    ] = True


class Inspired:
    """One scenario per recommender turn that names a film; consecutive utterances of one speaker are one turn."""

    card = CARD

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """Raises DataError with file, line and column; also when a dialogue stands in two of the files."""
        check_split(split, self.card)
        place = data_folder(self.options.path, "inspired2", self.card)
        place = place.parent if place.is_file() and place.suffix != ".zip" else place
        repairs: Counter[str] = Counter()
        parts = {name: self._dialogues(place, name, repairs) for name in ("validation", "test")}
        parts["train"], notes = self._training(place, parts, repairs)
        if not parts[split]:
            raise DataError(
                f"inspired: {place} holds no {split} dialogues ({_names(split, self.options.form)}). {CARD.how_to_get}"
            )
        _check_apart(parts)
        sources = find_sources(place) if self.options.metadata else []
        database = _database(place)
        if database is not None:
            sources.insert(0, database.source)
        films = Films(sources)
        _add_titles(films, parts)
        catalogue = films.catalogue()
        ready = {name: [_dialogue(d, films, database) for d in dialogues] for name, dialogues in parts.items()}
        scenarios = cut(ready[split], catalogue, FACETS)
        notes = [
            f"{len(scenarios)} rows from {len(ready[split])} dialogues",
            f"in {mentioned_before(scenarios)} rows a target is already mentioned in the context",
            *notes,
            *_label_notes(parts[split], ready[split], database),
            f"catalogue: {coverage(catalogue, FACETS)}; facts from {', '.join(s.name for s in sources) or 'no other files'}",
            *_title_notes(films),
            *(f"repaired in all files: {count} x {what}" for what, count in sorted(repairs.items()) if count),
        ]
        return Split(split, scenarios, ready["train"], catalogue, tuple(notes))

    def _dialogues(self, place: Path, split: str, repairs: Counter[str]) -> list[Dialogue]:
        for form in ("tsv", "json") if self.options.form == "auto" else (self.options.form,):
            file = _find(place, STEMS[split], form)
            if file is not None:
                return read_official(file, repairs) if form == "tsv" else read_inspired2(file, STEMS[split], repairs)
        return []

    def _training(
        self, place: Path, parts: dict[str, list[Dialogue]], repairs: Counter[str]
    ) -> tuple[list[Dialogue], list[str]]:
        wanted = self.options.train
        if wanted in ("auto", "official"):
            official = self._dialogues(place, "train", repairs)
            if official:
                return official, [f"training: the {len(official)} dialogues of the official train file"]
            if wanted == "official":
                raise DataError(f"inspired: train=official, but {place} holds no {_names('train', self.options.form)}")
        beside = None if wanted == "none" else companion_folder(place, "inspired_instructlf")
        file = find_file(place, "inspired_train.csv") or (find_file(beside, "inspired_train.csv") if beside else None)
        if wanted == "none" or file is None:
            if wanted == "instructlf":
                raise DataError(
                    f"inspired: train=instructlf, but there is no inspired_train.csv in {place} or inspired_instructlf"
                )
            return [], ["training: none"]
        contexts = read_prefixes(file, "train")
        held_out = {_opening(dialogue) for part in parts.values() for dialogue in part}
        kept = [dialogue for dialogue in contexts if _opening(dialogue) not in held_out]
        return kept, [
            f"training: {len(kept)} dialogues put together from the context rows of {file.name}; they have no labels, name "
            "only the films that the recommender recommends, and end with a recommendation whose text is only its titles",
            f"{len(contexts) - len(kept)} of its dialogues are also in validation or test and were left out",
        ]


def _find(place: Path, stem: str, form: str) -> DataFile | None:
    names = (f"{stem}_set.tsv", f"{stem}.tsv") if form == "tsv" else (f"{stem}_data.json", f"{stem}.json")
    places = [place] if place.is_file() else [place / folder for folder in FOLDERS if (place / folder).is_dir()]
    return next((found for folder in places if (found := find_file(folder, *names)) is not None), None)


def _database(place: Path) -> Database | None:
    places = [place] if place.is_file() else [place / folder for folder in FOLDERS if (place / folder).is_dir()]
    file = next((found for folder in places if (found := find_file(folder, "movie_database.tsv")) is not None), None)
    return None if file is None else read_database(file)


def _names(split: str, form: str) -> str:
    stem = STEMS[split]
    names = {"tsv": f"{stem}_set.tsv or {stem}.tsv", "json": f"{stem}_data.json"}
    return " or ".join(names.values()) if form == "auto" else names[form]


def _opening(dialogue: Dialogue) -> str:
    return normalise(" ".join(turn.text for turn in dialogue.turns))[:OPENING]


def _check_apart(parts: dict[str, list[Dialogue]]) -> None:
    owner: dict[str, str] = {}
    for name, dialogues in parts.items():
        for dialogue in dialogues:
            if owner.setdefault(dialogue.id, name) != name:
                raise DataError(f"inspired: dialogue {dialogue.id!r} stands in the {owner[dialogue.id]} and in the {name} file")


def _add_titles(films: Films, parts: dict[str, list[Dialogue]]) -> None:
    titles = unique(
        title
        for dialogues in parts.values()
        for dialogue in dialogues
        for title in (*(t for turn in dialogue.turns for t in turn.titles), *dialogue.listed)
    )
    for title in sorted(titles, key=lambda title: (split_year(title)[1] is None, title)):
        films.add(title)


def _dialogue(dialogue: Dialogue, films: Films, database: Database | None) -> TrainingDialogue:
    """Titles become ids. The label is about the film that was offered last of all, which only the database names; without it
    the label is used where the recommender named one film only, because then it can be no other."""
    messages = tuple(Message(role=t.role, text=t.text, items=_ids(films, t.titles)) for t in dialogue.turns)
    offered = unique(i for message in messages if message.role == "recommender" for i in message.items)
    film: str | None = offered[0] if len(offered) == 1 else None
    if database is not None:
        known = database.videos.get(dialogue.video.split("SPLIT")[0])
        named = None if known is None else title_key(known.name)
        film = next((i for i in offered if title_key(split_year(i)[0]) == named), None) if known is not None else film
    liked = (film,) if film and dialogue.label == "accept_rating_good" else ()
    disliked = (film,) if film and dialogue.label in ("accept_uninterested", "reject") else ()
    return TrainingDialogue(id=dialogue.id, messages=messages, liked=liked, disliked=disliked)


def _ids(films: Films, titles: Iterable[str]) -> tuple[str, ...]:
    return unique(found for title in titles if (found := films.add(title)) is not None)


def _label_notes(dialogues: Sequence[Dialogue], ready: Sequence[TrainingDialogue], database: Database | None) -> list[str]:
    if not any(dialogue.label for dialogue in dialogues):
        return ["no acceptance labels: the need holds the targets and their attributes only"]
    how = "movie_database.tsv names it by its trailer" if database else "the recommender named one film only"
    return [
        f"labels: accept_rating_good is a like ({sum(bool(d.liked) for d in ready)} dialogues), accept_uninterested and reject "
        f"are a dislike ({sum(bool(d.disliked) for d in ready)}) of the film that was offered, where {how}; the rest is unused",
    ]


def _title_notes(films: Films) -> list[str]:
    notes = []
    if films.ambiguous:
        notes.append(f"{len(films.ambiguous)} titles without a year fit several films; the latest was taken")
    if films.yearless:
        notes.append(f"{len(films.yearless)} titles have no year and are in no other source")
    return notes
