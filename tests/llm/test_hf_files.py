"""A model that can't be used says why in one line, early where that can be; and what a model's fingerprint depends on."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import LlmError
from harness.llm.hf import HfModel
from harness.llm.hf_load import HfOptions
from tests.llm import tiny_model


@pytest.fixture
def copy(tiny_folder, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def refused(folder: Path | str, **options) -> str:
    """The one line that making, or else loading, this model ends with."""
    with pytest.raises(LlmError) as caught:
        HfModel(str(folder), HfOptions(**options)).load()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_path_that_is_not_there(tmp_path):
    assert refused(tmp_path / "nowhere") == (
        f"there is no model at {tmp_path}/nowhere, and '{tmp_path}/nowhere' can't be a name on the hub"
    )


def test_a_name_that_is_neither_here_nor_to_be_had_and_no_torch_was_needed(tmp_path):
    """In a process of its own: the hub's client reads its settings when it is imported."""
    code = """
import sys
from harness.errors import LlmError
from harness.llm.hf import HfModel
try:
    HfModel("nobody/nothing")
except LlmError as error:
    print(error)
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    said, loaded = ran.stdout.splitlines()
    assert said == (
        f"there is no model at {tmp_path}/nobody/nothing, none of that name in the hub's local cache, and the hub can't be"
        " reached (offline mode); give the path of a folder"
    )
    assert loaded == "[]"


def test_a_snapshot_in_the_hubs_cache_is_used_without_the_hub(tiny_folder, tmp_path):
    """A cache as the hub's client leaves it: blobs named by hash, links in a snapshot, a ref."""
    root = tmp_path / "hub" / "models--some--model"
    snapshot = root / "snapshots" / ("a" * 40)
    for folder in (snapshot, root / "blobs", root / "refs"):
        folder.mkdir(parents=True)
    (root / "refs" / "main").write_text("a" * 40)
    for file in tiny_folder.iterdir():
        shutil.copy(file, root / "blobs" / file.name)
        (snapshot / file.name).symlink_to(root / "blobs" / file.name)
    code = "from harness.llm.hf import HfModel; print(HfModel('some/model')._folder)"
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(snapshot)


def test_pickled_weights_are_not_read(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert "its weights are pickles (pytorch_model.bin), which can run code" in refused(copy)


def test_a_missing_shard_is_named(copy):
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert refused(copy).endswith(f"{copy} lacks model-00002-of-00002.safetensors")


def test_a_folder_that_holds_something_else(tmp_path, copy):
    assert "holds no config.json" in refused(tmp_path)
    assert "is a file; give the folder that it lies in" in refused(copy / "config.json")
    assert "revision=main is for models of the hub" in refused(copy, revision="main")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert f"name its base model, hf:BASE, and add adapter={tmp_path}" in refused(tmp_path)


def test_a_model_without_a_chat_template_takes_one_from_a_file(copy, tmp_path):
    (copy / "chat_template.jinja").unlink()
    said = refused(copy)
    assert "there is no chat template (no chat_template.jinja, and no chat_template in tokenizer_config.json" in said
    assert "chat_template=FILE" in said
    assert "chat_template=/no/such can't be read" in refused(copy, chat_template="/no/such")
    own = tmp_path / "own.jinja"
    own.write_text("{{ messages[0].content }}:")
    model = HfModel(str(copy), HfOptions(chat_template=str(own)))
    model.load()
    assert "template" in model.revision()


def test_damaged_weights_and_configurations(copy):
    (copy / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    assert f"hf:{copy}: it can't be loaded: " in refused(copy)
    (copy / "config.json").write_text("[")
    assert "can't be loaded" in refused(copy)


def test_code_of_the_models_own_is_never_run(copy):
    mark = copy / "was-run"
    (copy / "modeling_own.py").write_text(f"open({str(mark)!r}, 'w')")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.M"}}
    (copy / "config.json").write_text(json.dumps(config))
    said = refused(copy)
    assert "needs code of its own (trust_remote_code), which the harness never runs" in said
    assert not mark.exists()


def test_a_recurrent_model_is_refused(tmp_path):
    tokenizer = tiny_model.make_tokenizer()
    from transformers import MambaConfig, MambaForCausalLM

    mamba = MambaForCausalLM(MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, state_size=4))
    assert "models of type mamba keep more than keys and values" in refused(tiny_model.save(tmp_path, mamba, tokenizer))


def test_devices_that_are_not_there(copy):
    assert "torch knows no such device" in refused(copy, device="gpu")
    import torch

    if not torch.cuda.is_available():
        assert "option device=cuda: there is no such device here; device=cpu always works" in refused(copy, device="cuda")


def test_what_other_packages_are_for(copy, tmp_path):
    if importlib.util.find_spec("accelerate") is None:
        assert "device_map=auto needs the package accelerate" in refused(copy, device_map="auto")
    assert "there is no adapter at" in refused(copy, adapter=str(tmp_path / "nowhere"))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.bin").write_text("")
    assert "holds no adapter_model.safetensors (only safetensors are read" in refused(copy, adapter=str(adapter))
    (adapter / "adapter_model.safetensors").write_text("")
    if importlib.util.find_spec("peft") is None:
        assert "needs the package peft: pip install peft" in refused(copy, adapter=str(adapter))


def test_an_adapter_changes_what_is_said_and_the_revision(tiny_folder, tmp_path):
    peft = pytest.importorskip("peft")
    import asyncio

    import torch
    from transformers import AutoModelForCausalLM

    from tests.llm.asking import ask, run

    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    plain, changed = HfModel(str(tiny_folder)), HfModel(str(tiny_folder), HfOptions(adapter=str(tmp_path)))
    texts = [run(model.chat(ask("a film", max_tokens=12))).text for model in (plain, changed)]
    assert texts[0] != texts[1]
    assert plain.revision() != changed.revision()
    loaded = changed._worker.load()
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert torch.allclose(loaded.model(ids).logits, adapted(ids).logits, atol=1e-4)
    for model in (plain, changed):
        asyncio.run(model.close())


def test_the_revision_follows_the_files_and_not_their_place(tiny_folder, copy, tmp_path):
    def files(folder: Path) -> str:
        return str(HfModel(str(folder)).revision()["files"])

    original = files(tiny_folder)
    assert files(copy) == original
    for name in ("README.md", "artifact.json"):  # they tell about it
        (copy / name).write_text("Hello.")
    assert files(copy) == original
    (copy / "chat_template.jinja").write_text(tiny_model.TEMPLATE + " ")
    changed = files(copy)
    assert changed != original
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert files(copy) not in (original, changed)
