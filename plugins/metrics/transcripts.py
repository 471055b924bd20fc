"""A recorded dialogue as a judge reads it: quoted line by line, with the titles that were listed, without the hidden need."""

from __future__ import annotations

from harness import Catalogue, DialogueView, Message

from ..quoting import fitting, quoted, title

NOTHING = "(nothing)"


def before(view: DialogueView, catalogue: Catalogue) -> str:
    """The context that the recommender found: the human dialogue so far. `view.scenario` must be there."""
    context = view.scenario.context if view.scenario is not None else ()
    return _joined([line for message in context for line in _message(message, catalogue, len(message.ranked))])


def dialogue(view: DialogueView, catalogue: Catalogue, show: int) -> str:
    """What was said after it, with the first `show` titles of each list; a recommender's fault is a line of its own."""
    lines: list[str] = []
    for turn in view.turns:
        if turn.record is None:
            continue
        lines += _message(Message("recommender", turn.record.text, ranked=turn.record.items), catalogue, show)
        if turn.record.user_text is not None:
            lines.append(f"seeker: {quoted(turn.record.user_text)}")
    if view.dialogue.stop == "recommender_fault":
        lines.append("(here the recommender broke down and the conversation ended)")
    return _joined(lines)


def _message(message: Message, catalogue: Catalogue, show: int) -> list[str]:
    lines = [f"{message.role}: {quoted(message.text)}"]
    if message.ranked[:show]:
        items = [catalogue.get(item_id) for item_id in message.ranked[:show]]
        named = [f"{n}. {'(unknown)' if item is None else title(item)}" for n, item in enumerate(items, 1)]
        lines.append(f"  recommends: {'; '.join(named)}")
    return lines


def _joined(lines: list[str]) -> str:
    kept = fitting(lines)
    left_out = len(lines) - len(kept)
    return "\n".join([f"({left_out} earlier lines left out)"] * bool(left_out) + kept) or NOTHING
