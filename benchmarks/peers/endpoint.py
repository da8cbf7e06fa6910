"""A chat-completions endpoint that always takes 20 ms, whatever is asked and however many ask at once.

Plain asyncio, nothing parsed but the length: it ranks the clients, not itself. Prints its port, then serves.
Run: python benchmarks/peers/endpoint.py [MILLISECONDS]
"""

from __future__ import annotations

import asyncio
import json
import sys

MODEL = "fixed"


def http(body: dict[str, object]) -> bytes:
    raw = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw


ANSWER = http({
    "id": "chatcmpl-0", "object": "chat.completion", "created": 1, "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Answer: B"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 4, "total_tokens": 124},
})  # fmt: skip
LISTING = http({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "bench"}]})
TOKENS = http({"count": 7, "max_model_len": 4096, "tokens": []})


class Connection(asyncio.Protocol):
    """Answers every request of one connection in order, after the delay."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self.loop, self.delay = loop, delay
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            if head.startswith(b"get "):
                self.transport.write(LISTING)  # type: ignore[attr-defined]
            elif b"/tokenize" in head.split(b"\r\n", 1)[0]:
                self.transport.write(TOKENS)  # type: ignore[attr-defined]
            else:
                self.loop.call_later(self.delay, self.answer)

    def answer(self) -> None:
        """Send the one answer there is."""
        if not self.transport.is_closing():
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def main(delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(loop, delay), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1] if len(sys.argv) > 1 else 20) / 1000))
