"""A tiny model whose answers have the form that a recommender's or a seeker's must have, by its weights, without training.

Phrases are single tokens. Part of the hidden state says which phrase came last, untouched by the layers, and the output weights
allow only the phrases that may follow; which of these is said is up to random layers that look at the whole prompt. So each
dialogue goes its own way, and every answer is a well-formed JSON object.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.llm import tiny_model

RECOMMENDER, SEEKER = "<|recommend|>", "<|seek|>"
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if '\"titles\"' in messages[0].content %}<|recommend|>{% else %}<|seek|>{% endif %}"
)


def follows(titles: Sequence[str]) -> dict[str, list[str]]:
    """Phrase -> the phrases that may come after it. A recommender lists two titles; a seeker always goes on."""
    wishes = ["something funny", "a quiet film", "an old drama", "robots in space", "a story of the sea"]
    thought = [f"The seeker wants {wish}." for wish in wishes]
    first, second = [f'"{title}", ' for title in titles], [f'"{title}"' for title in titles]
    shown = [f"How about these, for {wish}?" for wish in wishes]
    said = [f"No, I would rather see {wish}." for wish in wishes]
    closing = '", "action": "continue", "accepted": [], "mentioned": []}'
    chain = [
        ([RECOMMENDER], ['{"reasoning": "']),
        (['{"reasoning": "'], thought),
        (thought, ['", "titles": [']),
        (['", "titles": ['], first),
        (first, second),
        (second, ['], "text": "']),
        (['], "text": "'], shown),
        (shown, ['"}']),
        ([SEEKER], ['{"text": "']),
        (['{"text": "'], said),
        (said, [closing]),
        (['"}', closing], ["<|end|>"]),
    ]
    return {phrase: after for phrases, after in chain for phrase in phrases}


def make(folder: Path, titles: Sequence[str]) -> Path:
    """Save the model; about 0.2 million parameters."""
    import torch

    grammar = follows(titles)
    phrases = list(dict.fromkeys([*grammar, *(phrase for after in grammar.values() for phrase in after)]))
    tokenizer = tiny_model.make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>", RECOMMENDER, SEEKER]})
    tokenizer.add_tokens([phrase for phrase in phrases if not phrase.startswith("<|")])
    tokenizer.chat_template = TEMPLATE
    ids = [tokenizer.convert_tokens_to_ids(phrase) for phrase in phrases]
    model = tiny_model.make_model(
        vocabulary=len(tokenizer), hidden=64 + 16 * (len(phrases) // 16 + 1), tie_word_embeddings=False, initializer_range=0.4
    )
    own, free = slice(0, len(phrases)), slice(len(phrases), None)
    with torch.no_grad():
        embeddings, output = model.model.embed_tokens.weight, model.lm_head.weight
        embeddings[:, own], output[:, own] = 0.0, 0.0
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight[own], layer.mlp.down_proj.weight[:] = 0.0, 0.0
            layer.self_attn.o_proj.weight[free] *= 0.01
            layer.input_layernorm.weight[own], layer.input_layernorm.weight[free] = 0.0, 20.0
        for number, (phrase, token) in enumerate(zip(phrases, ids, strict=True)):
            embeddings[token, number] = 100.0
            for after in grammar.get(phrase, ()):
                output[ids[phrases.index(after)], number] = 40.0
    return tiny_model.save(folder, model, tokenizer)
