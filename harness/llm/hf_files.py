"""Where a local model's files are, whether they can be used, and what their hash is. Nothing heavy is imported here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import described
from harness.llm.api import LlmError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
_UNWANTED = ("*/*", "*training*", "consolidated*", "artifact.json")
"""The last one tells about a model, as its README does, and changes nothing that it says."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def model_folder(model: str, revision: str | None, *, template: bool) -> Path:
    """The folder of a model's files: a local one, or the hub's snapshot (downloaded if it isn't in the cache yet).

    `template` says that the folder must bring a chat template. Raises LlmError with what is missing and what to do.
    """
    folder = _folder(model, revision, "model", "config.json")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise LlmError(f"hf:{model}: this folder holds an adapter; name its base model, hf:BASE, and add adapter={model}")
        raise LlmError(f"hf:{model}: {folder} holds no config.json, so it is no saved model")
    _check_weights(folder, model)
    if template and not _has_template(folder):
        raise LlmError(
            f"hf:{model}: there is no chat template (no chat_template.jinja, and no chat_template in tokenizer_config.json, in"
            f" {folder}); take an instruction-tuned model, or give a Jinja file with the option chat_template=FILE"
        )
    return folder


def adapter_folder(adapter: str) -> Path:
    """The folder of a LoRA adapter. Raises LlmError as `model_folder` does."""
    folder = _folder(adapter, None, "adapter", "adapter_config.json")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise LlmError(f"adapter={adapter}: {folder} holds no {name} (only safetensors are read, never pickles)")
    return folder


def read_template(path: str) -> str:
    """The text of a Jinja chat template. Raises LlmError if there is no such file."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LlmError(f"chat_template={path} can't be read: {described(error)}") from None


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of everything in a model's folder that can change what it says.

    Reads the weights once, at the disk's speed; files of the hub's cache that are named by their hash are not read.
    """
    whole = hashlib.sha256()
    files = (path for pattern in _WANTED for path in folder.glob(pattern))
    for path in sorted(p for p in files if p.is_file() and not any(p.match(u) for u in _UNWANTED[1:])):
        whole.update(f"{path.name}\0{_file_digest(path)}\n".encode())
    return whole.hexdigest()


def _file_digest(path: Path) -> str:
    blob = path.resolve()
    if blob != path and blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
        return blob.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder(name: str, revision: str | None, kind: str, marker: str) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        if revision is not None:
            raise LlmError(f"revision={revision} is for models of the hub, but {name} is a folder")
        return path.resolve()
    if path.is_file():
        raise LlmError(f"{kind} {name} is a file; give the folder that it lies in")
    if not _HUB_ID.fullmatch(name):
        raise LlmError(f"there is no {kind} at {path.absolute()}, and {name!r} can't be a name on the hub")
    return _snapshot(name, revision, kind, marker)


def _snapshot(name: str, revision: str | None, kind: str, marker: str) -> Path:
    """The hub's files. What is in the local cache is used as it is, without asking the hub for a newer state."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    patterns: dict[str, Any] = {"revision": revision, "allow_patterns": list(_WANTED), "ignore_patterns": list(_UNWANTED)}
    try:
        cached = Path(snapshot_download(name, local_files_only=True, **patterns))
        if (cached / marker).is_file() and not _missing_weights(cached):
            return cached
    except (OSError, ValueError):
        pass
    at = name if revision is None else f"{name} at revision {revision}"
    try:
        return Path(snapshot_download(name, **patterns))
    except GatedRepoError:
        raise LlmError(f"{kind} {at} asks for its terms to be accepted: do so on its page, then set HF_TOKEN") from None
    except RepositoryNotFoundError:
        raise LlmError(
            f"there is no {kind} at {Path(name).absolute()}, and the hub has no {at} (private: set HF_TOKEN)"
        ) from None
    except (LocalEntryNotFoundError, ConnectionError) as error:
        raise LlmError(
            f"there is no {kind} at {Path(name).absolute()}, none of that name in the hub's local cache,"
            f" and the hub can't be reached ({_reason(error)}); give the path of a folder"
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise LlmError(f"{kind} {at} can't be had from the hub: {described(error, 200)}") from None


def _reason(error: BaseException) -> str:
    text = described(error, 200)
    return (
        "offline mode" if "disabled" in text.lower() or "offline" in text.lower() else text.partition(" An error happened")[0]
    )


def _check_weights(folder: Path, model: str) -> None:
    missing = _missing_weights(folder)
    if not missing:
        return
    pickles = sorted(p.name for p in folder.glob("*.bin") if p.name.startswith(("pytorch_model", "model")))
    if pickles and "model.safetensors" in missing:
        raise LlmError(
            f"hf:{model}: its weights are pickles ({pickles[0]}), which can run code when they are read; the harness reads"
            " safetensors only: save the model again with save_pretrained()"
        )
    raise LlmError(f"hf:{model}: {folder} lacks {', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}")


def _missing_weights(folder: Path) -> list[str]:
    """Names of weight files that aren't there."""
    if (folder / "model.safetensors").is_file():
        return []
    index = folder / "model.safetensors.index.json"
    shards = _json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        return ["model.safetensors"]
    return sorted(name for name in _texts(shards.values()) if not (folder / name).is_file())


def _has_template(folder: Path) -> bool:
    files = ("chat_template.jinja", "chat_template.json")
    return any((folder / f).is_file() for f in files) or bool(_json(folder / "tokenizer_config.json").get("chat_template"))


def _texts(values: Iterable[Any]) -> set[str]:
    return {value for value in values if isinstance(value, str)}


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if the file isn't there or isn't one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
