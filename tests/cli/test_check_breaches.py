"""`harness check` on installed plugins that do what only shows in another process, or would end this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from installing import install

ROGUES = {
    "rogues/__init__.py": """
        from harness import Component, hookimpl

        @hookimpl
        def harness_recommenders():
            for name in ("leaver", "crasher", "reader", "writer", "hasher", "lingerer"):
                options = "rogues.gang:Options" if name == "writer" else None
                yield Component(name, f"rogues.gang:{name.title()}", summary="up to no good", options=options)

        @hookimpl
        def harness_dialogue_finished(record):
            pass

        @hookimpl
        def harness_metrics():
            yield Component("mood", "rogues.gang:Mood", summary="another number every day")

        @hookimpl
        def harness_datasets():
            yield Component("vault", "rogues.gang:Vault", summary="nobody gets out")
    """,
    "rogues/gang.py": '''
        import os
        import signal
        import threading
        from pathlib import Path

        import msgspec

        from harness import Recommendation

        class Options(msgspec.Struct):
            runs: int = 0

        class Sound:
            """In the order of the catalogue."""
            def __init__(self, options):
                self.options = options
            def prepare(self, setup):
                self.ids = setup.catalogue.ids
            def recommend(self, conversation, k):
                return Recommendation(tuple(i for i in self.ids if i not in conversation.rejected)[:k], "These?")

        class Leaver(Sound):
            """Ends the process as if all were well."""
            def recommend(self, conversation, k):
                if len(conversation.messages) > 100:
                    os._exit(0)
                return super().recommend(conversation, k)

        class Crasher(Sound):
            """As native code does."""
            def prepare(self, setup):
                super().prepare(setup)
                os.kill(os.getpid(), signal.SIGSEGV)

        class Reader(Sound):
            """Reads where the test dialogues lie."""
            def prepare(self, setup):
                super().prepare(setup)
                import harness_plugins.datasets.cinema as cinema
                next(Path(cinema.__file__).parent.rglob("*.jsonl.gz")).read_bytes()
                Path(os.environ["HARNESS_DATA"], "films", "test.jsonl").read_text()

        class Writer(Sound):
            """Counts in its options."""
            def recommend(self, conversation, k):
                self.options.runs += 1
                return super().recommend(conversation, k)

        class Hasher(Sound):
            """Identifies itself differently in each process."""
            def revision(self):
                return {"prompt": hash("Recommend a film.")}

        class Lingerer(Sound):
            """Leaves a thread."""
            def prepare(self, setup):
                super().prepare(setup)
                threading.Thread(target=threading.Event().wait, name="lingering").start()

        class Mood:
            """The hash of a text."""
            level, family, higher_is_better, bounds = "dialogue", "recommender", True, (0.0, 1.0)
            def __init__(self, options): ...
            def prepare(self, setup): ...
            def score(self, view):
                return hash(view.dialogue.scenario) % 1000 / 1000

        class Vault:
            """Dies while it is loaded."""
            def __init__(self, options): ...
            def load(self, split):
                os.abort()
    ''',
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("rogues")
    install(site, "rogues", ROGUES, {"rogues": "rogues"})
    return site


@pytest.fixture
def rogues(club: None, site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(site))
    (tmp_path / "data" / "films").mkdir(parents=True)
    (tmp_path / "data" / "films" / "test.jsonl").write_text("{}")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))


@pytest.mark.usefixtures("rogues")
@pytest.mark.parametrize(
    ("name", "clause", "what"),
    [
        ("leaver", "survives", "ended that process with exit code 0"),
        ("crasher", "survives", "ended that process by signal SIGSEGV"),
        ("vault", "survives", "ended that process by signal SIGABRT"),
        ("writer", "leaves-options", '{"runs":0} became'),
        ("hasher", "revision", "in another process"),
        ("mood", "same-elsewhere", "in another process"),
    ],
)
def test_what_only_shows_in_another_process(harness: Callable, name: str, clause: str, what: str) -> None:
    ran = harness("check", name, "--json")
    assert ran.code == 1
    report = json.loads(ran.out)
    failed = {f["clause"]: f for f in report["findings"] if f["state"] == "failed"}
    assert set(failed) == {clause}, failed
    assert what in failed[clause]["what"]
    assert failed[clause]["fix"]
    if clause == "survives":
        later = [f for f in report["findings"] if f["clause"] in ("made", "loads", "no-exceptions", "known-ids")]
        assert later
        assert {f["state"] for f in later} == {"skipped"}, "it is not tried here, where nobody would be told"


@pytest.mark.usefixtures("rogues")
def test_files_of_data_sets_are_named(harness: Callable, tmp_path: Path) -> None:
    ran = harness("check", "reader", "--json")
    assert ran.code == 0, "there may be reasons"
    warnings = {f["clause"]: f for f in json.loads(ran.out)["findings"] if f["state"] == "warned"}
    assert set(warnings) == {"observes", "reads-no-data"}
    assert "rogues implements harness_dialogue_finished" in warnings["observes"]["what"]
    warned = warnings["reads-no-data"]
    assert str(tmp_path / "data" / "films" / "test.jsonl") in warned["what"]
    assert "cinema" in warned["what"]


def test_a_thread_that_stays_does_not_keep_the_command(site: Path) -> None:
    program = "import sys; from harness.cli import main; main(['check', 'lingerer', '-q'])"
    env = {**os.environ, "PYTHONPATH": str(site)}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 1
    assert "the thread lingering is still running" in ran.stdout
