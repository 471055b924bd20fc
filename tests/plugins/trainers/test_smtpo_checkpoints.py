"""A kill while a checkpoint is written costs that checkpoint, never the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness_plugins.trainers.smtpo.checkpoints import last_whole


def checkpoint(folder: Path, step: int, state: str | None) -> Path:
    place = folder / f"checkpoint-{step}"
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(b"weights")
    if state is not None:
        (place / "trainer_state.json").write_text(state)
    return place


@pytest.mark.parametrize("torn", [None, "", '{"log_history": [{"lo'])
def test_the_last_whole_one_is_gone_on_from(tmp_path: Path, torn: str | None) -> None:
    checkpoint(tmp_path, 8, "{}")
    whole = checkpoint(tmp_path, 96, '{"log_history": [{"loss": NaN}]}')
    broken = checkpoint(tmp_path, 104, torn)
    assert last_whole(tmp_path, remove_torn=False) == whole
    assert broken.exists()
    assert last_whole(tmp_path) == whole
    assert not broken.exists(), "it would be taken for the last one"


def test_without_a_whole_one_a_training_begins_anew(tmp_path: Path) -> None:
    assert last_whole(tmp_path / "nothing") is None
    checkpoint(tmp_path, 8, None)
    assert last_whole(tmp_path) is None
