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
from precedent.people.notify import Deliver, Message, channel_of
from precedent.people.outbox_loop import OutboxLoop
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
def open_loops(settings: Settings, url: str, chain_id: UUID, clock: Clock) -> Iterator[list[OutboxLoop]]:
    """A loop for each way out that is open, none of them started. They must have stopped when the block ends."""
    connector = partial(connect, url, API, autocommit=True)
    with open_slack(settings, clock) as deliver:
        yield [OutboxLoop(connector, chain_id, deliver, clock)] if deliver else []


def _post(slack: SlackAdapter, message: Message) -> None:
    slack.invoke(PostMessage(channel_of(message.recipient), message.text, message.idempotency_key), Context(message.decision_id))
