"""A real HTTP endpoint that keeps what clients send and answers as an OpenAI-compatible server would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.engines.fault_server import completion

RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "tiny", "status": "completed", "output": [],
    "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
}  # fmt: skip


class Endpoint:
    """``url`` is its base URL; ``bodies`` the JSON bodies received, in order."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.url = ""

    @property
    def conversation(self) -> list[tuple[str, str]]:
        """The messages of the last request, as (role, content)."""
        return [(message["role"], message["content"]) for message in self.bodies[-1]["messages"]]


@contextmanager
def listening() -> Iterator[Endpoint]:
    """Serve on a free local port until the block ends."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            endpoint.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = json.dumps(RESPONSE if self.path.endswith("/responses") else completion()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield endpoint
        server.shutdown()
