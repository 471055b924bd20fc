from __future__ import annotations

import pytest

from harness.errors import DataError
from harness_plugins.datasets.tables import read_csv, read_tsv


def test_csv_with_crlf_quotes_and_line_breaks_in_cells(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes('\ufeffid,text,more\r\n1,"one, two\r\nthree",x\r\n\r\n2,"say ""hi""",\r\n'.encode())
    assert list(read_csv(file, ("text", "id"))) == [
        (f"{file}:3", {"id": "1", "text": "one, two\r\nthree", "more": "x"}),
        (f"{file}:5", {"id": "2", "text": 'say "hi"', "more": ""}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,other\n1,2\n", r"a\.csv:1: column 'text' is missing; the header reads: id, other"),
        (b"", r"a\.csv:1: column 'id' is missing; the header reads: \(nothing\)"),
        (b"id,text\n1\n", r"a\.csv:2: expected 2 cells \(id, text\), found 1"),
        (b'id,text\n1,"open\n', r"a\.csv:\d: not valid CSV"),
        (b"id,text\n1,\xff\n", r"a\.csv: not UTF-8 text after line"),
    ],
)
def test_csv_errors_name_the_line(tmp_path, content, message):
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_csv(file, ("id", "text")))


def test_tsv_takes_quotes_as_they_are(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_bytes(b'id\ttext\r\n1\t"Tis one\r\n\r\n2\tsay "no\n')
    assert list(read_tsv(file, ("id", "text"))) == [
        (f"{file}:2", {"id": "1", "text": '"Tis one'}),
        (f"{file}:4", {"id": "2", "text": 'say "no'}),
    ]


def test_tsv_errors_name_the_line(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_bytes(b"id\ttext\n1\ta\tb\n")
    with pytest.raises(DataError, match=r"a\.tsv:2: expected 2 cells \(id, text\), found 3"):
        list(read_tsv(file, ("id",)))
    file.write_bytes(b"id\ttext\n1\t\xe9\n")
    with pytest.raises(DataError, match=r"a\.tsv:2: not UTF-8 text"):
        list(read_tsv(file, ("id",)))
