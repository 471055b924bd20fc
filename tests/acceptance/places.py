"""A virtual environment of its own with harness, pip and python as commands, and a folder to work in.

It borrows the packages of the running environment, so nothing is fetched: with an editable installation of the harness,
or without it, and then the harness is built and installed anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Place:
    """`run` a Python command line, `harness` the command, `bash` a script."""

    def __init__(self, root: Path, *, build: bool = False) -> None:
        self.root = root
        self.work = root / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "env")], check=True, timeout=120)
        self.bin = root / "env" / "bin"
        libraries = next((root / "env" / "lib").glob("python*/site-packages"))
        # `addsitedir` also reads the .pth files there, and with them an editable installation.
        borrowed = sysconfig.get_paths()["purelib"]
        line = borrowed if build else f"import site; site.addsitedir({borrowed!r})"
        (libraries / "borrowed.pth").write_text(f"{line}\n", encoding="utf-8")
        self.libraries = libraries
        self._command("pip", "from pip._internal.cli.main import main; sys.exit(main())")
        if build:
            self._build()
        else:
            self._command("harness", "from harness.cli import main; main()")

    def _build(self) -> None:
        """The harness as a user gets it: built from a copy, because a build leaves files beside its sources."""
        copy = self.root / "sources"
        unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in ("harness", "plugins"):
            shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy / name)
        # What is there already belongs to the environment that packages are borrowed from.
        self.run("pip", "install", "-q", "--ignore-installed", "--no-compile", str(copy))
        shutil.rmtree(copy)

    def _command(self, name: str, code: str) -> None:
        path = self.bin / name
        path.write_text(f"#!{self.bin / 'python'}\nimport sys\n{code}\n", encoding="utf-8")
        path.chmod(0o755)

    def call(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A command with the environment's own programs first, end of input on standard input, and no package index."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HARNESS_", "PYTHON", "PYTEST", "PIP_"))}
        env |= {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # so pip spells it: no isolation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            # Plugins of other projects, whose import is half of what pytest's start takes.
            "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:anyio",
        }
        return subprocess.run(
            command, cwd=cwd or self.work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip

    def run(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        """What a command prints; it must end with `code`."""
        ran = self.call(*arguments, cwd=cwd)
        assert ran.returncode == code, f"{' '.join(arguments)}\n{ran.stdout}\n{ran.stderr}"
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran.stdout

    def bash(self, script: str) -> str:
        """What a script prints whose every command must succeed."""
        return self.run("bash", "-euo", "pipefail", "-c", script)
