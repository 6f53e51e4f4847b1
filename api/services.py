"""Everything a request may use, made once at start and closed in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import structlog
from starlette.requests import Request

from api.batch_turns import BatchTurns
from precedent.authority import AuthoritySource
from precedent.clock import Clock, SystemClock, to_instant
from precedent.db.embedded import database_url
from precedent.db.reads import Reads
from precedent.decide import Decider
from precedent.errors import DatabaseUnavailable, SettingsInvalid, SignerUnavailable
from precedent.explanation import Explainer
from precedent.guard.access import Access
from precedent.guard.rate import Rates
from precedent.guard.store import IN_USE
from precedent.ledger import store
from precedent.ledger.erase import apply_missed
from precedent.ledger.erasure_memory import FolderErasures
from precedent.ledger.integrate import Integrator, origin_of
from precedent.ledger.keyring import Keyring, open_keyring
from precedent.ledger.proof import Proofs
from precedent.ledger.signer import Signer
from precedent.ledger.signer_socket import SignerClient
from precedent.ledger.signing import anchors_for, signer_of
from precedent.ledger.store import Entries
from precedent.ledger.subjects import Subjects
from precedent.ledger.writer import Writer
from precedent.memory.assemble import Memory
from precedent.people.deadlines import Deadlines
from precedent.production import DEVELOPMENT, require_production_files
from precedent.record import Recorder
from precedent.review import Reviewer
from precedent.settings import Settings

log = structlog.get_logger("api")

START_SECONDS = 60
STREAMS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Services:
    """One an API process."""

    settings: Settings
    url: str
    clock: Clock
    chain_id: UUID
    keyring: Keyring
    signer: Signer | SignerClient
    integrator: Integrator
    reads: Reads
    writer: Writer
    access: Access
    rates: Rates
    authority: AuthoritySource
    entries: Entries
    proofs: Proofs
    decider: Decider
    recorder: Recorder
    reviewer: Reviewer
    explainer: Explainer
    # Streams take turns: together they fill at most half of the append queue.
    stream_turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STREAMS_AT_ONCE))
    batch_turns: BatchTurns = field(default_factory=BatchTurns)


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """The services, until the block ends; then what waits for a commit is committed.

    Raises: DatabaseUnavailable where no database answers within START_SECONDS; SettingsInvalid, also for what production refuses;
    LedgerBroken where the database is behind a checkpoint that was signed, or contradicts it; ErasureBarred where it is older than an
    erasure that it bars.
    """
    clock = clock or SystemClock()
    require_production_files(settings)
    url = database_url(settings)
    keyring = open_keyring(settings, to_instant(clock.now_us())[:7], create=settings.mode == "development")
    reads = Reads(url, settings.read_pool_size)
    await reads.open()
    try:
        chain_id = await _find_chain(reads, settings.chain)
        await _require_no_development_token(settings, reads)
        async with _integrating(settings, url, chain_id) as (signer, integrator):
            await _erase_missed(settings, url, chain_id, clock)
            writer = Writer(url, chain_id, queue_limit=settings.append_queue_limit, timeout_seconds=settings.append_timeout_seconds)
            authority = AuthoritySource(reads, url, chain_id)
            subjects = Subjects(reads, keyring, chain_id, clock)
            entries = Entries(reads, chain_id)
            async with _running(writer, authority, Deadlines(url, chain_id, clock)):
                yield Services(
                    settings=settings,
                    url=url,
                    clock=clock,
                    chain_id=chain_id,
                    keyring=keyring,
                    signer=signer,
                    integrator=integrator,
                    reads=reads,
                    writer=writer,
                    access=Access(reads, clock.monotonic_ns),
                    rates=Rates(settings.rate_per_second, settings.rate_burst_seconds, clock.monotonic_ns),
                    authority=authority,
                    entries=entries,
                    proofs=Proofs(reads, chain_id),
                    decider=Decider(authority, subjects, Memory(reads, chain_id), entries, writer, clock),
                    explainer=Explainer(reads, entries, chain_id),
                    recorder=Recorder(authority, subjects, entries, writer, clock),
                    reviewer=Reviewer(reads, entries, writer, clock, chain_id),
                )
    finally:
        await reads.close()


class Running(Protocol):
    """What works beside the requests."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...


@asynccontextmanager
async def _running(*parts: Running) -> AsyncIterator[None]:
    """All of them, while the block runs; the last to be started is the first to end."""
    for part in parts:
        part.start()
    try:
        yield
    finally:
        for part in reversed(parts):
            await part.stop()


@asynccontextmanager
async def _integrating(settings: Settings, url: str, chain_id: UUID) -> AsyncIterator[tuple[Signer | SignerClient, Integrator]]:
    """The signer, while the integrator runs. It ends after the writer, so that the last checkpoint covers the last entry.

    Raises: LedgerBroken, before anything is appended to a database that was taken back or rewritten; SettingsInvalid.
    """
    signer = signer_of(settings, origin_of(chain_id), create=True)
    integrator = Integrator(url, chain_id, signer, *anchors_for(settings))
    await _require_continued(integrator)
    integrator.start()
    try:
        yield signer, integrator
    finally:
        await integrator.stop()


async def _require_continued(integrator: Integrator) -> None:
    for _ in range(START_SECONDS):
        try:
            return await asyncio.to_thread(integrator.require_continued)
        except SignerUnavailable as error:
            log.warning("waiting_for_signer", error=str(error))
            await asyncio.sleep(1)
    raise SignerUnavailable(f"no signer answered within {START_SECONDS} s")


async def _erase_missed(settings: Settings, url: str, chain_id: UUID, clock: Clock) -> None:
    """Nobody is served from a database in which somebody stands whose erasure was asked for: it was restored from before.

    Raises: ErasureBarred, DatabaseUnavailable.
    """
    for erased in await asyncio.to_thread(apply_missed, url, chain_id, FolderErasures(settings.anchor_path), clock):
        log.warning("erased_again", subject_id=str(erased.subject_id), section_count=erased.section_count, seq=erased.place.seq)


async def _find_chain(reads: Reads, name: str) -> UUID:
    for _ in range(START_SECONDS):
        try:
            row = await reads.fetch_one(store.CHAIN, (name,))
        except DatabaseUnavailable as error:
            log.warning("waiting_for_database", error=str(error))
            await asyncio.sleep(1)
            continue
        if row is None:
            raise SettingsInvalid(f"no chain is named '{name}'")
        found: UUID = row[0]
        return found
    raise DatabaseUnavailable(f"no database answered within {START_SECONDS} s")


async def _require_no_development_token(settings: Settings, reads: Reads) -> None:
    """A database that was developed with knows a token that opens everything, which lies in somebody's folder.

    Raises: SettingsInvalid.
    """
    if settings.mode == "production" and (row := await reads.fetch_one(IN_USE, (DEVELOPMENT,))) and row[0]:
        raise SettingsInvalid(
            f"production refuses to start: the token '{DEVELOPMENT}', with every scope, is in use: `precedent token revoke {DEVELOPMENT}`"
        )


def services_of(request: Request) -> Services:
    found: Services = request.app.state.services
    return found
