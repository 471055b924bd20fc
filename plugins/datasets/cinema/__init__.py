"""The bundled data set `cinema`: a world that we make, so that everything runs offline and the best possible score is known."""

from __future__ import annotations

from .dataset import Cinema, Options

__all__ = ["Cinema", "Options"]
