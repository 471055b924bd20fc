"""`harness matrix`, and what `compare` and `report` say of its runs, through the command's own entry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.matrix_settings import Named, components
from harness.errors import UsageError

Ended = tuple[int, str, str]
MATRIX = (
    "matrix", "--rec", "random,popularity", "--sim", "rule,noisy=rule", "--sim-opt", 'noisy={"eps": 0.5}', "--limit", "6",
    "--turns", "3", "--out", "grid",
)  # fmt: skip


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ended]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.timeout(900)
def test_a_matrix_is_played_gone_on_with_and_compared(harness: Callable[..., Ended], tmp_path: Path) -> None:
    code, out, err = harness(*MATRIX)
    assert code == 0, err
    assert "2 recommenders x 2 simulators on cinema" in out
    assert "a ranking" in out or "needs 3 at least" in out, "two recommenders have no rank correlation, and it says why"
    assert err.count("preparing random") == 1, "a recommender is prepared once for all simulators"
    folders = ["popularity--noisy", "popularity--rule", "random--noisy", "random--rule"]
    assert sorted(path.name for path in (tmp_path / "grid").iterdir() if path.is_dir()) == folders
    content = json.loads((tmp_path / "grid" / "matrix.json").read_bytes())
    for cell in content["cells"]:
        summary = json.loads((tmp_path / cell["folder"] / "summary.json").read_bytes())
        assert cell["values"]["sr"]["value"] == summary["metrics"]["sr"]["value"]
        manifest = json.loads((tmp_path / cell["folder"] / "manifest.json").read_bytes())
        assert manifest["fields"]["simulator.options.eps"] == (0.5 if cell["simulator"] == "noisy" else 0.0)

    # A pair whose end is lost is played on; the others are left alone.
    lost = tmp_path / "grid" / "popularity--noisy"
    whole = (lost / "dialogues.jsonl").read_bytes().splitlines()
    (lost / "dialogues.jsonl").write_bytes(b"\n".join(whole[:2]) + b"\n")
    (lost / "summary.json").unlink()
    before = (tmp_path / "grid" / "random--rule" / "summary.json").stat().st_mtime_ns
    code, again, err = harness(*MATRIX)
    assert code == 0
    assert err.count("there already") == 3 + 1  # three pairs, and two dialogues of the fourth
    assert (tmp_path / "grid" / "random--rule" / "summary.json").stat().st_mtime_ns == before
    assert again == out
    code, _, err = harness(*MATRIX[:-2], "--seed", "1", "--out", "grid")
    assert code == 3
    assert "seed: 0 -> 1" in err

    pair = ("grid/popularity--rule", "grid/random--rule")
    code, out, _ = harness("compare", *pair, "--metric", "ndcg@10", "--metric", "sr", "--differ", "1")
    assert code == 0
    assert "at turn" in out
    assert "ndcg@10: A" in out
    assert "differs" in out
    code, _, err = harness("report", *pair, "--html", "ab.html", "--limit", "2")
    assert code == 0
    assert "written to ab.html" in err
    assert (tmp_path / "ab.html").read_text().startswith("<!doctype html>")
    assert harness("report", pair[0], "--limit", "2")[0] == 2


def test_components_are_named_labelled_and_given_options() -> None:
    assert components(
        ["bm25, sharp=bm25", "x.y=own:thing"], ["sharp.k1=2", 'bm25={"k1": 1.5, "b": "0"}', "x.y.deep.er=1"], "--rec"
    ) == [
        Named("bm25", "bm25", ("k1=1.5", "b=0")),
        Named("sharp", "bm25", ("k1=2",)),
        Named("x.y", "own:thing", ("deep.er=1",)),
    ]


@pytest.mark.parametrize(
    ("said", "options", "told"),
    [
        ("a,a", (), "names 'a' twice"),
        ("a,,b", (), "write NAME"),
        ("a=", (), "write NAME"),
        ("../a", (), "write NAME"),
        ("bm25", ("bm52.k1=1",), "did you mean bm25"),
        ("bm25", ("bm25.k1",), "LABEL.key=value"),
        ("bm25", ("bm25=[1]",), "JSON object"),
    ],
)
def test_what_is_no_matrix_is_refused_with_the_fix(said: str, options: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        components([said], options, "--rec")
