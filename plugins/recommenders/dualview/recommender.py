"""`smtpo-retriever`: the retriever's own order as a recommender, so that what it does alone is a row of every table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from harness import artifacts
from harness.api import Conversation, Recommendation, RecommenderSetup
from harness.checks import MAX_CANDIDATES

from ..evidence import ListOptions, excluded_ids
from ..reply import QUESTION, reply
from . import KIND

if TYPE_CHECKING:
    from .retriever import Retriever


class Options(ListOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which retriever, and what it may list."""

    artifact: Annotated[str, msgspec.Meta(description="folder or name of a trained retriever, or of a bundle that has one")] = (
        "smtpo-tiny"
    )
    views: Annotated[
        str, msgspec.Meta(pattern="^(|both|semantic|collaborative)$", description="leave a view out; empty: as trained")
    ] = ""
    encoder: Annotated[
        str | None, msgspec.Meta(description="where the sentence encoder lies that the artefact was trained with, if not there")
    ] = None


class SmtpoRetriever:
    """The k nearest items of the whole catalogue, newly retrieved each turn. Records its first 100 as candidates."""

    serial = True
    """Computing threads would only take turns: one call at a time is faster."""

    _retriever: Retriever

    def __init__(self, options: Options) -> None:
        self._options = options
        self._artifact = find_retriever(options.artifact)

    def revision(self) -> dict[str, Any]:
        """What identifies the weights."""
        return self._artifact.revision()

    def prepare(self, setup: RecommenderSetup) -> None:
        # Not before it is needed: it brings torch, and options are read without it.
        from .retriever import Retriever

        self._catalogue = setup.catalogue
        self._retriever = Retriever.load(
            self._artifact.path,
            setup.catalogue,
            setup.training,
            views=self._options.views or None,  # type: ignore[arg-type]  # the pattern has the three names
            encoder=self._options.encoder,
        )

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        excluded = excluded_ids(conversation, self._options)
        found = self._retriever.recall(conversation, max(k, MAX_CANDIDATES), exclude=excluded)
        items = [self._catalogue[self._catalogue.position(item_id)] for item_id, _ in found[:k]]
        return Recommendation(
            items=tuple(item.id for item in items),
            text=reply(items) if items else QUESTION,
            scores=tuple(score for _, score in found[:k]),
            candidates=tuple(item_id for item_id, _ in found[:MAX_CANDIDATES]),
        )


def find_retriever(name: str) -> artifacts.Artifact:
    """A retriever's artefact by path or name; of a bundle its part `retriever`. Raises UsageError, DataError."""
    found = artifacts.find(name)
    return (
        artifacts.find(name, "retriever", kind=KIND) if found.card.kind == artifacts.BUNDLE else artifacts.find(name, kind=KIND)
    )
