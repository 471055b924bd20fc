"""A virtual environment of its own with harness, pip and python as commands, and a folder to work in.

It borrows the packages of the running environment, an editable installation of the harness included, so nothing is fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


class Place:
    """`run` a Python command line, `harness` the command, `bash` a script."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work = root / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "env")], check=True, timeout=120)
        self.bin = root / "env" / "bin"
        libraries = next((root / "env" / "lib").glob("python*/site-packages"))
        # `addsitedir` also reads the .pth files there, and with them an editable installation.
        borrowed = sysconfig.get_paths()["purelib"]
        (libraries / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n", encoding="utf-8")
        self._command("harness", "from harness.cli import main; main()")
        self._command("pip", "from pip._internal.cli.main import main; sys.exit(main())")

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
