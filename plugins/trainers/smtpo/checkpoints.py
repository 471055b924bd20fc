"""Which checkpoint of transformers' Trainer a training goes on from: the last one that a kill has not torn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

_LAST_WRITTEN: Final = "trainer_state.json"


def last_whole(folder: Path, *, remove_torn: bool = True) -> Path | None:
    """The checkpoint of the highest step that was written to its end; None where there is none.

    The Trainer writes a checkpoint file by file into its final place, its own state last, and takes the folder of the highest
    step for the last checkpoint, whatever is in it. A kill in between would end every later attempt. `remove_torn` takes such
    folders away; of several processes only one should.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for place in found:
        if _whole(place):
            return place
        if remove_torn:
            shutil.rmtree(place, ignore_errors=True)
    return None


def _whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _LAST_WRITTEN).read_bytes())  # a loss may be NaN there, which strict readers refuse
    except (OSError, ValueError):
        return False
    return True
