"""The page of a report, without a browser: what it holds, and that nothing of what was said is markup."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hostile_world import SCENARIOS

from harness.errors import StoreError, UsageError
from harness.registry import Registry
from harness.report.elements import Html, tag
from harness.report.html import report_page
from harness.report.sections import headline
from harness.report.transcripts import PlayedRun
from harness.store import read_records


class Elements(HTMLParser):
    """Tags with their attributes, and the text of scripts by id."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        if name == "script":
            self._script = dict(attributes).get("id") or "code"

    def handle_endtag(self, name: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


@pytest.fixture(scope="module")
def elements(registry: Registry, folders: list[Path]) -> Elements:
    made = Elements()
    made.feed(report_page(registry, folders))
    return made


def unpacked(text: str) -> object:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def test_every_dialogue_is_in_the_page_as_it_was_recorded(elements: Elements, folders: list[Path]) -> None:
    index = unpacked(elements.scripts["index"])
    chunks = [entry for name, text in elements.scripts.items() if name.startswith("chunk-") for entry in unpacked(text)]
    assert index["scenarios"] == [f"s{n:03}" for n in range(SCENARIOS)]
    for run, folder in enumerate(folders):
        for record in read_records(folder):
            place = index["scenarios"].index(record.scenario)
            held = chunks[place]["runs"][run]
            assert [turn["text"] for turn in held["turns"]] == [turn.text for turn in record.turns]
            titles = [[index["titles"][item].split()[1] for item in turn["items"]] for turn in held["turns"]]
            assert titles == [[item[1:] for item in turn.items] for turn in record.turns]
            assert index["stops"][index["runs"][run]["stop"][place]] == record.stop
            assert chunks[place]["context"][0][1].startswith(f"Wish {place},")
    # Scenario n wants item n % 7; the lists of the runs are items 0 to 4 and 3 to 7.
    assert index["runs"][0]["ranks"][3] == [4, 4, 4]
    assert index["runs"][1]["ranks"][3] == [1, 1, 1]
    assert index["runs"][1]["ranks"][1] == [0, 0, 0]


def test_no_element_of_the_page_comes_from_what_was_said(elements: Elements) -> None:
    names = {name for name, _ in elements.tags}
    assert not names & {"img", "iframe", "link", "object", "b onmouseover"}
    assert not [value for _, attributes in elements.tags for value in attributes if value.startswith("on")]
    assert not [name for name, attributes in elements.tags if "src" in attributes]
    code = [attributes for name, attributes in elements.tags if name == "script" and "type" not in attributes]
    assert len(code) == 1
    policy = next(a["content"] for n, a in elements.tags if n == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_ids_are_unique_and_the_figures_refer_to_their_own(registry: Registry, folders: list[Path]) -> None:
    page = report_page(registry, folders[:1])
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) <= set(ids)
    assert page == report_page(registry, folders[:1]), "the same runs give the same page"


def test_a_page_of_few_dialogues(registry: Registry, folders: list[Path]) -> None:
    made = Elements()
    made.feed(report_page(registry, folders[:1], most=3))
    assert unpacked(made.scripts["index"])["scenarios"] == ["s000", "s001", "s002"]


def test_without_the_data_set_titles_are_missing_and_the_page_says_so(folders: list[Path]) -> None:
    page = report_page(Registry(), folders[:1])
    assert "items stand as ids" in page
    made = Elements()
    made.feed(page)
    assert "m0" in unpacked(made.scripts["index"])["titles"]


def test_what_cannot_be_shown_is_refused(registry: Registry, folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        report_page(registry, [folders[0], folders[0]])
    with pytest.raises(StoreError, match="harness score"):
        report_page(registry, [tmp_path])


def test_gains_of_several_runs_over_one_control_share_a_row(folders: list[Path]) -> None:
    def gain(control: str, value: float) -> dict[str, object]:
        return {"metric": "sr", "control": control, "difference": value, "ci": [0.0, 0.5]}

    runs = [PlayedRun.read(folder, label) for folder, label in zip(folders, "ab", strict=True)]
    held = ([gain("plain", 0.25)], [gain("plain", 0.375), gain("other", 0.125)])
    runs = [
        msgspec.structs.replace(run, summary={**run.summary, "gains": gains}) for run, gains in zip(runs, held, strict=True)
    ]
    text = re.sub(r"<[^>]*>", "|", headline(runs))
    cells = [cell.strip() for cell in text[text.index("Feedback gain") :].split("|") if cell.strip()]
    assert cells[2:] == ["a", "b", "sr over plain", "0.2500", "[0.0000, 0.5000]", "0.3750", "[0.0000, 0.5000]",
                         "sr over other", "–", "0.1250", "[0.0000, 0.5000]"]  # fmt: skip


def test_elements_escape_what_is_no_element() -> None:
    made = tag("td", "<i>&", tag("b", "&"), Html("<i></i>"), title='"><script>', hidden=True, lang=None)
    assert made == '<td title="&quot;&gt;&lt;script&gt;" hidden>&lt;i&gt;&amp;<b>&amp;</b><i></i></td>'
