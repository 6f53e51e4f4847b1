"""The ways out that the settings open, and what a process needs to drain the outbox through them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

from precedent.adapters.contract import Context
from precedent.adapters.slack import PostMessage, SlackAdapter, slack_of
from precedent.clock import Clock
from precedent.db.engine import API, connect
from precedent.ledger.keyring import Keyring
from precedent.people.notify import Deliver, channel_of, message_of
from precedent.people.outbox_loop import OutboxLoop
from precedent.people.store import Claimed, Queue
from precedent.people.webhooks import Webhooks, webhook_rules
from precedent.settings import Settings


@contextmanager
def open_slack(settings: Settings, clock: Clock) -> Iterator[Deliver | None]:
    """Delivery to people, by Slack; None where no token is set: then their messages wait."""
    if settings.slack_bot_token is None:
        yield None
        return
    slack = slack_of(settings, clock)
    try:
        yield partial(_post, slack)
    finally:
        slack.close()


@contextmanager
def open_loops(settings: Settings, url: str, chain_id: UUID, clock: Clock, keyring: Keyring) -> Iterator[list[OutboxLoop]]:
    """A loop for each way out that is open, none of them started. They must have stopped when the block ends."""
    connector = partial(connect, url, API, autocommit=True)
    with open_slack(settings, clock) as deliver:
        loops = [OutboxLoop(connector, chain_id, deliver, clock)] if deliver else []
        webhooks = Webhooks(connector, chain_id, keyring, webhook_rules(settings), clock)
        yield [*loops, OutboxLoop(connector, chain_id, webhooks.deliver, clock, queue=Queue.WEBHOOKS, keep_days=settings.outbox_keep_days)]


def _post(slack: SlackAdapter, claimed: Claimed) -> None:
    message = message_of(claimed)
    slack.invoke(PostMessage(channel_of(message.recipient), message.text, message.idempotency_key), Context(message.subject_id))
