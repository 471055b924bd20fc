"""What this machine has: cores, memory, accelerators. Read from the system; no numerical package is imported for it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

_LIMITLESS = 1 << 60
"""Control groups write a huge number, or "max", for "no limit"."""


def cores() -> float:
    """CPU cores that this process may use: its affinity, cut by the control group's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return float(allowed) if quota is None else min(float(allowed), quota)


def _quota() -> float | None:
    words = _read("/sys/fs/cgroup/cpu.max").split()
    if not words:  # version 1 of control groups
        words = [_read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").strip(), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us").strip()]
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0:
        return int(words[0]) / int(words[1])
    return None


def memory() -> int | None:
    """Bytes of memory that this process may use: the machine's, cut by the control group's limit. None if unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path).strip()
        if text.isdigit() and int(text) < _LIMITLESS:
            return min(total, int(text))
    return total


def accelerators() -> list[str]:
    """One line per GPU: by nvidia-smi, by the driver's files, or by what the system is. Empty when there is none."""
    found = _nvidia_smi()
    if not found:
        folders = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        found = [_field(_read(str(path)), "Model") or "NVIDIA GPU" for path in folders]
    if not found and Path("/dev/kfd").exists():
        found = ["AMD GPU (ROCm driver)"]
    if not found and sys.platform == "darwin" and platform.machine() == "arm64":
        found = ["Apple GPU (mps)"]
    return found


def _nvidia_smi() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return []
    return [text.strip() for text in answer.stdout.splitlines() if text.strip()] if answer.returncode == 0 else []


def _field(text: str, name: str) -> str:
    for entry in text.splitlines():
        key, _, value = entry.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
