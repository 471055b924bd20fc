"""A made-up data set in ReDial's raw form, with every oddity of the real files. No film and no sentence of it is real."""

from __future__ import annotations

import json
from pathlib import Path

SEEKER, RECOMMENDER = 7, 8
MOVIES = {
    "101": "The Tin Lighthouse  (1987)",
    "102": "Who Stole the Comet%3F (2001)",
    "103": "Salt &amp; Ember ",
    "104": "Paper Kingdoms (2012)",
    "105": "Paper Kingdoms  (2012)",
    "106": "Quiet Harbours (2003)",
}


def dialogue(conversation: str, messages, seeker=None, recommender=None, mentions=None) -> dict:
    """`messages` are (worker, text) pairs; answers map movie id to (seen, liked)."""

    def form(answers):
        if not answers:
            return []
        return {movie: {"suggested": 1, "seen": seen, "liked": liked} for movie, (seen, liked) in answers.items()}

    named = {movie for _, text in messages for movie in MOVIES if f"@{movie}" in text}
    return {
        "movieMentions": {movie: MOVIES[movie] for movie in sorted(named)} if mentions is None else mentions,
        "respondentQuestions": form(recommender),
        "initiatorQuestions": form(seeker),
        "messages": [
            {"timeOffset": n, "text": text, "senderWorkerId": worker, "messageId": n}
            for n, (worker, text) in enumerate(messages)
        ],
        "conversationId": conversation,
        "respondentWorkerId": RECOMMENDER,
        "initiatorWorkerId": SEEKER,
    }


def simple(conversation: str) -> dict:
    """A dialogue with one recommendation, of 101."""
    return dialogue(conversation, [(SEEKER, "Something with ships?"), (RECOMMENDER, "Try @101 !")], seeker={"101": (0, 1)})


ODD = dialogue(
    "500",
    [
        (RECOMMENDER, "Hello &amp; welcome"),
        (RECOMMENDER, "  what do\r\nyou like?  "),
        (SEEKER, "I saw @104 and\t&quot;@103&quot;recently@106"),
        (SEEKER, ""),
        (RECOMMENDER, "@102@101 ? not @999"),
        (RECOMMENDER, "or @101and @105"),
        (SEEKER, "AT&T &notit 3 < 4"),
    ],
    seeker={"101": (0, 1), "102": (2, 0), "103": (1, 2), "104": (1, 1), "105": (0, 0)},
    recommender={"101": (1, 1), "102": (2, 1), "103": (1, 2)},
)


def write_jsonl(file: Path, records) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def write_redial(folder: Path, train=None, test=None) -> Path:
    """The raw files; by default 30 simple train dialogues and the odd one as test."""
    write_jsonl(folder / "train_data.jsonl", [simple(str(n)) for n in range(30)] if train is None else train)
    write_jsonl(folder / "test_data.jsonl", [ODD] if test is None else test)
    return folder


def film(name: str, genre=(), director=(), star=(), writer=(), plot="") -> dict:
    return {
        "name": name,
        "genre": list(genre),
        "plot": plot,
        "director": list(director),
        "writer": list(writer),
        "star": list(star),
        "imdb_id": "",
    }


INFO = {
    "101": film("The Tin Lighthouse (1987)", ["drama", "sea"], ["Ada Moss"], ["Ben Oak"], [" "], "A lamp  goes out."),
    "102": film("Who Stole the Comet? (2001)", ["comedy", "sea"], ["Cy Reed"], ["Ben Oak", "Dee Fern"]),
    "104": film("Paper Kingdoms (2012)", ["drama"], [], ["Eve Hill"]),
    "105": film("Paper Kingdoms (2012)", ["drama"], [], ["Eve Hill"]),
}


def write_info(folder: Path, info=None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "id2info.json").write_text(json.dumps(INFO if info is None else info), encoding="utf-8")
    return folder
