from __future__ import annotations

import gzip
import zipfile

import pytest

from harness.api import DatasetCard, RemoteFile
from harness.errors import DataError
from harness_plugins.datasets.files import data_folder, field, find_file, need_file, read_json, read_jsonl, user_cache

CARD = DatasetCard("toy", "Toy", "CC0", "nobody", "https://example.org", "Ask the authors")
REMOTE = DatasetCard(
    "toy", "Toy", "CC0", "nobody", "https://example.org", "", (RemoteFile("toy.zip", "https://example.org/toy.zip"),)
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


def test_user_cache_follows_xdg_and_ignores_relative_values(tmp_path, monkeypatch):
    assert user_cache() == tmp_path / "cache" / "harness"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "harness"


def test_folder_order_option_then_environment_then_cache(tmp_path, monkeypatch):
    cached = tmp_path / "cache" / "harness" / "data" / "toy_files"
    cached.mkdir(parents=True)
    assert data_folder(None, "toy_files", CARD) == cached
    shared = tmp_path / "all" / "toy_files"
    shared.mkdir(parents=True)
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "all"))
    assert data_folder(None, "toy_files", CARD) == shared
    assert data_folder(str(tmp_path), "toy_files", CARD) == tmp_path


def test_folder_of_the_downloader_is_found_by_card_name(tmp_path):
    (tmp_path / "cache" / "harness" / "data" / "toy").mkdir(parents=True)
    assert data_folder(None, "toy_files", CARD).name == "toy"


def test_missing_folder_says_where_it_looked_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "all"))
    with pytest.raises(DataError) as caught:
        data_folder(None, "toy_files", CARD)
    for part in (str(tmp_path / "all" / "toy_files"), str(tmp_path / "cache"), "Ask the authors", "path=DIR"):
        assert part in str(caught.value)
    assert "harness data get" not in str(caught.value)  # nothing could be fetched
    with pytest.raises(DataError, match="harness data get toy"):
        data_folder(None, "toy_files", REMOTE)
    with pytest.raises(DataError, match="path=nowhere"):
        data_folder("nowhere", "toy_files", CARD)


def test_jsonl_plain_gz_and_zip_give_the_same_lines(tmp_path):
    content = '\ufeff{"a": 1}\r\n\n{"a": "é\u2028"}'.encode()
    (tmp_path / "x.jsonl").write_bytes(content)
    with gzip.open(tmp_path / "y.jsonl.gz", "wb") as out:
        out.write(content)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("folder/z.jsonl", content)
        archive.writestr("__MACOSX/folder/z.jsonl", b"junk")
    expected = [(1, {"a": 1}), (3, {"a": "é\u2028"})]
    for name in ("x.jsonl", "y.jsonl", "z.jsonl"):
        assert list(read_jsonl(need_file(tmp_path, name, card=CARD))) == expected
    assert list(read_jsonl(need_file(tmp_path / "all.zip", "z.jsonl", card=CARD))) == expected
    assert find_file(tmp_path, "none.jsonl") is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"a": 1', "not valid JSON"),
        (b"[1]", "expected a JSON object"),
        (b"null", "found null"),
        (b'{"a": "\xe9"}', "not UTF-8"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, says):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(b"{}\n" + line + b"\n{}\n")
    with pytest.raises(DataError, match=says) as caught:
        list(read_jsonl(file))
    assert str(caught.value).startswith(f"{file}:2: ")


def test_damaged_archives_are_named(tmp_path):
    whole = gzip.compress(b'{"a": 1}\n' * 10_000, mtime=0)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz: the archive is damaged"):
        list(read_jsonl(tmp_path / "cut.jsonl.gz"))
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(DataError, match=r"bad\.zip"):
        find_file(tmp_path, "x.jsonl")
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_field_checks_type_and_names_the_place():
    assert field({"a": "x"}, "a", str, "f:1") == "x"
    assert field({}, "a", str, "f:1", "d") == "d"
    assert field({"a": 2}, "a", float, "f:1") == 2
    for record, kind, says in (
        ({}, str, "f:1: field 'a' is missing; expected a string"),
        ({"a": None}, str, "f:1: field 'a': expected a string, found null"),
        ({"a": True}, int, "f:1: field 'a': expected an integer, found true or false: true"),
        ({"a": [1]}, dict, r"f:1: field 'a': expected an object, found a list: \[1\]"),
    ):
        with pytest.raises(DataError, match=says):
            field(record, "a", kind, "f:1")
