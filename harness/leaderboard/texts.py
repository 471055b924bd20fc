"""What authors say of their system: plain text that can't be taken for anything else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from harness.leaderboard.types import Submission

_MARKUP = frozenset("<>`|[]{}\\")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/%+@=&?#:,-]*)?")


def odd_texts(submission: Submission) -> Iterator[tuple[str, str]]:
    """(field, what is wrong with it) of what its authors say."""
    texts = {"name": submission.name, "description": submission.description}
    for field in ("authors", "trained_on", "trained_against", "controls"):
        texts |= {f"{field}[{number}]": text for number, text in enumerate(getattr(submission, field))}
    for field, text in texts.items():
        odd = next((c for c in text if c in _MARKUP or (unicodedata.category(c)[0] in "CZ" and c != " ")), None)
        if odd is not None:
            yield field, f"may not contain {odd!r}: plain text only, no markup and no invisible characters"
        elif text != text.strip() or (not text and field != "description"):
            yield field, "must be a text without blanks around it"
        elif (word := next(filter(_mixed, text.split()), None)) is not None:
            yield field, f"has a word of several alphabets, which looks like another one: {word[:40]!r}"
    if submission.code_url and not _URL.fullmatch(submission.code_url):
        yield "code_url", f"must be an https address of plain characters, not {submission.code_url[:80]!r}"
    if len(set(submission.controls)) != len(submission.controls):
        yield "controls", "names a control twice"


def _mixed(word: str) -> bool:
    """Whether it has letters of two of the alphabets whose letters look alike."""
    alphabets = {unicodedata.name(c, "").partition(" ")[0] for c in word if c.isalpha()}
    return len(alphabets & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}) > 1
