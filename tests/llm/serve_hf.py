"""A minimal OpenAI-compatible server of a saved model: greedy answers by transformers' own `generate`, one request at a time.

It shares no code with the `hf:` backend, so that both can be held against each other.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Served:
    """The model and what it answers to each path."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.lock = threading.Lock()
        self.requests = 0

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, body) of a POST."""
        if body.get("temperature", 1) != 0:
            return 400, {"error": {"message": "this server is greedy: send temperature 0", "param": "temperature"}}
        if path != "/v1/chat/completions":
            return 404, {"error": {"message": f"no {path} here"}}
        with self.lock:
            self.requests += 1
            return 200, self._chat(body)

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        import torch

        torch.set_num_threads(1)
        prompt = self.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_dict=False)
        ids = torch.tensor([prompt])
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 16
        out = self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False, pad_token_id=0
        )
        said = out[0, len(prompt) :].tolist()
        ended = said[-1] in (self.tokenizer.eos_token_id, self.model.generation_config.eos_token_id)
        text = self.tokenizer.decode(said, skip_special_tokens=True)
        places = [text.find(stop) for stop in body.get("stop") or () if stop in text]
        if places:
            text, ended = text[: min(places)], True
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(said), "total_tokens": len(prompt) + len(said)}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop" if ended else "length"}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Served]]:
    """(address up to /v1, what is served) of a server on a free port of this machine."""
    served = Served(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, told = served.answer(self.path, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
