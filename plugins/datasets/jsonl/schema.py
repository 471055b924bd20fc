"""The lines of the generic format, version 1: field names and defaults. docs/data-format.md explains them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from harness.api import Attributes, Role

FORMAT = "crs-harness"
VERSION = 1
CATALOGUE_FILE = "catalogue.jsonl"
DIALOGUES_FILE = "dialogues.jsonl"

SplitName = Literal["train", "validation", "test"]


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Counts(_Line, frozen=True):
    """How many lines follow, so that a file that was cut off is recognised."""

    items: int
    dialogues: int


class Header(_Line, frozen=True):
    """The first line of every file."""

    format: str
    version: int
    name: str = ""
    title: str = ""
    licence: str = ""
    citation: str = ""
    homepage: str = ""
    notes: dict[SplitName, tuple[str, ...]] = {}
    need_facets: tuple[str, ...] | None = None
    """Facets from which needs derive their attributes; None: all facets of the items."""
    counts: Counts | None = None


class ItemLine(_Line, frozen=True, tag="item", tag_field="type"):
    """One item of the catalogue; the order of the lines is the order of the catalogue."""

    id: str
    title: str
    year: int | None = None
    attributes: Attributes = {}
    aliases: tuple[str, ...] = ()
    text: str = ""


class MessageLine(_Line, frozen=True):
    """One utterance. `recommended` marks a recommender's message as a test case: true (all its items are targets) or the
    targets themselves."""

    role: Role
    text: str
    items: tuple[str, ...] = ()
    recommended: bool | tuple[str, ...] = False
    ranked: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


class NeedLine(_Line, frozen=True):
    """One test case, given explicitly: the first `turn` messages are its context. What is left out comes from the dialogue."""

    turn: int
    targets: tuple[str, ...]
    id: str | None = None
    liked: tuple[str, ...] | None = None
    disliked: tuple[str, ...] | None = None
    seen: tuple[str, ...] | None = None
    liked_attributes: Attributes | None = None
    disliked_attributes: Attributes | None = None
    private: dict[str, Any] = {}


class DialogueLine(_Line, frozen=True, tag="dialogue", tag_field="type"):
    """One dialogue of one split."""

    id: str
    split: SplitName
    messages: tuple[MessageLine, ...]
    source: str | None = None
    """The human dialogue that the test cases count as (default: the id)."""
    training: bool = True
    """False: not a training dialogue although it is in the train split."""
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    needs: tuple[NeedLine, ...] | None = None
    """Test cases given explicitly instead of by `recommended`."""


Line = ItemLine | DialogueLine
