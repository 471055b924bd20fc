"""The real command, and really installed plugins: folders with metadata and entry points, as an installer leaves them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from installing import install

from harness.cli import main

FILM_CLUB = {
    "film_club/__init__.py": """
        from harness import Component, hookimpl

        @hookimpl
        def harness_datasets():
            yield Component("club", "film_club.data:Club", summary="four films", options="film_club.data:Options")
            yield Component("by-hand", "film_club.data:ByHand", summary="to be asked for")
            yield Component("remote", "film_club.data:Remote", summary="to be downloaded")

        @hookimpl
        def harness_recommenders():
            yield Component("shelf", "film_club.rec:Shelf", "in the order of the shelf", "film_club.rec:Options",
                            trained_on=("club",))
            yield Component("drunk", "film_club.rec:Drunk", summary="raises")
            yield Component("spender", "film_club.rec:Spender", summary="its money ends")
            yield Component("ghost", "film_club.nowhere:Ghost", summary="its module is not there")
            yield Component("antique", "film_club.rec:Shelf", summary="of another age", api=0)

        @hookimpl
        def harness_dialogue_finished(record):
            pass
    """,
    "film_club/rec.py": '''
        from typing import Annotated

        import msgspec

        from harness import BudgetExceeded, Recommendation

        class Options(msgspec.Struct, frozen=True, kw_only=True):
            greeting: Annotated[str, msgspec.Meta(description="what it says first")] = "Hello."
            tags: tuple[str, ...] = ()

        class Shelf:
            """Films in catalogue order, none of them twice after a no."""

            def __init__(self, options):
                self.options = options

            def prepare(self, setup):
                self.catalogue = setup.catalogue

            def recommend_batch(self, conversations, k):
                return [self.one(c, k) for c in conversations]

            def one(self, conversation, k):
                items = tuple(i for i in self.catalogue.ids if i not in conversation.rejected)[:k]
                last = conversation.messages[-1] if conversation.messages else None
                text = self.options.greeting if last is None else f"You said {last.text} [{','.join(last.items)}]"
                return Recommendation(items, text)

        class Drunk:
            def __init__(self, options): ...
            def prepare(self, setup): ...
            def recommend(self, conversation, k):
                raise RuntimeError("hic")

        class Spender(Drunk):
            def recommend(self, conversation, k):
                if conversation.turn > 1:
                    raise BudgetExceeded("3 dollars are spent")
                return Recommendation(("a",), "Alien?")
    ''',
    "film_club/data.py": """
        import os

        import msgspec

        from harness import (Catalogue, Ceiling, DataError, DatasetCard, Item, Message, Need, RemoteFile, Scenario, Split,
                             TrainingDialogue)

        CARD = dict(title="The club", licence="CC0", citation="Nobody 2020", homepage="https://club.example", how_to_get="")

        class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
            pages: int = 1

        ITEMS = (
            Item("a", "Alien", 1979, {"genre": ("horror", "science fiction"), "director": ("Ridley Scott",)}),
            Item("b", "Heat", 1995, {"genre": ("crime",)}),
            Item("c", "Zodiac", 2007, {"genre": ("crime",)}, text="A hunt."),
            Item("d", "Rope"),
        )

        def said(text, *items):
            return Message("seeker", text, items=items)

        class Club:
            card = DatasetCard(name="club", **CARD)

            def __init__(self, options): ...

            def load(self, split):
                if split == "validation":
                    raise DataError("club: there is no validation split")
                one = (said("Alien was great", "a"), Message("recommender", "I see"))
                rows = [
                    Scenario("s1", "d1", one, Need(("b",))),
                    Scenario("s2", "d1", (*one, said("more")), Need(("a", "b"))),
                    Scenario("s3", "d2", (said("Zodiac?", "c"),), Need(("c",))),
                ]
                training = [
                    TrainingDialogue("t1", (said("x"), said("y"), said("z")), liked=("a",)),
                    TrainingDialogue("t2", (said("x"),) * 6),
                ]
                if split == "train":
                    rows = [Scenario("s0", "d0", one, Need(("b",)))]
                return Split(split, rows, training, Catalogue(ITEMS), ("four films only",))

            def ceilings(self, split):
                return [Ceiling("best guess", {"ndcg@10": len(split.scenarios) / 4}, "by hand")]

        class ByHand(Club):
            card = DatasetCard(name="by-hand", **{**CARD, "how_to_get": "Write to the club"})

        class Remote(Club):
            @property
            def card(self):
                url = os.environ.get("CLUB_URL", "http://127.0.0.1:9")
                files = (RemoteFile("films.txt", url + "/films.txt", sha256=os.environ.get("CLUB_SHA")),)
                return DatasetCard(name="remote", files=files, **CARD)
    """,
}
"""Scenarios: s1 plain; s2 with one of two targets in its context; s3 with its only target in its context."""


class Ran(NamedTuple):
    """A command's outcome."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def club_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("club")
    install(site, "film-club", FILM_CLUB, {"club": "film_club"})
    return site


@pytest.fixture(scope="session")
def trouble_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two broken plugins, and one that offers a name which the club offers too."""
    site = tmp_path_factory.mktemp("trouble")
    install(site, "broken-plugin", {"broken_plugin.py": "import no_such_module_anywhere"}, {"broken": "broken_plugin"})
    typo = """
        from harness import hookimpl

        @hookimpl
        def harness_recomenders():
            return ()
    """
    install(site, "typo-plugin", {"typo_plugin.py": typo}, {"typo": "typo_plugin"})
    rival = """
        from harness import Component, hookimpl

        @hookimpl
        def harness_recommenders():
            yield Component("shelf", "film_club.rec:Shelf", summary="another shelf", options="film_club.rec:Options")
    """
    install(site, "rival", {"rival_plugin.py": rival}, {"rival": "rival_plugin"})
    return site


@pytest.fixture
def club(club_site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The club is installed; data, cache and working folder are this test's own."""
    monkeypatch.syspath_prepend(str(club_site))
    for name in ("HARNESS_DATA", "HARNESS_PLUGINS", "HARNESS_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def troubles(club: None, trouble_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The club and the troublemakers are installed."""
    monkeypatch.syspath_prepend(str(trouble_site))


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The command in this process: `harness("list", "metrics")`."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def process(club_site: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A Python process of its own with the club installed: `process("-c", program)`."""

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join(filter(None, (str(club_site), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return subprocess.run(
            [sys.executable, *arguments], input=typed, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return run
