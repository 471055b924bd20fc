"""`jsonl`: any data set in the generic format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from harness.api import Catalogue, DatasetCard, Item, Message, Need, Scenario, Split, TrainingDialogue
from harness.errors import DataError, UsageError

from ..cutting import check_split
from ..needs import make_need
from .reading import Content, case_ids, read_content, read_header, validate_file
from .schema import DialogueLine, Header, MessageLine, NeedLine
from .writing import write

CARD = DatasetCard(
    name="jsonl",
    title="A data set in the crs-harness JSON lines format",
    licence="as its file says",
    citation="",
    homepage="",
    how_to_get="Give the file or folder: path=FILE. The format is described in docs/data-format.md; harness data validate FILE "
    "checks a file, harness data convert NAME OUT makes one from another data set",
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `jsonl`."""

    path: Annotated[
        str | None,
        msgspec.Meta(description="a .jsonl or .jsonl.gz file, or a folder with catalogue.jsonl and dialogues.jsonl (required)"),
    ] = None


class Jsonl:
    """Data from a file or folder in the generic format."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    @property
    def card(self) -> DatasetCard:
        """What the file's header says of itself; the general card while no readable file is given."""
        try:
            header = read_header(self._path())
        except (DataError, UsageError):
            return CARD
        said = {name: getattr(header, name) for name in ("name", "title", "licence", "citation", "homepage")}
        return msgspec.structs.replace(CARD, **{name: value for name, value in said.items() if value})

    def load(self, split: str) -> Split:
        """Scenarios of the split's dialogues. Raises DataError that lists what is wrong in the file."""
        check_split(split, CARD)
        content = read_content(self._path())
        catalogue = Catalogue(
            Item(line.id, line.title, line.year, line.attributes, line.aliases, line.text) for line in content.items
        )
        facets = need_facets(content.header, catalogue)
        scenarios = [s for line in content.dialogues if line.split == split for s in _scenarios(line, catalogue, facets)]
        training = [_training(line) for line in content.dialogues if line.split == "train" and line.training]
        return Split(split, scenarios, training, catalogue, _notes(content, split))

    def validate(self, path: str | Path) -> list[str]:
        """Everything that is wrong with a file or folder in the generic format, one line each; empty when it can be loaded."""
        return [str(problem) for problem in validate_file(Path(path))]

    def write(self, splits: dict[str, Split], out: str | Path, card: DatasetCard | None = None) -> None:
        """Writes splits (by name) in the generic format: see `writing.write`."""
        write(splits, Path(out), card)

    def _path(self) -> Path:
        if self.options.path is None:
            raise UsageError(
                "jsonl: which file? Give it as the option path=FILE (on the command line: --dataset-opt path=FILE)"
            )
        return Path(self.options.path).expanduser()


def need_facets(header: Header, catalogue: Catalogue) -> tuple[str, ...]:
    """The facets from which needs derive attributes: the header's, else all of the catalogue in order of appearance."""
    if header.need_facets is not None:
        return header.need_facets
    return tuple(dict.fromkeys(facet for item in catalogue for facet in item.attributes))


def derive_need(need: NeedLine, dialogue: DialogueLine, catalogue: Catalogue, facets: tuple[str, ...]) -> Need:
    """The need of a test case: what the line gives, the rest from the dialogue's labels and the items' attributes."""
    liked, disliked, seen = (
        getattr(dialogue, name) if getattr(need, name) is None else getattr(need, name)
        for name in ("liked", "disliked", "seen")
    )
    derived = make_need(catalogue, need.targets, liked, disliked, seen, facets)
    given = {
        "disliked_items": need.disliked,
        "liked_attributes": need.liked_attributes,
        "disliked_attributes": need.disliked_attributes,
    }
    return msgspec.structs.replace(derived, **{name: value for name, value in given.items() if value is not None})


def _scenarios(line: DialogueLine, catalogue: Catalogue, facets: tuple[str, ...]) -> list[Scenario]:
    messages = tuple(_message(m) for m in line.messages)
    source = line.id if line.source is None else line.source
    needs = line.needs
    if needs is None:
        needs = tuple(
            NeedLine(turn=n, targets=tuple(dict.fromkeys(m.items if m.recommended is True else m.recommended)))
            for n, m in enumerate(line.messages)
            if m.recommended is not False
        )
    return [
        Scenario(case, source, messages[: need.turn], derive_need(need, line, catalogue, facets), need.private)
        for case, need in zip(case_ids(line), needs, strict=True)
    ]


def _training(line: DialogueLine) -> TrainingDialogue:
    return TrainingDialogue(line.id, tuple(_message(m) for m in line.messages), line.liked, line.disliked, line.seen)


def _message(line: MessageLine) -> Message:
    return Message(line.role, line.text, line.items, line.ranked, line.rejected)


def _notes(content: Content, split: str) -> tuple[str, ...]:
    return tuple(note for name, notes in content.header.notes.items() if name == split for note in notes)
