"""Writes the data: `python -m harness_plugins.datasets.cinema.generate`. Equal arguments give equal files.

(Equal lines, strictly: another build of zlib may compress them to other bytes.)
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from .films import load_films, table_bytes
from .grammar import Writer
from .levels import LEVELS, USERS, Difficulty
from .model import World
from .stored import FORMAT, Header, Stored, file_name, pack
from .users import draw_count, draw_plan, draw_user

SEED = 20
SPLITS = ("train", "validation", "test")
_SHARE = 4
"""Training users per validation or test user. The latter have one dialogue each, so that test dialogues are independent."""


def dialogues(world: World, difficulty: Difficulty, split: str, users: int) -> Iterator[Stored]:
    """The dialogues of one split. `users` counts the training users; a dialogue does not depend on how many there are."""
    level = LEVELS[difficulty]
    count = users if split == "train" else max(1, users // _SHARE)
    for number in range(1, count + 1):
        user = f"{split}-{number:05d}"
        draw = Random(f"cinema/{world.seed}/{user}")
        taste, style = draw_user(draw)
        for dialogue in range(1, (draw_count(draw) if split == "train" else 1) + 1):
            # One source per dialogue and purpose: another sentence must not change the films.
            name = f"{user}-{dialogue}"
            plan = draw_plan(Random(f"cinema/{world.seed}/{name}/plan"), world, level, taste, name, user)
            yield Writer(Random(f"cinema/{world.seed}/{name}/words"), world, style).write(plan)


def generate(difficulty: Difficulty, split: str, seed: int, users: int, world: World | None = None) -> tuple[bytes, int]:
    """One packed file and how many dialogues it holds."""
    if world is None:
        world = World(load_films(), seed)
    films = hashlib.sha256(table_bytes()).hexdigest()
    made = list(dialogues(world, difficulty, split, users))
    return pack(Header(FORMAT, difficulty, split, seed, films), made), len(made)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Prints one line per file."""
    parser = argparse.ArgumentParser(
        prog="python -m harness_plugins.datasets.cinema.generate",
        description="Write the cinema data set. Without arguments: the packaged files, byte for byte.",
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help="seed of films' appeal, tastes, users and words (default: %(default)s)"
    )
    parser.add_argument(
        "--users", type=int, default=USERS, help="training users; a quarter as many in each other split (default: %(default)s)"
    )
    parser.add_argument("--difficulty", choices=[*LEVELS, "all"], default="all", help="level to write (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="folder (default: the package's own)")
    options = parser.parse_args(arguments)
    if options.users < 1:
        parser.error("--users must be at least 1")
    world = World(load_films(), options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for difficulty in LEVELS if options.difficulty == "all" else (options.difficulty,):
        for split in SPLITS:
            data, count = generate(difficulty, split, options.seed, options.users, world)
            file = options.out / file_name(difficulty, split)
            file.write_bytes(data)
            sys.stdout.write(f"{file}: {count} dialogues, {len(data)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
