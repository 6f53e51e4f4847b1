"""A proxy before PostgreSQL's socket that cuts connections where it hurts: before a request arrives, in its middle, after the
server has committed and before its answer, in the middle of the answer. It knows the protocol's framing and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict

COMMAND_COMPLETE, READY_FOR_QUERY = b"C", b"Z"
HEAD_BYTES = 5  # u8 type, then u32 length, which counts itself


class Cut(Enum):
    """Where a connection ends. After `ANSWER` and `HALF_ANSWER` what was asked stands; after the others it may not."""

    REQUEST = auto()
    HALF_REQUEST = auto()
    ANSWER = auto()
    HALF_ANSWER = auto()


class CuttingProxy:
    """Listens on a socket of its own, in a thread; `choose` is asked at each request whether and where to cut."""

    def __init__(self, url: str, choose: Callable[[], Cut | None]) -> None:
        info = conninfo_to_dict(url)
        self._name = f".s.PGSQL.{info.get('port') or 5432}"
        self._target = Path(str(info["host"])) / self._name
        self._choose = choose
        self._folder = TemporaryDirectory(prefix="cut-", dir="/tmp")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cutting-proxy")
        self.cuts: list[Cut] = []
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query)) | {"host": self._folder.name}
        self.url = urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe="/")))

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._serve, Path(self._folder.name) / self._name)

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            up_reader, up_writer = await asyncio.open_unix_connection(self._target)
            session = _Session(self, reader, writer, up_reader, up_writer)
            try:
                await session.run()
            finally:
                for side in (writer, up_writer):
                    side.transport.abort()

    def choose(self) -> Cut | None:
        return self._choose()


class _Session:
    """One connection through the proxy. It ends when either side does, or where it is cut."""

    def __init__(
        self,
        proxy: CuttingProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._reader, self._writer, self._up_reader, self._up_writer = reader, writer, up_reader, up_writer
        self._is_started = self._is_answering = False
        self._cut: Cut | None = None

    async def run(self) -> None:
        pumps = [asyncio.ensure_future(self._pump_requests()), asyncio.ensure_future(self._pump_answers())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump_requests(self) -> None:
        while data := await self._reader.read(1 << 16):
            if self._is_started and not self._is_answering:
                self._is_answering = True
                self._cut = self._cut or self._proxy.choose()
                if self._cut in {Cut.REQUEST, Cut.HALF_REQUEST}:
                    self._proxy.cuts.append(self._cut)
                    self._up_writer.write(data[: len(data) // 2] if self._cut is Cut.HALF_REQUEST else b"")
                    await self._up_writer.drain()
                    return
            self._up_writer.write(data)
            await self._up_writer.drain()

    async def _pump_answers(self) -> None:
        answer, is_done = b"", False
        while True:
            head = await self._up_reader.readexactly(HEAD_BYTES)
            frame = head + await self._up_reader.readexactly(int.from_bytes(head[1:]) - 4)
            answer += frame
            is_done = is_done or head[:1] == COMMAND_COMPLETE
            if head[:1] != READY_FOR_QUERY and self._is_started:
                continue
            # Now the server has committed what it was asked; an answer to a mere Parse is none.
            if self._cut and is_done and self._is_started:
                self._proxy.cuts.append(self._cut)
                self._writer.write(answer[: len(answer) // 2] if self._cut is Cut.HALF_ANSWER else b"")
                await self._writer.drain()
                return
            self._is_started = self._is_started or head[:1] == READY_FOR_QUERY
            self._writer.write(answer)
            await self._writer.drain()
            answer, is_done, self._is_answering = b"", False, False
