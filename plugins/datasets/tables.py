"""Reading tables: CSV with quoting and tab-separated files without, with errors that name file, line and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import DataError

from .files import DataFile, open_file


def read_csv(file: Path | DataFile, columns: Sequence[str], delimiter: str = ",") -> Iterator[tuple[str, dict[str, str]]]:
    """("file:line", row) for each record of a CSV file with quoted cells (which may hold line breaks); the line is its last.

    The header must hold `columns`, in any order; other columns come along. A missing cell is an error.
    """
    with open_file(file) as opened:
        reader = csv.reader(
            io.TextIOWrapper(opened, encoding="utf-8-sig", newline=""), strict=delimiter == ",", delimiter=delimiter
        )
        try:
            header = _header(next(reader, []), columns, f"{file}:1")
            for cells in reader:
                if cells:
                    where = f"{file}:{reader.line_num}"
                    yield where, _row(header, cells, where)
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not UTF-8 text after line {reader.line_num} ({error.reason})") from None
        except csv.Error as error:
            raise DataError(f"{file}:{reader.line_num}: not valid CSV ({error})") from None


def read_tsv(file: Path | DataFile, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """("file:line", row) for each line that isn't blank of a tab-separated file in which quotes are ordinary characters.

    Cells can hold neither tabs nor line breaks in this form, so a line with another number of cells is an error.
    """
    with open_file(file) as lines:
        header: list[str] | None = None
        for number, raw in enumerate(lines, 1):
            where = f"{file}:{number}"
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: not UTF-8 text ({error.reason} at byte {error.start})") from None
            if header is None:
                header = _header(line.split("\t"), columns, where)
            elif line.strip():
                yield where, _row(header, line.split("\t"), where)


def _header(cells: list[str], columns: Sequence[str], where: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(
            f"{where}: column {missing[0]!r} is missing; the header reads: {', '.join(header)[:200] or '(nothing)'}"
        )
    return header


def _row(header: list[str], cells: list[str], where: str) -> dict[str, str]:
    if len(cells) != len(header):
        raise DataError(f"{where}: expected {len(header)} cells ({', '.join(header)}), found {len(cells)}")
    return dict(zip(header, cells, strict=True))
