"""A chain whose webhooks are sent from the test itself, under the role that the API has, to receivers on loopback."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from hand_clock import HandClock
from sample_entries import KEYRING

from precedent.adapters.webhook import Rules, rules_of
from precedent.db.engine import API, connect
from precedent.ledger.store import chain_id_of
from precedent.people import webhook_store as endpoints
from precedent.people.notify import Drained, drain
from precedent.people.store import Queue
from precedent.people.webhooks import Webhooks, add_endpoint, require_endpoint

LOOPBACK = rules_of("127.0.0.0/8", is_https_required=False)


@dataclass
class World:
    """A chain, who sends its webhooks, and how to make an endpoint."""

    url: str
    rules: Rules = LOOPBACK
    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        with psycopg.connect(self.url) as owner:
            self.chain_id = chain_id_of(owner, "main")
        self.connector = partial(connect, self.url, API, autocommit=True)
        self.webhooks = Webhooks(self.connector, self.chain_id, KEYRING, self.rules, self.clock)

    def add(self, url: str, *topics: str, name: str = "ours") -> endpoints.Endpoint:
        with psycopg.connect(self.url) as owner:
            return add_endpoint(owner, self.chain_id, name, url, list(topics), self.rules, self.clock)

    def endpoint(self, name: str = "ours") -> endpoints.Endpoint:
        with psycopg.connect(self.url) as owner:
            return require_endpoint(owner, self.chain_id, name)

    def drain(self) -> Drained:
        return drain(self.connector, self.chain_id, self.webhooks.deliver, self.clock, Queue.WEBHOOKS)

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as owner:
            return owner.execute(f"select {columns} from precedent.outbox where endpoint_id is not null order by id".encode()).fetchall()
