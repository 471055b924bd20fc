"""What the driver and its workers say to each other: typed MessagePack, so that nothing of a plugin's is unpickled."""

from __future__ import annotations

from typing import Any

import msgspec

from harness import errors
from harness.config import RunConfig
from harness.errors import BudgetExceeded, HarnessError
from harness.llm.budget import Price
from harness.runner import Job


class Sharing(msgspec.Struct, frozen=True):
    """What all workers' language models share. The limits and the cache are kept by one desk beside the driver."""

    prices: dict[str, Price] = {}
    max_cost: float | None = None
    max_tokens: int | None = None
    spent_tokens: int = 0
    spent_cost: float = 0.0
    cache: str = "off"
    cache_file: str | None = None


class Start(msgspec.Struct, frozen=True):
    """What a worker is to be."""

    name: str
    version: str
    """Of the harness."""
    config: RunConfig
    fields: dict[str, Any]
    """What the fingerprint covers: a worker that would play something else refuses."""
    folder: str
    """Where the driver stands: relative paths are meant from there."""
    environment: dict[str, str]
    """HARNESS_... variables of the driver."""
    sharing: Sharing = Sharing()


class Failure(msgspec.Struct, frozen=True):
    """An error that ends the run: its class in `harness.errors`, or a bug's traceback."""

    kind: str
    text: str

    def error(self, node: str) -> Exception:
        """What the driver raises."""
        if self.kind == "BudgetExceeded":
            return BudgetExceeded(self.text)
        cls = getattr(errors, self.kind, None)
        if isinstance(cls, type) and issubclass(cls, HarnessError):
            return cls(f"on {node}: {self.text}")
        return RuntimeError(f"a worker on {node} met a bug:\n{self.text}")


class Started(msgspec.Struct, frozen=True):
    """A worker is ready, or why it can't be."""

    failure: Failure | None = None


class Order(msgspec.Struct, frozen=True):
    """Dialogues to play. `finish`: there are no more; `stop`: cancel what is under way."""

    jobs: list[Job] = []
    finish: bool = False
    stop: bool = False


class Report(msgspec.Struct, frozen=True):
    """What was played since the last report, each a DialogueRecord as JSON. Cancelled ones are among them."""

    records: list[bytes] = []
    ended: bool = False
    """Nothing more comes from this worker."""
    failure: Failure | None = None
