"""A recommender behind HTTP, for `--rec http`: items whose words the user has said. See docs/http-recommender.md."""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CATALOGUE = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/catalogue":
            CATALOGUE[:] = [(item["id"], item["title"], words(json.dumps(item))) for item in request["items"]]
        answer = json.dumps({} if self.path == "/catalogue" else recommend(request["conversation"]["messages"], request["k"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())


def words(text):
    return set(re.findall(r"[a-z]{3,}", text.lower()))


def recommend(messages, k):
    said = words(" ".join(message["text"] for message in messages if message["role"] == "seeker"))
    seen = {item for message in messages for field in ("items", "ranked", "rejected") for item in message.get(field, [])}
    best = sorted((item for item in CATALOGUE if item[0] not in seen), key=lambda item: -len(item[2] & said))[:k]
    return {"items": [item[0] for item in best], "text": f"How about {best[0][1]}?" if best else "What do you like?"}


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
