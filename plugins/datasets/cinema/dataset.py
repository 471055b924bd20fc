"""`cinema`: the bundled data set. How it is made stands in `model`, `users` and `grammar`, in short in docs/cinema.md."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from harness.api import Ceiling, DatasetCard, Scenario, Split
from harness.errors import DataError

from ..cutting import check_split, mentioned_before
from .films import load_films, table_bytes
from .levels import USERS, Difficulty

if TYPE_CHECKING:
    from .stored import Header, Stored
# The model and what stands on it need numpy: they are imported by what loads or scores, not by what only shows the card.


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `cinema`."""

    difficulty: Annotated[
        Difficulty,
        msgspec.Meta(description="how reliable and how complete seekers' statements are; films and tastes stay the same"),
    ] = "standard"
    path: Annotated[
        str | None, msgspec.Meta(description="folder of files written by the generator; default: the packaged ones")
    ] = None
    fresh: Annotated[
        int | None,
        msgspec.Meta(
            description="deal the films' attributes anew by this seed: an unseen catalogue, other tastes and dialogues"
        ),
    ] = None
    users: Annotated[int, msgspec.Meta(ge=4, description="fresh: training users; a quarter as many in each other split")] = (
        USERS
    )


class Cinema:
    """Made dialogues about a thousand real films; users with latent tastes, statements of unequal reliability."""

    card = DatasetCard(
        name="cinema",
        title="Cinema: generated dialogues about 1,000 real films, with known ceilings",
        licence="CC0-1.0 (dialogues and film table are this project's own; films are listed as facts only)",
        citation="crs-harness, data set cinema (docs/cinema.md)",
        homepage="https://creativecommons.org/publicdomain/zero/1.0/",
        how_to_get="bundled; python -m harness_plugins.datasets.cinema.generate writes it again or makes another one",
    )

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    def load(self, split: str) -> Split:
        """The split's scenarios (variant "all"), all training dialogues and the films. Raises DataError (file, line)."""
        from .model import World
        from .stored import Cutter

        check_split(split, self.card)
        if self.options.fresh is not None:
            if self.options.path is not None:
                raise DataError("cinema: path and fresh can't be given together; fresh makes its own dialogues")
            from .fresh import fresh_split

            return fresh_split(self.options.fresh, self.options.users, self.options.difficulty, split)
        films = load_films()
        header, training = self._read("train")
        cutter = Cutter(World(films, header.seed), self.options.difficulty)
        dialogues = training
        if split != "train":
            other, dialogues = self._read(split)
            if other.seed != header.seed:
                raise DataError(
                    f"{self._file(split)}: made with seed {other.seed}, the training file with {header.seed}; "
                    "generate both together"
                )
        scenarios: list[Scenario] = [scenario for dialogue in dialogues for scenario in cutter.scenarios(dialogue)]
        repeated = mentioned_before(scenarios)
        return Split(
            name=split,
            scenarios=scenarios,
            training=[cutter.training(dialogue) for dialogue in training],
            catalogue=films,
            notes=(
                f"generated data, difficulty {self.options.difficulty}, seed {header.seed}",
                f"{repeated} of {len(scenarios)} rows have a target that their context already names",
            ),
        )

    def ceilings(self, split: Split) -> list[Ceiling]:
        """Reference scores on exactly the split's scenarios; see `ceilings`. Raises DataError for foreign scenarios."""
        from .ceilings import ceilings

        return ceilings(split)

    def _file(self, split: str) -> Path | Traversable:
        from .stored import file_name

        name = file_name(self.options.difficulty, split)
        if self.options.path is not None:
            return Path(self.options.path).expanduser() / name
        return resources.files(__package__) / "data" / name

    def _read(self, split: str) -> tuple[Header, list[Stored]]:
        from .stored import unpack

        file = self._file(split)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise DataError(f"{file}: {error.strerror or error}; {self.card.how_to_get}") from None
        header, dialogues = unpack(data, str(file))
        for field, found, wanted in (
            ("difficulty", header.difficulty, self.options.difficulty),
            ("split", header.split, split),
            ("films", header.films, hashlib.sha256(table_bytes()).hexdigest()),
        ):
            if found != wanted:
                raise DataError(f"{file}, line 1, {field}: {found!r}, but {wanted!r} is needed; generate the files again")
        return header, dialogues
