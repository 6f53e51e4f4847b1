"""The signer as a process of its own, the real one: it signs what continues the record, whatever is asked of it and whoever is killed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from kept_ledger import Ledger

from precedent.errors import LedgerBroken, SettingsInvalid, SignerUnavailable
from precedent.ledger.integrate import Integrator
from precedent.ledger.note import Checkpoint
from precedent.ledger.rotate_signer import rotate_signer
from precedent.ledger.signer_keys import create_signer_key, seed_source
from precedent.ledger.signer_socket import SignerClient, SignerServer
from precedent.ledger.signing import anchors_for, signer_of
from precedent.settings import Settings, load_settings

ORIGIN = "precedent/0198f000-0000-7000-8000-000000000000"


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """In a folder whose name is short enough for a socket."""
    with TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder) / "signer.sock"


@contextmanager
def signer_process(settings: Settings, path: Path) -> Iterator[subprocess.Popen[str]]:
    """`precedent signer`, from when it serves."""
    environment = os.environ | {"PRECEDENT_HOME": str(settings.home_dir), "PRECEDENT_SIGNER_SOCKET": str(path)}
    command = [sys.executable, "-P", "-m", "precedent.cli.main", "signer"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"signing at {path}\n"
            yield process
        finally:
            process.terminate()


def asking(settings: Settings, path: Path) -> Settings:
    """Of a process that serves requests: it has no key."""
    fields = settings.model_dump(exclude_unset=True)
    return load_settings(**fields | {"signer": "process", "signer_socket": path, "keys_dir": settings.home_dir / "none"})


def integrate(ledger: Ledger, settings: Settings) -> None:
    integrator = Integrator(ledger.url, ledger.chain_id, signer_of(settings, ledger.origin), *anchors_for(settings))
    try:
        integrator.require_continued()
        while integrator.step():
            pass
    finally:
        integrator.close()


def test_a_process_without_the_key_has_checkpoints_signed_through_a_kill_and_a_rotation(
    database_url: str, settings: Settings, socket_path: Path
) -> None:
    ledger, served = Ledger(database_url, settings), asking(settings, socket_path)
    ledger.append(3)
    first = ledger.key()
    with signer_process(settings, socket_path) as process:
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
        ledger.append_only(3)
        integrate(ledger, served)
        process.kill()
    ledger.append_only(2)
    with pytest.raises(SignerUnavailable):
        integrate(ledger, served)
    with signer_process(settings, socket_path) as process:
        integrate(ledger, served)
        done = rotate_signer(ledger.url, settings, "operator", "as every year")
        ledger.append_only(2)
        integrate(ledger, served)
        assert signer_of(served, ledger.origin).verifier == done.handover.verifier != first
        process.terminate()
        assert process.wait() == 0
    assert not socket_path.exists()
    assert not served.keys_path.exists()
    assert max(size for size, _ in ledger.notes()) == 11
    ledger.require_followed(first)


def test_a_head_that_continues_nothing_is_refused_by_socket_too(settings: Settings, socket_path: Path) -> None:
    client = SignerClient(ORIGIN, socket_path)
    with signer_process(settings, socket_path):
        assert client.last() is None
        head = Checkpoint(ORIGIN, 5, bytes(32))
        client.sign(head, [])
        for other in (Checkpoint(ORIGIN, 4, bytes(32)), Checkpoint(ORIGIN, 5, b"\x01" * 32), Checkpoint(ORIGIN, 6, bytes(32))):
            with pytest.raises(LedgerBroken, match="refused to sign"):
                client.sign(other, [])
        assert client.last() == head


@pytest.fixture
def answering(tmp_path: Path, socket_path: Path) -> Iterator[SignerServer]:
    """One that does not serve; what it would answer is asked of it."""
    create_signer_key(tmp_path / "keys")
    made = SignerServer(socket_path, seed_source(tmp_path / "keys", None), tmp_path / "memory")
    yield made
    made.stop()
    made.serve()


HEAD = str(Checkpoint(ORIGIN, 5, bytes(32)))


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 20_000,
        json.dumps({"origin": "precedent/../../etc"}).encode(),
        json.dumps({"origin": 7}).encode(),
        json.dumps({"origin": ORIGIN, "head": HEAD}).encode(),
        json.dumps({"origin": ORIGIN, "head": HEAD, "path": [], "force": True}).encode(),
        json.dumps({"origin": ORIGIN, "head": HEAD, "path": ["00"]}).encode(),
        json.dumps({"origin": ORIGIN, "head": HEAD, "path": ["00" * 32] * 129}).encode(),
        json.dumps({"origin": ORIGIN, "head": "signer handover", "path": []}).encode(),
        json.dumps({"origin": ORIGIN, "head": HEAD.replace("8000", "9000"), "path": []}).encode(),
    ],
)
def test_any_other_request_is_refused_and_nothing_signed(answering: SignerServer, asked: bytes) -> None:
    assert set(answering.respond(asked)) == {"refused"}
    assert answering.respond(json.dumps({"origin": ORIGIN}).encode())["note"] is None


def test_only_one_signer_serves_at_a_socket(answering: SignerServer, settings: Settings, socket_path: Path) -> None:
    create_signer_key(settings.keys_path)
    with pytest.raises(SettingsInvalid, match="another signer does"):
        SignerServer(socket_path, seed_source(settings.keys_path, None), settings.signer_path)


def test_what_is_no_answer_of_a_signer_is_waited_for_not_believed(socket_path: Path) -> None:
    client = SignerClient(ORIGIN, socket_path)
    for answer in ([], {}, {"verifiers": "one"}, {"verifiers": ["nonsense"]}, {"waits": "the disk is full", "verifiers": []}):
        with pytest.raises(SignerUnavailable):
            client._note_in(answer)
