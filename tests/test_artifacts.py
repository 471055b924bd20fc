"""Artefacts: what is written whole is found by path and name; what is not what was written is never loaded."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from harness import ArtifactFolder, hookimpl
from harness.artifactfiles import create, write_bundle
from harness.artifacts import CARD, Artifact, Card, find, listed, read
from harness.errors import DataError, HarnessError, UsageError
from harness.registry import Registry

CARD_OF_K = Card(kind="k", name="mine", trained_on=("cinema",))


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_ARTIFACTS", raising=False)


def made(out: Path, **changes: Any) -> Path:
    with create(out, msgspec.structs.replace(CARD_OF_K, **changes)) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "deep").mkdir()
        (folder / "deep" / "vocab.txt").write_text("a\nb\n")
    return out


def bundle(out: Path) -> Path:
    for part in ("sft", "rl"):
        made(out / part)
    write_bundle(out, Card(kind="bundle", name="both"), ["sft", "rl"])
    return out


def with_plugins(*folders: ArtifactFolder | str, distribution: str = "dist") -> Registry:
    plugin = ModuleType("plugin_with_artefacts")
    plugin.harness_artifacts = hookimpl(lambda: list(folders))
    registry = Registry(discover=False)
    registry.register("p", lambda: plugin, distribution)
    return registry


def test_every_file_is_listed_with_its_hash(tmp_path: Path) -> None:
    card = find(str(made(tmp_path / "a"))).card
    assert card.files == {
        "deep/vocab.txt": hashlib.sha256(b"a\nb\n").hexdigest(),
        "model.safetensors": hashlib.sha256(b"weights").hexdigest(),
    }
    assert {p.name for p in tmp_path.iterdir()} == {"a"}


def test_the_revision_speaks_of_contents_and_not_of_places(tmp_path: Path) -> None:
    one, same = read(made(tmp_path / "a")), read(made(tmp_path / "elsewhere" / "b", name="other", summary="else"))
    assert one.revision() == same.revision()
    with create(tmp_path / "c", CARD_OF_K) as folder:
        (folder / "model.safetensors").write_bytes(b"others")
    assert read(tmp_path / "c").revision()["files"] != one.revision()["files"]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda a: (a / "model.safetensors").write_bytes(b"weighty"), "model.safetensors is not what was written"),
        (lambda a: (a / "deep" / "vocab.txt").unlink(), "deep/vocab.txt is missing"),
        (lambda a: (a / "pytorch_model.bin").write_bytes(b"pickle"), "pytorch_model.bin is not listed"),
        (lambda a: ((a / "deep").rename(a.parent / "d"), (a / "deep").symlink_to(a.parent / "d")), "vocab.txt is missing or a"),
        (lambda a: (a / "extra").symlink_to("/etc"), "extra is not listed"),
    ],
)
def test_damage_is_told_before_anything_is_loaded(tmp_path: Path, harm: Any, told: str) -> None:
    harm(made(tmp_path / "a"))
    with pytest.raises(DataError, match=told):
        find(str(tmp_path / "a"))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "a\\b", "C:x", "", ".", "a//b", "a\nb"])
def test_a_card_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    card = json.loads((made(tmp_path / "a") / CARD).read_text())
    card["files"][name] = "0" * 64
    (tmp_path / "a" / CARD).write_text(json.dumps(card))
    with pytest.raises(DataError, match="can't be a file of an artefact"):
        find(str(tmp_path / "a"))


@pytest.mark.parametrize("change", [{"format": 2}, {"kind": 7}, {"surprise": 1}, {"parts": ["../a"]}, {"files": {"a": "x"}}])
def test_a_strange_card_is_one_clear_error(tmp_path: Path, change: dict[str, Any]) -> None:
    path = made(tmp_path / "a") / CARD
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"artifact\.json"):
        find(str(tmp_path / "a"))
    path.write_bytes(b"\xff{")
    with pytest.raises(DataError, match=r"artifact\.json is damaged"):
        find(str(tmp_path / "a"))


def test_parts_are_found_by_any_spelling_and_checked_against_the_bundle(tmp_path: Path) -> None:
    whole = bundle(tmp_path / "both")
    for spelling in ((str(whole), "rl"), (f"{whole}/rl", ""), (f"{whole}/rl/", ""), (str(whole / "rl"), "rl")):
        assert find(*spelling, kind="k").path == whole / "rl"
    with pytest.raises(UsageError, match=r"has no part 'rll'; did you mean rl\?"):
        find(str(whole), "rll")
    with pytest.raises(UsageError, match="is a bundle, but a k is needed; say which part: sft, rl"):
        find(str(whole), kind="k")
    with pytest.raises(UsageError, match="is a k, but a q is needed"):
        find(str(whole), "rl", kind="q")
    made(whole / "rl", summary="another one")  # by hand, beside the bundle's list
    with pytest.raises(DataError, match="not what"):
        find(str(whole), "rl")
    with pytest.raises(DataError, match="not what"):
        find(str(whole))


def test_names_are_looked_up_in_order_and_unknown_ones_have_a_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(tmp_path / "first" / "tiny-model")
    monkeypatch.setenv("HARNESS_ARTIFACTS", f"{tmp_path / 'no-such'}{os.pathsep}{tmp_path / 'first'}")
    second = made(tmp_path / "artifacts" / "tiny-model", summary="hidden")
    other = bundle(tmp_path / "artifacts" / "other")
    assert find("tiny-model").path == first
    assert find("other/sft").path.resolve() == other / "sft"
    monkeypatch.delenv("HARNESS_ARTIFACTS")
    assert find("tiny-model").path.resolve() == second
    with pytest.raises(UsageError, match=r"unknown artefact 'tinymodel'; did you mean tiny-model"):
        find("tinymodel")
    made(tmp_path / "here")
    assert find("here").path == Path("here")
    for nothing in ("./nowhere", "", " ", "~", "a/b/c"):
        with pytest.raises(UsageError, match=r"no artefact|unknown artefact"):
            find(nothing)


def test_plugins_bring_artefacts_and_two_of_a_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "bringer_of_artefacts"
    made(package / "made" / "small")
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    descriptor = ArtifactFolder("small", "bringer_of_artefacts", "made/small")
    registry = with_plugins(descriptor)
    assert find("small", registry=registry).path == package / "made" / "small"
    plugin = ModuleType("rival_with_artefacts")
    plugin.harness_artifacts = hookimpl(lambda: [descriptor])
    registry.register("q", lambda: plugin, "rival")
    with pytest.raises(UsageError, match=r"offered by dist .* and rival \(.*: give a path"):
        find("small", registry=registry)
    mine = made(tmp_path / "artifacts" / "small")
    assert find("small", registry=registry).path.resolve() == mine
    assert [name for name, _, _ in listed(with_plugins(ArtifactFolder("gone", "no_such_package", "x")))] == ["small"]


@pytest.mark.parametrize(
    "bad",
    [
        "not a descriptor",
        ArtifactFolder("a b", "harness", "x"),
        ArtifactFolder("a", "harness", "../x"),
        ArtifactFolder("a", "harness", "/x"),
        ArtifactFolder("a", "har ness", "x"),
        ArtifactFolder("a", "harness", 7),
    ],
)
def test_a_plugin_with_a_bad_artefact_is_broken_and_harms_nobody(bad: Any) -> None:
    registry = with_plugins(bad)
    assert registry.artifacts() == []
    assert "harness_artifacts" in (registry.broken()[0].error or "")


def test_what_is_no_artefact_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("photos", "file"):
        with pytest.raises(UsageError, match="choose another place"), create(tmp_path / name, CARD_OF_K):
            pass
    assert (tmp_path / "photos" / "one.jpg").read_text() == (tmp_path / "file").read_text() == "dear"


def test_a_failure_leaves_the_old_artefact_and_no_rubbish(tmp_path: Path) -> None:
    made(tmp_path / "a")
    before = read(tmp_path / "a")

    def fail() -> None:
        with create(tmp_path / "a", CARD_OF_K) as folder:
            (folder / "half").write_text("x")
            raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        fail()
    assert find(str(tmp_path / "a")) == before
    with pytest.raises(UsageError, match="plain files only"), create(tmp_path / "a", CARD_OF_K) as folder:
        (folder / "link").symlink_to("/etc/passwd")
    assert find(str(tmp_path / "a")) == before
    assert {p.name for p in tmp_path.iterdir()} == {"a"}


def test_a_killed_writer_leaves_nothing_that_could_be_loaded_and_the_next_one_succeeds(tmp_path: Path) -> None:
    program = (
        "import os\nfrom pathlib import Path\n"
        "from harness.artifactfiles import create\nfrom harness.artifacts import Card\n"
        "with create(Path('a'), Card(kind='k', name='n')) as folder:\n"
        "    (folder / 'half').write_text('x')\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(UsageError):
        find("a")
    assert "half" not in find(str(made(tmp_path / "a"))).card.files
    assert {p.name for p in tmp_path.iterdir()} == {"a"}


def test_texts_of_a_card_stay_texts_in_its_readme(tmp_path: Path) -> None:
    evil = "x | y\n# Big <script>alert(1)</script> [a](javascript:b) `c`"
    curve = [{"step": n, "loss": 1 / (n + 1)} for n in range(500)]
    folder = made(tmp_path / "a", name=evil, summary=evil, notes=(evil,), settings={"deep": {evil: evil}}, curves={evil: curve})
    shown = (folder / "README.md").read_text()
    assert "<script>" not in shown.replace("\\<script\\>", "")
    assert "](" not in shown
    assert shown.count("\n# ") == 0
    rows = [line for line in shown.splitlines() if line.startswith("| 499 ") or line.startswith("| 0 ")]
    assert rows == ["| 0 | 1 |", "| 499 | 0.002 |"]
    assert len(shown.splitlines()) < 100


def test_only_listed_files_are_handed_out(tmp_path: Path) -> None:
    artifact: Artifact = find(str(made(tmp_path / "a")))
    assert artifact.file("deep/vocab.txt").read_text() == "a\nb\n"
    for name in ("README.md", "../a/model.safetensors", "deep"):
        with pytest.raises(HarnessError):
            artifact.file(name)
