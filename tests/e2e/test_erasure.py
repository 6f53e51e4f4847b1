"""A person is erased while an API serves: looked for in a dump of everything, the exports and the logs, with all keys at hand.

Encrypted data is in no dump in words, erased or not: so the search also opens what the keys open, as a thief of both would, and
finds the person before.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest
from dumping import dump_of, forms_of, restore
from in_process import DEAL
from pydantic import SecretStr
from running_api import ApiProcess, Installation, free_ports, install, serve, wait_until
from running_dbt import run_dbt
from typer.testing import CliRunner

from precedent.cli.ledger import app
from precedent.db.embedded import EmbeddedPostgres
from precedent.errors import LedgerBroken
from precedent.ledger.keyring import Keyring, open_keyring, unseal
from precedent.ledger.verify import verify_database
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding import embed_last
from precedent.settings import load_settings

CUSTOMER, NOTE, ALONE, MAIL = "C-planted-4711", "call the planted neighbour", "somebody planted alone", "planted.person@example.org"
PLANTED = (CUSTOMER, NOTE, ALONE, MAIL)
OTHER, LATER = "the others who stay", "who is erased later"


@dataclass(frozen=True, slots=True)
class Story:
    """What stood and was found at each step; names say after what."""

    url: str
    installation: Installation
    lookups: tuple[bytes, ...]
    opened_before: bytes
    dump_before: bytes
    opened_after: bytes
    dump_after: bytes
    vectors: tuple[int, ...]
    told: dict[str, int]
    exported: tuple[bytes, ...]
    logs: bytes
    backup_opened_before_rotation: bytes
    backup_opened_after_rotation: bytes
    opened_after_rotation: bytes
    restored: Restored


@dataclass(frozen=True, slots=True)
class Restored:
    """A database from before the last erasure, and the API on it."""

    refusal: bytes
    opened_at_first: bytes
    opened_when_served: bytes
    log: bytes
    has_served: bool
    is_intact: bool
    erased_count: int


def opened(url: str, keyring: Keyring) -> bytes:
    """All that whoever has the database and the keys can read of personal sections."""
    keyring.epochs.refresh()
    with psycopg.connect(url) as connection:
        keys = connection.execute("select epoch_key, wrapped from ledger.subject_key").fetchall()
        sections = connection.execute(
            "select e.entry_id, s.stored[1] from ledger.section s join ledger.entry e using (chain_id, seq) where s.is_personal"
        ).fetchall()
    return b"\n".join(text for epoch, wrapped in keys for text in _opened(keyring, epoch, wrapped, sections))


def _opened(keyring: Keyring, epoch: str, wrapped: bytes, sections: list[tuple[UUID, bytes]]) -> Iterator[bytes]:
    try:
        data_key = keyring.unwrap(epoch, wrapped)
    except LedgerBroken:
        return
    for entry_id, stored in sections:
        try:
            yield unseal(data_key, entry_id, stored)
        except LedgerBroken:
            continue


def record(client: httpx2.Client) -> UUID:
    """The person, in each way to come in, refused ones too, beside others; the id of the decision that names nobody."""
    facts = DEAL | {"customer_id": CUSTOMER, "note": NOTE}
    event = {"type": "Called", "subject": CUSTOMER, "payload": {"who": MAIL, "note": NOTE}}
    keyed = {"idempotency-key": CUSTOMER}
    for path, body, status in (
        ("/decisions/finance", {"facts": facts}, 201),
        ("/decisions/finance/batch", {"decisions": [facts, facts]}, 200),
        ("/decisions/finance", {"facts": facts | {"deal_value": NOTE}}, 422),
        ("/decisions/finance", {"facts": facts | {"customer_tier": CUSTOMER}}, 422),
        ("/decisions/finance", {"facts": facts, NOTE: 1}, 422),
        ("/events", event, 201),
        ("/events", [event], 201),
        ("/events", event | {"as_of": MAIL}, 422),
        ("/decisions/finance", {"facts": DEAL | {"customer_id": "C-2", "note": OTHER}}, 201),
        ("/events", {"type": "Called", "subject": "C-3", "payload": {"note": LATER}}, 201),
    ):
        answer = client.post(path, json=body, headers=keyed if status == 201 and body == {"facts": facts} else {})
        assert answer.status_code == status, (path, answer.status_code, answer.text)
    alone = client.post("/decisions/finance", json={"facts": DEAL | {"note": ALONE}})
    return UUID(alone.json()["id"])


def compute_features(url: str, target: Path) -> None:
    """All days up to now, by the models."""
    with psycopg.connect(url) as connection:
        ((chain_id, size),) = connection.execute("select chain_id, size from precedent.ledger_heads").fetchall()
    today = datetime.now(UTC).date()
    days = {"from_day": f"{today}", "to_day": f"{today + timedelta(days=1)}"}
    target.mkdir()
    run_dbt(url, target, "run", "--vars", json.dumps({"ledger_prefix": {str(chain_id): size}, **days}))
    with psycopg.connect(url) as connection:
        query = "select 1 from analytics.entity_features where entity_id in (select subject_id::text from precedent.subjects)"
        assert connection.execute(query).fetchall(), "people have features"


def compute_vectors(url: str, client: httpx2.Client) -> None:
    """Of every decision, which an outcome makes a precedent."""
    with psycopg.connect(url) as connection:
        ((chain_id,),) = connection.execute("select id from ledger.chain").fetchall()
        decided = connection.execute("select id from precedent.decisions").fetchall()
    for (decision_id,) in decided:
        assert client.post(f"/outcomes/{decision_id}", json={"metrics": {"won": True, "margin": 0.3}}).status_code == 201
    assert embed_last(url, chain_id, TypedEmbedder(), 1000, 1000).added_count == len(decided)


def vectors_of(url: str, subjects: list[UUID]) -> int:
    with psycopg.connect(url) as connection:
        query = "select from precedent.decision_embeddings_384 where subject_id = any (%s)"
        return len(connection.execute(query, (subjects,)).fetchall())


def command(installation: Installation, *arguments: str, url: str | None = None, stdin: str | None = None) -> str:
    environment = {"PRECEDENT_DATABASE_URL": url or installation.database_url, "PRECEDENT_HOME": str(installation.settings.home_dir)}
    result = CliRunner().invoke(app, list(arguments), env=environment, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def contents_of(folder: Path) -> bytes:
    """Every file's bytes, unpacked where it is packed."""
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join(gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one for one in files)


@pytest.fixture(scope="module")
def story(module_database_url: str, server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    url, folder = module_database_url, tmp_path_factory.mktemp("story")
    installation = install(url, folder / "home")
    made: list[str] = []

    def from_backup(dump: bytes) -> str:
        made.append(f"r_{uuid4().hex[:12]}")
        return restore(dump, server.url, made[-1])

    try:
        yield tell(url, installation, folder, from_backup)
    finally:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for name in made:
                connection.execute(f"drop database {name} with (force)".encode())


def tell(url: str, installation: Installation, folder: Path, from_backup: Callable[[bytes], str]) -> Story:
    with serve(installation, folder) as (serving,), serving.client() as client:
        alone = record(client)
        compute_features(url, folder / "dbt")
        compute_vectors(url, client)
        keyring = open_keyring(installation.settings)
        lookups = tuple(keyring.lookup_hash(kind, CUSTOMER) for kind in ("customer", "subject"))
        opened_before, dump_before = opened(url, keyring), dump_of(url)
        with psycopg.connect(url) as connection:
            subjects = [
                one
                for (one,) in connection.execute("select subject_id from precedent.subjects where lookup_hash = any (%s)", ([*lookups],))
            ]
        vectors = [vectors_of(url, subjects)]

        names = f"customer:{CUSTOMER}\nsubject:{CUSTOMER}\nentry:{alone}\n"
        command(installation, "erase", "--subject", "-", "--reason", "asked by the person", "--yes", stdin=names)
        opened_after, dump_after = opened(url, keyring), dump_of(url)
        vectors.append(vectors_of(url, subjects))
        told = returning_person(client)
        command(installation, "erase", "--subject", f"customer:{CUSTOMER}", "--reason", "asked again", "--yes")
        told["erased"] = verify_database(url, processes=1).counts["erased"]
        serving.drain()
        logs = serving.log.read_bytes()
    exported = []
    for name, options in (("export", ()), ("without", ("--without-personal",))):
        command(installation, "export", str(folder / name), *options)
        command(installation, "verify", "--export", str(folder / name))
        exported.append(contents_of(folder / name))

    backup = from_backup(dump_before)
    backup_opened_before = opened(backup, keyring)
    command(installation, "rotate-epoch", "--again")
    return Story(
        url=url,
        installation=installation,
        lookups=lookups,
        opened_before=opened_before,
        dump_before=dump_before,
        opened_after=opened_after,
        dump_after=dump_after,
        vectors=tuple(vectors),
        told=told,
        exported=tuple(exported),
        logs=logs + (Path(url.partition("host=")[2]).parent / "postgres.log").read_bytes(),
        backup_opened_before_rotation=backup_opened_before,
        backup_opened_after_rotation=opened(backup, keyring),
        opened_after_rotation=opened(url, keyring),
        restored=restore_older(installation, folder, keyring, from_backup),
    )


def returning_person(client: httpx2.Client) -> dict[str, int]:
    """Statuses of the API that knew the person when it was erased: a late repeat, and a new visit."""
    facts = {"facts": DEAL | {"customer_id": CUSTOMER, "note": NOTE}}
    return {
        "repeat": client.post("/decisions/finance", json=facts, headers={"idempotency-key": CUSTOMER}).status_code,
        "visit": client.post("/decisions/finance", json={"facts": DEAL | {"customer_id": CUSTOMER}}).status_code,
    }


def restore_older(installation: Installation, folder: Path, keyring: Keyring, from_backup: Callable[[bytes], str]) -> Restored:
    """After the rotation somebody is erased whom a backup still knows: that backup is restored, recovered from, and served."""
    dump = dump_of(installation.database_url)
    command(installation, "erase", "--subject", "subject:C-3", "--reason", "asked by the person", "--yes")
    with serve(installation, folder) as (serving,):
        serving.drain()  # a signed checkpoint covers the erasure
    older = from_backup(dump)
    opened_at_first = opened(older, keyring)
    settings = load_settings(**{**installation.settings.model_dump(exclude_unset=True), "database_url": SecretStr(older)})
    restored = Installation(settings, older, installation.token)
    (port,) = free_ports(1)
    refused = ApiProcess(restored, folder / "refused.log", port)
    try:
        wait_until(lambda: refused.process.poll() is not None, 30, "the API to end")
    finally:
        refused.kill()
    command(installation, "recover", "--reason", "the disk is gone", url=older)
    with serve(restored, folder) as (serving,), serving.client() as client:
        has_served = client.get("/ledger/head").status_code == 200
        serving.drain()
    report = verify_database(older, processes=1)
    log = serving.log.read_bytes()
    refusal = refused.log.read_bytes()
    return Restored(refusal, opened_at_first, opened(older, keyring), log, has_served, report.is_intact, report.counts["erased"])


@pytest.mark.parametrize("value", PLANTED)
def test_a_thief_of_database_and_keys_finds_the_person_before_and_not_after(story: Story, value: str) -> None:
    assert value.encode() in story.opened_before
    assert value.encode() not in story.opened_after
    assert OTHER.encode() in story.opened_after


@pytest.mark.parametrize("value", PLANTED)
def test_the_person_stands_in_no_table_no_log_and_no_new_export(story: Story, value: str) -> None:
    for place in (story.dump_after, *story.exported, story.logs):
        for form in forms_of(value):
            assert form not in place


def test_no_vector_of_the_person_is_left(story: Story) -> None:
    assert story.vectors == (3, 0)


def test_the_mapping_from_the_pseudonym_is_gone(story: Story) -> None:
    for lookup in story.lookups:
        assert lookup.hex().encode() in story.dump_before
        assert lookup.hex().encode() not in story.dump_after


def test_a_late_repeat_brings_nobody_back_and_who_returns_is_somebody_new(story: Story) -> None:
    assert (story.told["repeat"], story.told["visit"]) == (409, 201)


def test_the_record_verifies_and_says_lawful_in_database_and_export(story: Story) -> None:
    # Four decisions with the fact, of which one names nobody; two events; one decision of who returned.
    assert story.told["erased"] == 7
    assert verify_database(story.url, processes=1).is_intact


def test_a_backup_from_before_is_dark_after_the_rotation_and_the_living_are_not(story: Story) -> None:
    for value in PLANTED:
        assert value.encode() in story.backup_opened_before_rotation
    assert story.backup_opened_after_rotation == b""
    assert OTHER.encode() in story.opened_after_rotation


def test_a_restored_older_database_erases_what_it_missed_before_it_serves(story: Story) -> None:
    restored = story.restored
    assert b"the database was taken back" in restored.refusal
    assert LATER.encode() in restored.opened_at_first
    assert LATER.encode() not in restored.opened_when_served
    assert OTHER.encode() in restored.opened_when_served
    assert restored.has_served
    assert b"erased_again" in restored.log
    assert (restored.is_intact, restored.erased_count) == (True, 8)
