"""`harness data`."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FILMS = b"Alien\nHeat\n"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serves films.txt at the address that the data set `remote` names."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "films.txt").write_bytes(FILMS)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        monkeypatch.setenv("CLUB_URL", f"http://127.0.0.1:{served.server_port}")
        monkeypatch.setenv("CLUB_SHA", hashlib.sha256(FILMS).hexdigest())
        yield
        served.shutdown()
        thread.join()


def counts(out: str) -> dict[str, list[str]]:
    """The counts' table: label -> one value per split."""
    table = next(part for part in out.split("\n\n") if part.startswith("count"))
    cut = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]
    return {row[0]: row[1:] for row in cut}


@pytest.mark.usefixtures("club")
def test_list_shows_licences_and_what_can_be_downloaded(harness: Callable) -> None:
    lines = {line.split()[0]: line.split()[1:] for line in harness("data", "list").out.splitlines() if line.strip()}
    assert lines["club"] == ["CC0", "no", "four", "films"]
    assert lines["remote"] == ["CC0", "yes", "to", "be", "downloaded"]


# By hand, from the four films of conftest.py: s1 and s2 come from d1, s3 from d2. The context of s2 names one of its two
# targets, that of s3 its only one, so novel keeps s1 and s2. Contexts have 2, 3 and 1 messages.
@pytest.mark.usefixtures("club")
def test_info_counts_what_was_counted_by_hand(harness: Callable) -> None:
    ran = harness("data", "info", "club", "--split", "test")
    assert ran.code == 0, ran.err
    found = counts(ran.out)
    assert found["count"] == ["test"]
    assert found["scenarios, all"] == ["3"]
    assert found["scenarios, novel"] == ["2"]
    assert found["rows with a target that the context names"] == ["2 (66.7%)"]
    assert found["dialogues they are cut from"] == ["2"]
    assert found["targets per scenario"] == ["1.3 (1 to 2)"]
    assert found["messages per context"] == ["2.0 (1 to 3)"]
    assert found["training dialogues"] == ["2"]
    assert found["with likes, dislikes or seen"] == ["1"]
    assert found["messages per dialogue"] == ["4.5 (3 to 6)"]
    assert found["items"] == ["4"]
    assert "note: four films only" in ran.out
    assert "Nobody 2020" in ran.out


@pytest.mark.usefixtures("club")
def test_info_shows_how_much_of_the_catalogue_has_which_attribute(harness: Callable) -> None:
    shown = json.loads(harness("data", "info", "club", "--json").out)["attributes"]
    assert [(a["facet"], a["items"], a["share"], a["values"]) for a in shown] == [
        ("genre", 3, 0.75, 3),
        ("director", 1, 0.25, 1),
        ("(year)", 3, 0.75, 3),
        ("(text)", 1, 0.25, 1),
    ]


@pytest.mark.usefixtures("club")
def test_info_shows_reference_scores_of_the_novel_scenarios(harness: Callable) -> None:
    out = harness("data", "info", "club").out
    table = next(part for part in out.split("\n\n") if part.startswith("reference scores"))
    assert table.splitlines()[2].split() == ["best", "guess", "0.5000"], "two novel scenarios, divided by four"
    assert "best guess: by hand" in table


@pytest.mark.usefixtures("club")
def test_info_goes_on_without_a_split_that_is_not_there(harness: Callable) -> None:
    ran = harness("data", "info", "club")
    assert ran.code == 0
    assert counts(ran.out)["count"] == ["train", "test"]
    assert "not loaded: validation: club: there is no validation split" in ran.out
    named = harness("data", "info", "club", "--dataset-opt", "split=validation")
    assert named.code == 2
    assert named.err == "error: club: there is no validation split\n"


@pytest.mark.usefixtures("club")
def test_info_s_hashes_are_those_that_runs_record(harness: Callable) -> None:
    from harness.assembly import assemble
    from harness.config import Choice, RunConfig
    from harness.registry import Registry

    shown = {split["split"]: split for split in json.loads(harness("data", "info", "club", "--json").out)["splits"]}["test"]
    for variant in ("all", "novel"):
        config = RunConfig(
            recommender=Choice("shelf"), simulator=None, dataset=Choice("club"), variant=variant, turns=1
        )  # fmt: skip
        assert shown[f"hash_{variant}"] == assemble(Registry(), config).data_hash


@pytest.mark.usefixtures("club")
def test_info_hands_options_on(harness: Callable) -> None:
    assert harness("data", "info", "club", "--dataset-opt", "pages=2").code == 0
    ran = harness("data", "info", "club", "--dataset-opt", "pagse=2")
    assert ran.code == 2
    assert "did you mean pages?" in ran.err


@pytest.mark.usefixtures("club", "server")
def test_get_shows_the_terms_then_downloads_into_the_cache(harness: Callable, tmp_path: Path) -> None:
    ran = harness("data", "get", "remote")
    assert ran.code == 0, ran.err
    target = tmp_path / "cache" / "harness" / "data" / "remote" / "films.txt"
    assert target.read_bytes() == FILMS
    assert ran.out.index("CC0") < ran.out.index("Nobody 2020") < ran.out.index(str(target))
    assert "harness data info remote" in ran.out
    assert harness("data", "get", "remote").code == 0, "a second time"


@pytest.mark.usefixtures("club", "server")
def test_get_keeps_nothing_that_is_not_the_official_file(
    harness: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUB_SHA", "0" * 64)
    ran = harness("data", "get", "remote")
    assert ran.code == 2
    assert "SHA-256" in ran.err
    assert not (tmp_path / "cache" / "harness" / "data" / "remote" / "films.txt").exists()


@pytest.mark.usefixtures("club")
def test_get_says_what_to_do_by_hand(harness: Callable) -> None:
    ran = harness("data", "get", "by-hand")
    assert ran.code == 2
    assert "Write to the club" in ran.err
    assert "CC0" in ran.out


@pytest.fixture
def written(harness: Callable, club: None, tmp_path: Path) -> Path:
    """The club in the harness's own format."""
    out = tmp_path / "club.jsonl"
    ran = harness("data", "convert", "club", str(out), "--split", "test", "--split", "train")
    assert ran.code == 0, ran.err
    assert "1 train" in ran.out
    assert "3 test" in ran.out
    assert "CC0" in ran.out
    return out


def test_what_convert_writes_is_valid_and_counts_the_same(harness: Callable, written: Path) -> None:
    ran = harness("data", "validate", str(written))
    assert ran.code == 0, ran.out
    assert "is valid" in ran.out
    before, after = (
        counts(harness("data", "info", *arguments, "--split", "test").out)
        for arguments in (("club",), ("jsonl", "--dataset-opt", f"path={written}"))
    )
    for label in ("scenarios, all", "scenarios, novel", "targets per scenario", "messages per context", "training dialogues"):
        assert before[label] == after[label]


def test_validate_lists_every_problem_and_ends_with_2(harness: Callable, written: Path) -> None:
    lines = written.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace('"title"', '"tilte"')
    lines[3] = "{"
    written.write_text("\n".join(lines) + "\n", encoding="utf-8")
    ran = harness("data", "validate", str(written))
    assert ran.code == 2
    assert f"{written}:2" in ran.out
    assert f"{written}:4" in ran.out
    machine = harness("data", "validate", str(written), "--json")
    assert machine.code == 2
    assert json.loads(machine.out)["problems"] == ran.out.strip().splitlines()


def test_convert_writes_over_nothing(harness: Callable, written: Path) -> None:
    before = written.read_bytes()
    ran = harness("data", "convert", "club", str(written), "--split", "test")
    assert ran.code == 2
    assert "there already" in ran.err
    assert written.read_bytes() == before


@pytest.mark.usefixtures("club")
def test_convert_leaves_out_no_split_in_silence(harness: Callable, tmp_path: Path) -> None:
    ran = harness("data", "convert", "club", str(tmp_path / "out.jsonl"))
    assert ran.code == 2
    assert "say --split train --split test" in ran.err
    assert "there is no validation split" in ran.err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.usefixtures("club")
def test_convert_refuses_the_novel_variant(harness: Callable, tmp_path: Path) -> None:
    ran = harness("data", "convert", "club", str(tmp_path / "out.jsonl"), "--dataset-opt", "variant=novel")
    assert ran.code == 2
    assert "all rows" in ran.err
