"""A server of OpenAI's protocol on loopback: what it was sent is kept, what it answers a test may change."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

from precedent.adapters.costs import CostBook
from precedent.adapters.meter import Meter
from precedent.adapters.openai import ModelServer
from precedent.clock import SystemClock

DIMENSION = 1536
CHAIN = UUID(int=1)


def vector_of(text: str) -> list[float]:
    """Some numbers that depend on the text, not of length 1."""
    seed = sha256(text.encode()).digest()
    return [float(seed[place % 32] - 127) for place in range(DIMENSION)]


@dataclass
class EmbeddingServer:
    """`answer` makes the body of /embeddings from the texts, `say` the words of /chat/completions, which used `usage` tokens; `status` is
    sent with each."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    answer: Callable[[list[str]], Any] = lambda texts: {
        "object": "list",
        "model": "text-embedding-3-small",
        # Out of order, as the protocol allows.
        "data": [{"object": "embedding", "index": n, "embedding": vector_of(text)} for n, text in reversed(list(enumerate(texts)))],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
    say: Callable[[str], str] = lambda prompt: prompt
    usage: Any = None
    status: int = 200
    is_silent: threading.Event = field(default_factory=threading.Event)


def client_of(
    server: EmbeddingServer, database_url: str, chain_id: UUID = CHAIN, book: CostBook | None = None, **options: Any
) -> ModelServer:
    """What the pipeline asks the server by, metered in this database; it tries once, and pauses for no time."""
    clock = SystemClock()
    meter = Meter(database_url, chain_id, book or CostBook(), clock)
    return ModelServer("key", server.url, meter, clock, **{"attempts": 1, "timeout_seconds": 5.0, "pause": lambda _: None} | options)


@contextmanager
def serve_embeddings() -> Iterator[EmbeddingServer]:
    held = EmbeddingServer()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if held.is_silent.is_set():
                ended.wait()
                return
            if self.path.endswith("/embeddings"):
                held.texts += body["input"]
                answer = held.answer(body["input"])
            else:
                prompt = body["messages"][-1]["content"]
                held.prompts.append(prompt)
                message = {"role": "assistant", "content": held.say(prompt)}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                answer = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
                answer |= {"usage": held.usage} if held.usage else {}
            sent = json.dumps(answer).encode()
            self.send_response(held.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    held.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
