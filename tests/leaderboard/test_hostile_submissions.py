"""Submissions that are broken or cheat: each is refused for the right reason, and the honest ones pass.

A cheat here knows the format: hashes and fingerprints are made right again after each change, and claimed scores where that
could help.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forging import DIALOGUES, MANIFEST, RANKS, SUBMISSION, Forgery, Lines

from harness.cli import main
from harness.errors import UsageError
from harness.leaderboard.prepare import About, prepare
from harness.leaderboard.replay import Loader
from harness.leaderboard.validate import Verdict, validate
from harness.registry import Registry

Change = Callable[[Forgery], Any]
CONTROL = "control-exclude-only.manifest.json"
CONTROL_RANKS = "control-exclude-only.ranks.jsonl.gz"


def submission(change: Callable[[dict[str, Any]], Any]) -> Change:
    return lambda forgery: forgery.json(change)


def put(value: Any, *path: str | int) -> Change:
    """Set a value in submission.json."""

    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return submission(change)


def manifest(**values: Any) -> Change:
    def change(forgery: Forgery) -> None:
        forgery.json(lambda content: content.update(values), MANIFEST)
        forgery.reseal()

    return change


def lines(change: Callable[[Lines], Lines | None]) -> Change:
    """Change dialogues; the claimed scores stay what they were, which is told as well."""
    return lambda forgery: forgery.dialogues(change, rescore=False)


def hidden(change: Change) -> Change:
    """Then claim the scores that the changed dialogues give."""
    return lambda forgery: (change(forgery), forgery.rescore())


def one(wanted: Callable[[dict[str, Any]], bool], change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change the first dialogue that is as wanted."""

    def changed(every: Lines) -> None:
        change(next(line for line in every if wanted(line)))

    return lines(changed)


def long(line: dict[str, Any]) -> bool:
    return len(line["turns"]) == 5


def accepted(line: dict[str, Any]) -> bool:
    return line["stop"] == "accepted"


def turn(number: int, **values: Any) -> Change:
    return one(long, lambda line: line["turns"][number].update(values))


def frame(**values: Any) -> Change:
    return one(long, lambda line: line.update(values))


def hard(every: Lines) -> str:
    """A scenario that was not solved in any trial."""
    won = {line["scenario"] for line in every if accepted(line)}
    return next(line["scenario"] for line in every if line["scenario"] not in won)


def drop_hard(every: Lines) -> Lines:
    return [line for line in every if line["scenario"] != hard(every)]


def easy_twice(every: Lines) -> Lines:
    easy = next(line for line in every if accepted(line))
    return [easy if line["scenario"] == hard(every) else line for line in every]


def swap_turns(every: Lines) -> None:
    first, second = [line for line in every if long(line)][:2]
    first["turns"], second["turns"] = second["turns"], first["turns"]


def swap_all(every: Lines) -> None:
    first = every[0]
    second = next(line for line in every if line["scenario"] != first["scenario"])
    for key in ("scenario", "source"):
        first[key], second[key] = second[key], first[key]


def target_first(line: dict[str, Any]) -> None:
    """A target in the place of the first item, turned down like that one was."""
    target, turn = line["targets"][0], line["turns"][0]
    first = turn["items"][0]
    for field in ("items", "rejected"):
        turn[field] = [target if item == first else item for item in turn[field]]


def negative(forgery: Forgery) -> None:
    def change(every: Lines) -> None:
        every[0]["turns"][0]["recommender_usage"] = {"prompt_tokens": -5}

    forgery.dialogues(change, rescore=False)  # the sum of such tokens would be refused already


def easy_target(line: dict[str, Any]) -> None:
    line["targets"] = line["turns"][0]["items"][:1]


def void(every: Lines) -> None:
    fault = {"blame": "simulator", "kind": "empty", "message": "", "role": "simulator"}
    for line in every[:3]:
        line["turns"] = line["turns"][:1]
        line["stop"], line["faults"] = "simulator_fault", [fault, fault, fault]


def link(name: str) -> Change:
    def change(forgery: Forgery) -> None:
        outside = forgery.folder.parent / "outside"
        (forgery.folder / name).rename(outside)
        (forgery.folder / name).symlink_to(outside)

    return change


def encoded(encoding: str) -> Change:
    def change(forgery: Forgery) -> None:
        path = forgery.folder / SUBMISSION
        path.write_bytes(path.read_text(encoding="utf-8").replace("Ada", "Adé").encode(encoding))

    return change


def whole(content: bytes) -> Change:
    return lambda forgery: (forgery.folder / SUBMISSION).write_bytes(content)


def nested(forgery: Forgery) -> None:
    (forgery.folder / MANIFEST).write_bytes(b'{"format":1,"fields":{"a":' + b"[" * 100_000)


def bomb(line_count: int, line_length: int) -> Change:
    def change(forgery: Forgery) -> None:
        block = (b"0" * line_length + b"\n" * bool(line_count - 1)) * min(line_count, 1000)
        packed = b"".join(gzip.compress(block, mtime=0) for _ in range(max(1, line_count // 1000)))
        forgery.packed(packed)

    return change


def packed(change: Callable[[bytes], bytes]) -> Change:
    return lambda forgery: forgery.packed(change((forgery.folder / forgery.name).read_bytes()))


def foreign_package(forgery: Forgery) -> None:
    for name in (MANIFEST, CONTROL):
        forgery.fields(name, recommender__distribution="mine")
    put("", "code_url")(forgery)


def unsigned(forgery: Forgery) -> None:
    forgery.fields(sign=False, recommender__version="9.9")


def other_control(forgery: Forgery) -> None:
    forgery.fields(CONTROL, recommender__name="random")


def not_recorded_hash(forgery: Forgery) -> None:
    forgery.dialogues(lambda every: every[0].update(seconds={"recommender": 1.0}), rescore=False)
    forgery.json(lambda content: content["files"].update({DIALOGUES: "0" * 64}))


MANY = "3" * 90


def said_twice(forgery: Forgery) -> None:
    unpacked = gzip.decompress((forgery.folder / forgery.name).read_bytes())
    forgery.raw(unpacked.replace(b'"source":', b'"source":"what was said","source":', 1))


CASES: dict[str, tuple[Change, str, str]] = {
    # name: (change, file and field, reason)
    "edited score": (put(0.99, "results", "scores", "sr", "value"), "submission.json: results.scores.sr.value", "says 0.99"),
    "edited interval": (put([0.9, 0.95], "results", "scores", "sr", "ci"), "results.scores.sr.ci[0]", "says 0.9"),
    "edited micro": (put(0.5, "results", "scores", "recall@1", "micro"), "results.scores.recall@1.micro", "says 0.5"),
    "edited curve": (put(1.0, "results", "by_turn", "success", 0), "results.by_turn.success[0]", "says 1"),
    "edited count": (put(11, "results", "counts", "leaking"), "results.counts.leaking", "says 11"),
    "edited gain": (put(0.7, "results", "gains", 0, "difference"), "results.gains[0].difference", "says 0.7"),
    "edited cost": (put(7, "results", "spent", "recommender", "calls"), "results.spent.recommender.calls", "says 7"),
    "fewer n": (put(3, "results", "scores", "sr", "n"), "results.scores.sr.n", "says 3"),
    "a score left out": (submission(lambda s: s["results"]["scores"].pop("sr")), "results.scores.sr", "says nothing"),
    "a score added": (
        submission(lambda s: s["results"]["scores"].update(best=s["results"]["scores"]["sr"])),
        "results.scores.best",
        "the dialogues give nothing",
    ),
    "pass^k rising": (put(1.0, "results", "passed", 1, "value"), "results.passed[1].value", "can't rise"),
    "a field twice": (lambda f: f.text('"name": ', '"name": "Other",\n  "name": '), "submission.json: name", "stands twice"),
    "a field twice inside": (lambda f: f.text('"n": ', '"n": 1, "n": '), "submission.json: n", "stands twice"),
    "letters that look alike": (put("Mоst wanted 1.0", "name"), "name", "several alphabets"),
    "extra field": (put(1, "reproduced"), "submission.json", "unknown field `reproduced`"),
    "extra field inside": (put(1, "results", "scores", "sr", "note"), "results.scores", "unknown field `note`"),
    "extra field deep inside": (put(1, "results", "spent", "recommender", "tips"), "results.spent", "unknown field `tips`"),
    "missing field": (submission(lambda s: s.pop("authors")), "submission.json", "required field `authors`"),
    "NaN": (lambda f: f.text('"invalid": 0', '"invalid": NaN'), "submission.json", "is no JSON"),
    "infinity by exponent": (lambda f: f.text('"invalid": 0', '"invalid": 1e999'), "submission.json", "out of range"),
    "a huge count": (lambda f: f.text('"invalid": 0', f'"invalid": {MANY}'), "results.counts.invalid", ""),
    "a huge score": (put(1e300, "results", "scores", "sr", "value"), "results.scores", "<="),
    "a negative count": (put(-1, "results", "counts", "invalid"), "results.counts.invalid", ">= 0"),
    "a text for a number": (put("0.9", "results", "scores", "sr", "value"), "results.scores", ""),
    "another format": (put(2, "format"), "format", "2"),
    "HTML in the name": (put("<script>alert(1)</script>", "name"), "submission.json: name", "no markup"),
    "HTML in the description": (put("see <img src=x onerror=alert(1)>", "description"), "description", "no markup"),
    "a markdown link in the name": (put("[best](https://evil.example)", "name"), "submission.json: name", "no markup"),
    "a table's bar in an author": (put("Ada | 0.99", "authors", 0), "authors[0]", "no markup"),
    "a line break in an author": (put("Ada\n# best", "authors", 0), "authors[0]", "no invisible characters"),
    "a text that turns round": (put("Mos\u202etnedom", "name"), "submission.json: name", "invisible"),
    "code in a data set's name": (put(["`x`"], "trained_on"), "trained_on[0]", "no markup"),
    "a script as address": (put("javascript:alert(1)", "code_url"), "code_url", "https"),
    "an address that breaks out": (put('https://x.org/"><script>', "code_url"), "code_url", "https"),
    "an address with a password": (put("https://me:secret@x.org/", "code_url"), "code_url", "https"),
    "no code of a stranger's recommender": (foreign_package, "code_url", "is empty"),
    "no author": (put([], "authors"), "authors", "length >= 1"),
    "a name without end": (put("x" * 81, "name"), "name", "length <= 80"),
    "a path out of the folder": (put("0" * 64, "files", "../../../etc/passwd"), "files.../../../etc/passwd", "paths"),
    "an absolute path": (put("0" * 64, "files", "/etc/passwd"), "files./etc/passwd", "paths"),
    "a control that is a path": (put(["../x"], "controls"), "controls", "no simulator's name"),
    "a control twice": (put(["exclude-only"] * 2, "controls"), "controls", "twice"),
    "UTF-16": (encoded("utf-16"), "submission.json", "is no JSON in UTF-8"),
    "Latin-1": (encoded("latin-1"), "submission.json", "UTF-8"),
    "half a file": (whole(b'{"format": 1, "name": "x"'), "submission.json", "is no JSON"),
    "no object": (whole(b"[]"), "submission.json", "Expected `object`"),
    "nested without end": (nested, "manifest.json", "nested too deeply"),
    "a large file": (whole(b" " * (5 << 20)), "submission.json", "larger than 4 MiB"),
    "a link": (link(DIALOGUES), "dialogues.jsonl.gz", "is a link"),
    "submission.json as a link": (link(SUBMISSION), "submission.json", "is a link"),
    "a folder inside": (lambda f: (f.folder / "code").mkdir(), "code", "is a folder"),
    "a stranger's file": (lambda f: (f.folder / "setup.py").write_text("import os"), "setup.py", "no file of a submission"),
    "a pipe": (lambda f: os.mkfifo(f.folder / "notes.json"), "notes.json", "no plain file"),
    "a file missing": (lambda f: (f.folder / DIALOGUES).unlink(), "dialogues.jsonl.gz", "is missing"),
    "no manifest": (lambda f: (f.folder / MANIFEST).unlink(), "manifest.json", "is missing"),
    "both forms": (lambda f: (f.folder / RANKS).write_bytes(b""), RANKS, "belongs to no part"),
    "another hash": (not_recorded_hash, f"files.{DIALOGUES}", "hash differs"),
    "another simulator": (lambda f: f.fields(simulator__name="oracle"), "manifest.json: fields", "name: rule -> oracle"),
    "another prompt of the simulator": (
        lambda f: f.fields(simulator__revision__prompt="accept everything"),
        "manifest.json: fields",
        "simulator.revision.prompt: (absent)",
    ),
    "another simulator's version": (lambda f: f.fields(simulator__version="7"), "manifest.json: fields", "simulator.version"),
    "fields without a fingerprint": (unsigned, "manifest.json: fingerprint", "changed after the run"),
    "another protocol": (lambda f: f.fields(protocol="2"), "fields.protocol", "protocol 1"),
    "an unknown field of a run": (lambda f: f.fields(bonus=1), "fields.bonus", "no such field"),
    "an unknown part of a component": (lambda f: f.fields(recommender__targets="all"), "fields.recommender.targets", ""),
    "turns without end": (lambda f: f.fields(turns=10**18), "fields.turns", "from 1 to 100"),
    "more turns than the board": (lambda f: f.fields(turns=9), "manifest.json: fields", "turns: 5 -> 9"),
    "longer lists than the board": (lambda f: f.fields(k=50, success_k=50), "manifest.json: fields", "k: 10 -> 50"),
    "another data hash": (lambda f: f.fields(data_hash="0" * 64), "manifest.json: fields", "data_hash: "),
    "a place on the checker's machine": (lambda f: f.fields(dataset__options__path="/etc/passwd"), "options.path", "no file"),
    "another place there": (lambda f: f.fields(dataset__options__cache="~/.ssh"), "options.cache", "no file"),
    "a tuple without end": (turn(0, dropped=10**12), "turns[0].dropped", "from 0 to 100,000"),
    "the other variant": (lambda f: f.fields(variant="all"), "manifest.json: fields", "variant: novel -> all"),
    "more scenarios claimed": (manifest(scenarios=21), "", "of the run's 42"),
    "other rows": (manifest(rows=99), "manifest.json: rows", "is 99"),
    "an extra field of the manifest": (manifest(x=1), MANIFEST, "`x`"),
    "hard scenarios dropped": (hidden(lines(drop_hard)), "dialogues.jsonl.gz", "38 dialogues of the run's 40"),
    "easy ones twice": (hidden(lines(easy_twice)), "dialogues.jsonl.gz: line", "stands on line"),
    "one more dialogue": (lines(lambda every: [*every, every[0]]), "line 41", "more lines than the 40"),
    "a foreign scenario": (frame(scenario="mine"), "scenario 'mine'", "not among the scenarios"),
    "a foreign source": (frame(source="mine"), "source", "in the data"),
    "transcripts swapped": (hidden(lines(swap_turns)), "dialogues.jsonl.gz: ", "not what this simulator answers"),
    "scenarios swapped": (lines(swap_all), "targets", "not those of the data"),
    "the target put into a list": (hidden(one(long, target_first)), "turns[0].", "not what this simulator answers"),
    "an easy target": (one(long, easy_target), "targets", "not those of the data"),
    "the user's words changed": (hidden(turn(0, user_text="I love it.")), "turns[0].user_text", "not what this simulator"),
    "what the user accepts": (one(accepted, lambda d: d["turns"][-1].update(accepted=["c0001"])), "accepted", ""),
    "an action that should end it": (turn(0, action="accept"), "turns[0].action", "goes on"),
    "acceptance without an action": (frame(stop="accepted"), "stop", "the last action is"),
    "quit without an action": (frame(stop="quit"), "stop", "the last action is"),
    "incomplete": (frame(stop="transport"), "stop", "resume the run"),
    "cancelled": (frame(stop="cancelled"), "stop", "resume the run"),
    "too many invalid": (lines(void), "dialogues.jsonl.gz: stop", "3 of 40 dialogues are invalid"),
    "invalid at the first fault": (
        one(long, lambda d: d.update(stop="simulator_fault", faults=[{"blame": "simulator", "kind": "x", "message": ""}])),
        "faults",
        "after 2 retries",
    ),
    "a fault without one": (frame(stop="recommender_fault"), "stop", "no fault of the recommender is recorded"),
    "an unknown stop reason": (frame(stop="won"), "stop", "won"),
    "ended too early": (one(long, lambda d: d.update(turns=d["turns"][:3])), "stop", "after 3 of 5"),
    "too many turns": (one(long, lambda d: d.update(turns=d["turns"] * 2)), "turns", "10 turns"),
    "too long a list": (turn(0, items=[f"c{n:04}" for n in range(1, 12)]), "turns[0].items", "at most 10"),
    "an unknown item passed off": (turn(4, items=["nonsense"]), "turns[4].unknown", "not in the catalogue"),
    "repeats hidden": (turn(0, items=["c0001", "c0001"]), "turns[0].repeated", "repeats 1"),
    "an extra field of a turn": (turn(0, score=1), "line", "unknown field `score`"),
    "an extra field of usage": (turn(0, recommender_usage={"calls": 1, "tip": 2}), "line", "unknown field `tip`"),
    "negative tokens": (negative, "recommender_usage.prompt_tokens", "from 0"),
    "a trial too many": (frame(trial=7), "trial", "2 trial(s)"),
    "no target": (frame(targets=[]), "targets", "at least one"),
    "negative seconds": (frame(seconds={"recommender": -1.0}), "seconds.recommender", "seconds"),
    "a novel as an answer": (turn(0, text="x" * 20_001), "turns[0].text", "longer than"),
    "a bomb of one line": (bomb(1, 64 << 20), "line 1", "unpacks to more"),
    "a bomb of many lines": (bomb(3_000_000, 1), "line", ""),
    "cut off": (packed(lambda content: content[:-100]), "dialogues.jsonl.gz", "cut off"),
    "no gzip": (packed(lambda content: b"PK\x03\x04" + content), "dialogues.jsonl.gz", "no sound gzip"),
    "rubbish behind": (packed(lambda content: content + b"rubbish"), "dialogues.jsonl.gz", "no sound gzip"),
    "a flipped byte": (packed(lambda c: c[:-6] + bytes([c[-6] ^ 1]) + c[-5:]), "dialogues.jsonl.gz", "no sound gzip"),
    "Latin-1 inside": (lambda f: f.raw('{"scenario": "é"}\n'.encode("latin-1")), "dialogues.jsonl.gz: line 1", "UTF-8"),
    "a torn line": (lambda f: f.raw(b"{}"), "line 1", "doesn't end"),
    "no dialogues": (lambda f: f.raw(b""), "dialogues.jsonl.gz", "0 dialogues of the run's 40"),
    "another recommender's control": (other_control, f"{CONTROL}: fields", "only the simulator"),
    "no ranks of the control": (lambda f: (f.folder / CONTROL_RANKS).unlink(), CONTROL_RANKS, "is missing"),
    "half a control": (lambda f: f.packed(gzip.compress(b""), name=CONTROL_RANKS), CONTROL_RANKS, "0 dialogues"),
}  # fmt: skip
RANK_CASES: dict[str, tuple[Change, str, str]] = {
    "edited score": (put(0.99, "results", "scores", "sr", "value"), "results.scores.sr.value", "says 0.99"),
    "two targets at one place": (
        one(long, lambda d: (d.update(targets=2), [t.update(ranks=[1, 1]) for t in d["turns"]])), "ranks", "one place"
    ),
    "a place behind the list": (turn(0, ranks=[11]), "turns[0].ranks", "the list has 10 items"),
    "too long a list": (turn(0, length=11), "turns[0].length", "at most 10"),
    "a rank that is none": (turn(0, ranks=[-1]), "turns[0].ranks", ">= 0"),
    "a list of a thousand million": (turn(0, length=10**9), "turns[0].length", "<= 1000"),
    "fewer targets": (one(long, lambda d: d.update(targets=3)), "turns[0].ranks", "there are 3 targets"),
    "a sentence in a field that stands twice": (said_twice, "line 1 source", "stands twice"),
    "a sentence": (turn(0, text="what was said"), "line", "unknown field `text`"),
    "hard scenarios dropped": (lines(drop_hard), "ranks.jsonl.gz", "38 dialogues"),
    "a foreign scenario": (frame(scenario="mine"), "submission.json", "not those of this board"),
    "a fault's message": (frame(faults=[{"blame": "recommender", "kind": "x", "message": "said"}]), "line", "`message`"),
}  # fmt: skip


def refused(verdict: Verdict, where: str, why: str) -> bool:
    return any(where in str(problem) and why in problem.text for problem in verdict.problems)


def told(verdict: Verdict) -> str:
    return "\n".join(map(str, verdict.problems)) or "nothing"


@pytest.mark.parametrize("case", CASES)
def test_a_bad_submission_is_refused_for_the_right_reason(
    case: str, tmp_path: Path, honest: dict[str, Path], boards: dict[str, Path], registry: Registry, loader: Loader
) -> None:
    change, where, why = CASES[case]
    forgery = Forgery(honest["transcripts"], tmp_path / "submission", registry)
    change(forgery)
    verdict = validate(registry, forgery.folder, board=boards["transcripts"], loader=loader)
    assert refused(verdict, where, why), told(verdict)


@pytest.mark.parametrize("case", RANK_CASES)
def test_bad_ranks_are_refused_even_where_the_data_are_not_there(
    case: str, tmp_path: Path, honest: dict[str, Path], boards: dict[str, Path], registry: Registry
) -> None:
    change, where, why = RANK_CASES[case]
    forgery = Forgery(honest["ranks"], tmp_path / "submission", registry)
    change(forgery)
    verdict = validate(registry, forgery.folder, board=boards["ranks"])
    assert refused(verdict, where, why), told(verdict)


@pytest.mark.parametrize("form", ["transcripts", "ranks"])
def test_an_honest_submission_passes(
    form: str, honest: dict[str, Path], boards: dict[str, Path], registry: Registry, loader: Loader
) -> None:
    verdict = validate(registry, honest[form], board=boards[form], loader=loader)
    assert verdict.problems == []
    replayed = not any("played again" in note for note in verdict.notes)
    assert replayed == (form == "transcripts")


def test_both_forms_give_the_same_results(honest: dict[str, Path], registry: Registry) -> None:
    whole_ones, ranks = (validate(registry, honest[form]).contents for form in ("transcripts", "ranks"))
    assert whole_ones is not None
    assert ranks is not None
    assert whole_ones.submission.results == ranks.submission.results


def test_a_changed_honest_one_still_passes_when_nothing_that_counts_changes(
    tmp_path: Path, honest: dict[str, Path], registry: Registry, loader: Loader
) -> None:
    """The forger's own tools break nothing: what the cases above show is the change itself."""
    forgery = Forgery(honest["transcripts"], tmp_path / "submission", registry)
    forgery.dialogues(lambda every: [{**line, "seconds": {"recommender": 2.5, "simulator": 0.5}} for line in every])
    assert validate(registry, forgery.folder, loader=loader).problems == []


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, honest: dict[str, Path], registry: Registry) -> None:
    (tmp_path / "link").symlink_to(honest["transcripts"])
    assert refused(validate(registry, tmp_path / "link"), "link", "no link")
    assert refused(validate(registry, tmp_path / "nowhere"), "nowhere", "is a folder")


def test_another_form_than_the_boards_is_refused(honest: dict[str, Path], boards: dict[str, Path], registry: Registry) -> None:
    assert refused(validate(registry, honest["transcripts"], board=boards["ranks"]), "form", "takes ranks")


def test_a_whole_run_is_not_passed_off_as_a_limited_one(
    tmp_path: Path, honest: dict[str, Path], registry: Registry, loader: Loader
) -> None:
    """Twenty scenarios claimed to be all of them."""
    forgery = Forgery(honest["transcripts"], tmp_path / "submission", registry)
    forgery.fields(limit=None)
    forgery.fields(CONTROL, limit=None)
    verdict = validate(registry, forgery.folder, loader=loader)
    assert refused(verdict, "fields.data_hash", "other data")
    assert refused(verdict, "scenario ", "is missing")


def test_every_problem_is_listed(tmp_path: Path, honest: dict[str, Path], registry: Registry, loader: Loader) -> None:
    forgery = Forgery(honest["transcripts"], tmp_path / "submission", registry)
    forgery.dialogues(lambda every: every[0].update(trial=9) or every[1].update(stop="transport"))
    forgery.json(lambda content: content.update(name="<b>", code_url="ftp://x"))
    (forgery.folder / "more").mkdir()
    verdict = validate(registry, forgery.folder, loader=loader)
    for where in ("more", "submission.json: name", "code_url", "line 1 trial", "line 2 stop", "dialogues.jsonl.gz"):
        assert refused(verdict, where, ""), where


def test_a_bomb_is_never_unpacked(tmp_path: Path, honest: dict[str, Path], registry: Registry) -> None:
    """Memory stays below the bomb's size by far."""
    import tracemalloc

    forgery = Forgery(honest["transcripts"], tmp_path / "submission", registry)
    bomb(1, 64 << 20)(forgery)
    tracemalloc.start()
    try:
        validate(registry, forgery.folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20


def test_prepare_refuses_what_no_page_may_show_and_writes_nothing(
    runs: dict[str, Path], registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--name may not contain '<'"):
        prepare(registry, runs["popularity"], About(name="<b>", authors=["A"]), tmp_path)
    with pytest.raises(UsageError, match=r"--authors\[1\] must be a text without blanks"):
        prepare(registry, runs["popularity"], About(name="A", authors=["A", " B"]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_submission_never_takes_the_place_of_another_system_s(
    runs: dict[str, Path], registry: Registry, tmp_path: Path
) -> None:
    """Names whose folders would have the same name."""

    def submit(name: str) -> Path:
        return prepare(registry, runs["popularity"], About(name=name, authors=["A"]), tmp_path)

    long = "A system with a very long name indeed, version"
    places = [submit(name) for name in ("映画", "电影", "...", f"{long} 1", f"{long} 2", "Mine 1.0")]
    assert len(set(places)) == len(places)
    assert submit("Mine 1.0") == places[-1], "its own is replaced"
    with pytest.raises(UsageError, match=r"holds the submission of another system, 'Mine 1\.0'"):
        submit("Mine-1.0")
    assert "Mine 1.0" in (places[-1] / SUBMISSION).read_text(encoding="utf-8")


def test_what_is_told_of_a_submission_drives_neither_a_terminal_nor_a_workflow(
    honest: dict[str, Path], tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    forgery = Forgery(honest["ranks"], tmp_path / "submission", registry)
    forgery.json(lambda said: said.update({"a\x07\n::set-output name=x::y": 1}))
    (forgery.folder / "b\n::error::\x1b]0;t\x07").write_text("?")
    with pytest.raises(SystemExit) as stop:
        main(["submit", "validate", str(forgery.folder), "--no-data"])
    said = capsys.readouterr()
    assert stop.value.code == 1
    lines = (said.out + said.err).splitlines()
    assert len(lines) > 2
    assert all(each.startswith(str(forgery.folder)) for each in lines), lines
    assert not set(said.out + said.err) & {"\x07", "\x1b"}
