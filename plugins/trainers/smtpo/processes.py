"""Several processes of one training (`torchrun`, `accelerate launch`): who writes, and waiting for each other."""

from __future__ import annotations

import datetime
import os
from types import TracebackType
from typing import Any

PATIENCE = datetime.timedelta(days=14)
"""How long a process waits for a stage that only the first one computes."""


class Processes:
    """`first` is true in the process that writes. With one process, the usual case, nothing is imported or waited for."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.first = os.environ.get("RANK", "0") == "0"
        self._state: Any = None

    def __enter__(self) -> Processes:
        if self.count > 1:
            from accelerate import PartialState

            self._state = PartialState(timeout=PATIENCE)
        return self

    def wait(self) -> None:
        """Until all are here."""
        if self._state is not None:
            import torch.distributed

            # Not accelerate's own wait_for_everyone(), which does not wait where the processes have no accelerator.
            torch.distributed.barrier()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._state is not None and error is None:
            self._state.destroy_process_group()
