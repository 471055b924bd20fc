"""`smtpo-pl`: retrieve, score by learned feature weights, show the most probable Plackett-Luce list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.api import Conversation, Recommendation, RecommenderSetup
from harness.errors import DataError

from ..reply import QUESTION, reply
from . import policy
from .features import Candidates, Features, equal_weights

WEIGHTS: Final = "weights.json"
KIND: Final = "smtpo-pl"

Floats = NDArray[np.float64]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where candidates come from and which weights order them."""

    artifact: Annotated[
        str, msgspec.Meta(description="folder or name of trained weights; empty: equal weights, the start of the training")
    ] = ""
    retriever: Annotated[
        str | None,
        msgspec.Meta(
            description="what finds the candidates: hybrid, attribute-match, bm25, ease, popularity, or an artefact with a "
            "dual-view retriever (name or folder); none: as trained, else hybrid"
        ),
    ] = None
    candidates: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1000)] | None,
        msgspec.Meta(description="items that are scored; none: as trained, else 100"),
    ] = None
    exclude_rejected: Annotated[
        bool | None,
        msgspec.Meta(
            description="never show an item again that was turned down; false: the weight of `rejected` decides; none: as "
            "trained, else true"
        ),
    ] = None
    exclude_mentioned: Annotated[bool, msgspec.Meta(description="leave out what the dialogue names already")] = True


class Weights(msgspec.Struct, frozen=True):
    """Feature name -> weight, and what they were learned with."""

    weights: dict[str, float]
    retriever: str = "hybrid"
    candidates: int = 100
    exclude_rejected: bool = False


def read_weights(path: Path) -> Weights:
    """Raises DataError (file, field)."""
    file = path / WEIGHTS
    try:
        return msgspec.json.decode(file.read_bytes(), type=Weights)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}; give a folder that `harness train smtpo-pl` has made") from None
    except msgspec.DecodeError as error:
        raise DataError(f"{file}: {error}") from None


class Decision(msgspec.Struct, frozen=True):
    """One state's candidates, their scores, and the list as positions among them."""

    candidates: Candidates
    scores: Floats
    chosen: policy.Positions


class SmtpoPl:
    """Weights that an artefact lacks (a facet of another data set) are 0. Deterministic: the most probable list."""

    serial = True
    """Computing threads would only take turns: one call at a time is faster."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._trained = Weights({}, exclude_rejected=True)
        self._revision: dict[str, Any] = {}
        if options.artifact:
            from harness.artifacts import find

            self._trained = read_weights(Path(find(options.artifact, kind=KIND).path))
            self._revision = msgspec.to_builtins(self._trained)
        self.features = Features(
            options.retriever or self._trained.retriever,
            options.candidates or self._trained.candidates,
            exclude_rejected=(self._trained.exclude_rejected if options.exclude_rejected is None else options.exclude_rejected),
            exclude_mentioned=options.exclude_mentioned,
        )

    def revision(self) -> dict[str, Any]:
        """The weights themselves: where they lie changes no number."""
        return self._revision

    def prepare(self, setup: RecommenderSetup) -> None:
        self._catalogue = setup.catalogue
        self.features.prepare(setup)
        names = self.features.names
        held = self._trained.weights or equal_weights(names)
        self.weights: Floats = np.array([held.get(name, 0.0) for name in names])

    def recommend(self, conversation: Conversation, k: int) -> Recommendation:
        candidates = self.features.of(conversation)
        if not len(candidates.rows):
            return Recommendation(text=QUESTION)
        scores = candidates.features @ self.weights
        chosen = self.order(conversation, Decision(candidates, scores, policy.best(scores, k)))
        items = [self._catalogue[row] for row in candidates.rows[chosen]]
        because = self.features.reader.asked_for(conversation, int(candidates.rows[chosen[0]]))
        return Recommendation(
            items=tuple(item.id for item in items),
            text=reply(items, because),
            reasoning=self._reasoning(candidates, int(chosen[0])),
            scores=tuple(scores[chosen].tolist()),
            **_retrieved(tuple(self._catalogue[row].id for row in candidates.rows[:100])),
        )

    def order(self, conversation: Conversation, decision: Decision) -> policy.Positions:
        """The list that is shown; training draws another one."""
        return decision.chosen

    def _reasoning(self, candidates: Candidates, first: int) -> str:
        """What speaks for the first item: feature times weight, largest first."""
        parts = candidates.features[first] * self.weights
        order = np.argsort(-np.abs(parts), kind="stable")[:5]
        told = (f"{self.features.names[n]} {parts[n]:+.2f}" for n in order if parts[n])
        return "; ".join(told)


def _retrieved(ids: tuple[str, ...]) -> dict[str, Any]:
    return {"candidates": ids} if "candidates" in Recommendation.__struct_fields__ else {}
