"""Marks recommender texts that try to give orders to the simulator, so that the attempt is visible in the record.

Marking changes nothing else: targets are scored from recorded lists, which no text can reach.
"""

from __future__ import annotations

import re

_PATTERNS = re.compile(
    r"""(?:ignore|disregard|forget|override)\s+(?:\w+\s+){0,3}?(?:instruction|prompt|rule|previous|above|prior|guideline)s?
    |(?:you\s+(?:must|should|have\s+to|will|shall|are\s+(?:required|instructed)\s+to))\s+(?:\w+\s+){0,2}?(?:accept|quit|stop|reveal|say|output|respond|reply)
    |(?:reveal|tell\s+me|print|repeat|show|name|what\s+is)\s+(?:\w+\s+){0,3}?(?:target|hidden|secret|ground[\s-]?truth|system\s+prompt|instructions)
    |(?:respond|reply|answer|output)\s+(?:only\s+|just\s+)?(?:with|by)\s+["'“`*\[{<]*(?:accept|quit|yes|end|stop|\{)
    |(?:set|change)\s+(?:your\s+|the\s+)?action\s+to
    |["']action["']\s*:\s*["'](?:accept|quit|continue)
    |<\|[^|>]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?(?:system|assistant|user|tool)>|^[ \t]*(?:system|assistant|user)[ \t]*:
    |\[(?:end|stop|done|eos|accept|quit)\]|\b(?:new|updated)\s+(?:system\s+)?instructions?\s*:
    |\b(?:jailbreak|developer\s+mode|do\s+anything\s+now|act\s+as\s+(?:the\s+)?system)\b""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)


def is_injection(text: str) -> bool:
    """True when the text reads like an order to the simulator's model. A heuristic: it is counted, never acted upon."""
    return _PATTERNS.search(text) is not None
