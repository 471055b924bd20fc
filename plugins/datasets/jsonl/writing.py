"""Writes any splits in the generic format: loading the result gives equal scenarios, training dialogues and catalogue."""

from __future__ import annotations

import gzip
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import msgspec

from harness.api import Catalogue, DatasetCard, Message, Scenario, Split, TrainingDialogue
from harness.errors import DataError, UsageError

from ..needs import make_need
from .reading import validate_file
from .schema import (
    CATALOGUE_FILE,
    DIALOGUES_FILE,
    FORMAT,
    VERSION,
    Counts,
    DialogueLine,
    Header,
    ItemLine,
    MessageLine,
    NeedLine,
    SplitName,
)

_ENCODER = msgspec.json.Encoder()


def write(splits: dict[str, Split], out: Path, card: DatasetCard | None = None) -> None:
    """Writes `splits` (by "train", "validation", "test"; any of them) to a .jsonl or .jsonl.gz file or, for any other name
    without a suffix, to a folder. `card` fills the header.

    The result appears under its name only when it is whole. Raises UsageError if something of that name is there or the name
    doesn't fit, DataError if the splits don't belong together or can't be written as text.
    """
    single = out.name.endswith((".jsonl", ".jsonl.gz"))
    if not single and out.suffix:
        raise UsageError(f"{out}: give a name that ends in .jsonl or .jsonl.gz, or one without a suffix for a folder")
    if out.exists():
        raise UsageError(f"{out} exists already; remove it or choose another name")
    if not splits:
        raise UsageError("no split was given to write")
    catalogue, training = _shared(splits)
    facets = _facets(splits)
    groups = {name: _groups(split.scenarios) for name, split in splits.items()}
    lines = list(_arrange(groups, training))
    header = Header(
        format=FORMAT,
        version=VERSION,
        name=card.name if card else "",
        title=card.title if card else "",
        licence=card.licence if card else "",
        citation=card.citation if card else "",
        homepage=card.homepage if card else "",
        notes={cast(SplitName, name): split.notes for name, split in splits.items() if split.notes},
        need_facets=facets,
        counts=Counts(items=len(catalogue), dialogues=len(lines)),
    )
    items = (
        ItemLine(id=i.id, title=i.title, year=i.year, attributes=i.attributes, aliases=i.aliases, text=i.text)
        for i in catalogue
    )
    dialogues = (_dialogue_line(*line, catalogue, facets) for line in lines)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        if single:
            _write_file(temporary, out.name.endswith(".gz"), header, items, dialogues)
        else:
            temporary.mkdir()
            _write_file(temporary / CATALOGUE_FILE, False, header, items)
            _write_file(temporary / DIALOGUES_FILE, False, Header(format=FORMAT, version=VERSION), dialogues)
        if problems := validate_file(temporary, cap=10):
            listed = "\n".join(f"  {p}".replace(str(temporary), str(out)) for p in problems)
            raise DataError(f"{out}: the data can't be written, for what would stand there is not valid:\n{listed}")
        temporary.rename(out)
    except UnicodeEncodeError as error:
        raise DataError(f"{out}: a text holds a lone surrogate ({error.reason}); clean it first") from None
    except OSError as error:
        raise DataError(f"{out}: can't be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True) if temporary.is_dir() else temporary.unlink(missing_ok=True)


def _shared(splits: dict[str, Split]) -> tuple[Catalogue, Sequence[TrainingDialogue]]:
    """The catalogue and the training dialogues, which all splits must share."""
    first_name, first = next(iter(splits.items()))
    for name, split in splits.items():
        if name not in ("train", "validation", "test"):
            raise UsageError(f"no split called {name!r}; use train, validation or test")
        if tuple(split.catalogue) != tuple(first.catalogue):
            raise DataError(f"the splits {first_name} and {name} have different catalogues; write them to different files")
        if tuple(split.training) != tuple(first.training):
            raise DataError(
                f"the splits {first_name} and {name} have different training dialogues; write them to different files"
            )
    return first.catalogue, first.training


def _facets(splits: dict[str, Split]) -> tuple[str, ...]:
    """Facets of the needs, in their order: the longest row first, for it holds the others' order in most data."""
    rows = {tuple(s.need.liked_attributes) for split in splits.values() for s in split.scenarios}
    return tuple(dict.fromkeys(facet for row in sorted(rows, key=lambda r: (-len(r), r)) for facet in row))


def _groups(scenarios: Iterable[Scenario]) -> list[list[Scenario]]:
    """Runs of scenarios that fit into one dialogue: same source, each context the beginning of the next."""
    groups: list[list[Scenario]] = []
    for scenario in scenarios:
        if groups:
            last = groups[-1][-1]
            if last.source == scenario.source and scenario.context[: len(last.context)] == last.context:
                groups[-1].append(scenario)
                continue
        groups.append([scenario])
    return groups


_Plan = tuple[SplitName, str, TrainingDialogue | None, list[Scenario]]
"""One line to be: split, id, the training dialogue it is (if any), the scenarios that it holds."""


def _arrange(groups: dict[str, list[list[Scenario]]], training: Sequence[TrainingDialogue]) -> Iterator[_Plan]:
    """Lines in an order that keeps the order of the training dialogues and of each split's scenarios."""
    position = {dialogue.id: n for n, dialogue in enumerate(training)}
    taken = set(position)
    done = 0
    for group in groups.get("train", ()):
        place = position.get(group[0].source, -1)
        longest = group[-1].context
        if place >= done and training[place].messages[: len(longest)] == longest:
            yield from (("train", d.id, d, []) for d in training[done:place])
            yield "train", training[place].id, training[place], group
            done = place + 1
        else:
            yield "train", _new_id(group, taken), None, group
    yield from (("train", d.id, d, []) for d in training[done:])
    held_out: tuple[SplitName, ...] = ("validation", "test")
    for split in held_out:
        for group in groups.get(split, ()):
            yield split, _new_id(group, taken), None, group


def _new_id(group: list[Scenario], taken: set[str]) -> str:
    """The source's id, or a variation of it where that is taken already."""
    source, n = group[0].source, 1
    name = source
    while name in taken:
        n += 1
        name = f"{source}#{n}"
    taken.add(name)
    return name


def _dialogue_line(
    split: SplitName,
    name: str,
    dialogue: TrainingDialogue | None,
    group: list[Scenario],
    catalogue: Catalogue,
    facets: tuple[str, ...],
) -> DialogueLine:
    if dialogue is not None:
        messages, liked, disliked, seen = dialogue.messages, dialogue.liked, dialogue.disliked, dialogue.seen
    else:
        need = group[0].need
        messages, liked, disliked, seen = group[-1].context, need.liked_items, need.disliked_items, need.seen_items
    labels = (liked, disliked, seen)
    source = group[0].source if group else name
    return DialogueLine(
        id=name,
        split=split,
        messages=tuple(_message_line(m) for m in messages),
        source=None if source == name else source,
        training=dialogue is not None or split != "train",
        liked=liked,
        disliked=disliked,
        seen=seen,
        needs=tuple(_need_line(s, name, labels, catalogue, facets) for s in group) or None,
    )


def _message_line(message: Message) -> MessageLine:
    return MessageLine(
        role=message.role, text=message.text, items=message.items, ranked=message.ranked, rejected=message.rejected
    )


def _need_line(
    scenario: Scenario,
    dialogue: str,
    labels: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    catalogue: Catalogue,
    facets: tuple[str, ...],
) -> NeedLine:
    """The scenario as a need, with everything left out that loading derives."""
    need, turn = scenario.need, len(scenario.context)
    for item in (*need.targets, *need.liked_items, *need.disliked_items, *labels[1]):
        if catalogue.get(item) is None:
            raise DataError(f"scenario {scenario.id!r}: item {item!r} of its need isn't in the catalogue; it can't be written")
    liked = None if need.liked_items == labels[0] else need.liked_items
    seen = None if need.seen_items == labels[2] else need.seen_items
    derived = make_need(catalogue, need.targets, need.liked_items, labels[1], need.seen_items, facets)
    disliked = None if need.disliked_items == derived.disliked_items else need.disliked_items
    if disliked is not None:
        derived = make_need(catalogue, need.targets, need.liked_items, disliked, need.seen_items, facets)
    return NeedLine(
        turn=turn,
        targets=need.targets,
        id=None if scenario.id == f"{dialogue}:{turn}" else scenario.id,
        liked=liked,
        disliked=disliked,
        seen=seen,
        liked_attributes=_unless_equal(need.liked_attributes, derived.liked_attributes),
        disliked_attributes=_unless_equal(need.disliked_attributes, derived.disliked_attributes),
        private=scenario.private,
    )


def _unless_equal(
    attributes: dict[str, tuple[str, ...]], derived: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]] | None:
    """None if what would be derived is the same, order included: simulators may draw from it in order."""
    return None if list(attributes.items()) == list(derived.items()) else attributes


def _write_file(path: Path, compress: bool, header: Header, *parts: Iterable[msgspec.Struct]) -> None:
    with path.open("xb") as raw:
        with _compressed(raw, compress) as file:
            file.write(_ENCODER.encode(header) + b"\n")
            for part in parts:
                for line in part:
                    file.write(_ENCODER.encode(line) + b"\n")
        raw.flush()
        os.fsync(raw.fileno())


@contextmanager
def _compressed(raw: IO[bytes], compress: bool) -> Iterator[IO[bytes]]:
    """A gzip layer without a time stamp, so that equal data gives equal bytes."""
    if not compress:
        yield raw
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped, io.BufferedWriter(zipped, 1 << 16) as buffered:
        yield buffered
