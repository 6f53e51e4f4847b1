"""The signer in a process of its own: the same object behind a socket, so that the key is in no process that serves requests.

One connection a request: a line of JSON each way, `{"origin", "head", "path"}` to sign, `{"origin"}` to ask what was signed last;
`{"note", "verifiers"}` or `{"refused"}` come back. There is no other request: who reaches the socket can have signed what
continues the record, and nothing else. Either side may be killed at any moment: the signer's memory is what counts, and whoever
got no answer asks again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from precedent.errors import LedgerBroken, PrecedentError, SettingsInvalid, SignerUnavailable
from precedent.ledger.merkle import HASH_BYTES
from precedent.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from precedent.ledger.signer import Signer
from precedent.ledger.signer_keys import SeedSource

MAX_LINE_BYTES = 32 * 1024
MAX_PATH = 128  # a proof in a tree of 2^63 leaves
MAX_CLIENTS = 32
TIMEOUT_SECONDS = 5.0
ORIGIN = re.compile(r"precedent/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log = structlog.get_logger(__name__)


class SignerClient:
    """A signer that is another process. What it answers is checked: a note must be signed by the keys it names."""

    def __init__(self, origin: str, path: Path) -> None:
        self._origin = origin
        self._path = path
        self._verifiers: tuple[VerifierKey, ...] = ()

    @property
    def origin(self) -> str:
        return self._origin

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """As it said last; asked for where it has said nothing yet. Raises: SignerUnavailable, LedgerBroken."""
        if not self._verifiers:
            self.refresh()
        return self._verifiers

    @property
    def verifier(self) -> VerifierKey:
        return self.verifiers[0]

    def refresh(self) -> None:
        """Ask for the keys anew. Raises: SignerUnavailable, LedgerBroken."""
        self._ask({"origin": self._origin})

    def last(self) -> Checkpoint | None:
        """Raises: SignerUnavailable; LedgerBroken where the signer refuses."""
        note = self._ask({"origin": self._origin})
        return None if note is None else self._open(note)

    def sign(self, head: Checkpoint, path: Sequence[bytes]) -> str:
        """Raises: SignerUnavailable; LedgerBroken where the signer refuses."""
        note = self._ask({"origin": self._origin, "head": str(head), "path": [step.hex() for step in path]})
        if note is None or self._open(note) != head:
            raise LedgerBroken("the signer signed another head than the one it was asked to")
        return note

    def _open(self, note: str) -> Checkpoint:
        try:
            return open_checkpoint(note, *self._verifiers)
        except ValueError as error:
            raise LedgerBroken(f"couldn't read what the signer answered: {error}") from error

    def _ask(self, request: dict[str, object]) -> str | None:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_SECONDS)
                connection.connect(str(self._path))
                connection.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(_read_line(connection))
        except (OSError, ValueError) as error:
            raise SignerUnavailable(f"couldn't ask the signer at {self._path}: {error}") from error
        return self._note_in(answer)

    def _note_in(self, answer: Any) -> str | None:
        if not isinstance(answer, dict) or not isinstance(answer.get("verifiers"), list | None):
            raise SignerUnavailable("the signer answered with something else than it should")
        if "refused" in answer:
            raise LedgerBroken(str(answer["refused"]))
        if "waits" in answer:
            raise SignerUnavailable(f"the signer can't sign now: {answer['waits']}")
        try:
            self._verifiers = tuple(VerifierKey.parse(text) for text in answer["verifiers"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SignerUnavailable(f"the signer named no keys: {error}") from error
        note = answer.get("note")
        return note if isinstance(note, str) else None


class SignerServer:
    """Serves the signers of all chains that share its keys and memory. `serve` returns after `stop`."""

    def __init__(self, path: Path, seeds: SeedSource, memory: Path) -> None:
        """Raises: SettingsInvalid where another serves there, the key is missing, or the path is too long for a socket."""
        seeds()
        self._path = path
        self._seeds = seeds
        self._memory = memory
        self._free = threading.BoundedSemaphore(MAX_CLIENTS)
        self._is_stopping = False
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise SettingsInvalid(f"couldn't serve at {path}: another signer does") from error
        self._listener = _listen(path)

    def serve(self) -> None:
        """Answer until stopped; each client in a thread of its own, at most MAX_CLIENTS at once."""
        self._listener.settimeout(0.2)
        while not self._is_stopping:
            if not self._free.acquire(timeout=0.2):
                continue
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                self._free.release()
                continue
            except OSError:
                self._free.release()
                break
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        os.close(self._lock)

    def stop(self) -> None:
        self._is_stopping = True

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(TIMEOUT_SECONDS)
                line = _read_line(connection)
                connection.sendall(json.dumps(self.respond(line)).encode() + b"\n")
        except (OSError, ValueError) as error:
            log.warning("signer_client_lost", error=str(error))
        finally:
            self._free.release()

    def respond(self, line: bytes) -> dict[str, object]:
        """The answer to one request, whatever it is."""
        try:
            origin, head, path = _parse(line)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            log.warning("signer_refused", error=str(error))
            return {"refused": f"not a request: {error}"}
        try:
            signer = Signer(origin, self._seeds, self._memory)
            if head is not None:
                note: str | None = signer.sign(head, path)
            else:
                last = signer.last()
                note = None if last is None else (signer.last_note() or b"").decode()
        except LedgerBroken as error:
            log.error("signer_refused", error=str(error))
            return {"refused": str(error)}
        except (PrecedentError, OSError) as error:
            log.error("signer_waits", error=str(error))
            return {"waits": str(error)}
        return {"note": note, "verifiers": [str(key) for key in signer.verifiers]}


def _listen(path: Path) -> socket.socket:
    """A socket that is its owner's alone from its first moment on; one that a killed process left is put away."""
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        raise SettingsInvalid(f"couldn't serve at {path}: it is no socket")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise SettingsInvalid(f"couldn't serve at {path}: {error}") from error
    finally:
        os.umask(before)
    listener.listen(MAX_CLIENTS)
    return listener


def _parse(line: bytes) -> tuple[str, Checkpoint | None, list[bytes]]:
    """Raises: ValueError, TypeError, KeyError."""
    request = json.loads(line)
    if not isinstance(request, dict) or set(request) not in ({"origin"}, {"origin", "head", "path"}):
        raise ValueError("it has other members")
    origin = request["origin"]
    if not isinstance(origin, str) or not ORIGIN.fullmatch(origin):
        raise ValueError("it names no origin")
    if "head" not in request:
        return origin, None, []
    path = [bytes.fromhex(step) for step in request["path"]]
    if len(path) > MAX_PATH or any(len(step) != HASH_BYTES for step in path):
        raise ValueError("its path is no proof")
    return origin, Checkpoint.parse(request["head"]), path


def _read_line(connection: socket.socket) -> bytes:
    """Raises: ValueError for a line that is too long or does not end; OSError, also where it takes longer than TIMEOUT_SECONDS in all."""
    found, until = b"", time.monotonic() + TIMEOUT_SECONDS
    while not found.endswith(b"\n"):
        connection.settimeout(max(0.001, until - time.monotonic()))
        part = connection.recv(4096)
        if not part or len(found) + len(part) > MAX_LINE_BYTES:
            raise ValueError("the line ends too early or is too long")
        found += part
    return found
