"""How long a halt takes, measured on running processes with a node of its own: what else is decided is not stopped.

The node `drill` has one action that approves whatever comes. Callers ask for it without a pause; then its flag is switched off, by
the same kind of entry that the kill switch is. Three moments count, from when the switch was asked for: the first denial, the last
approval that still arrived, and the acknowledgement. Places in the ledger tell what no clock can: whether anything was approved
behind the entry of the halt.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from precedent.cli.switches import ATTEMPT_SECONDS, FlagState, SwitchesOverApi
from precedent.client import Client, NotThere
from precedent.client_calls import get, post
from precedent.clock import Clock
from precedent.errors import PrecedentError, Unavailable

NODE, ACTION = "drill", "proceed"
POLICY = {
    "policy": "drill-constitution",
    "version": "1.0.0",
    "node": NODE,
    "owner": "operations",
    "description": "Approves whatever comes, so that a drill can see the moment from which nothing is approved any more.",
    "actions": {
        ACTION: {
            "facts": {"caller": {"type": "int", "min": 0}},
            "bands": [{"name": "open", "level": "AL1", "when": "facts.caller >= 0", "reason": "DRILL", "text": "a drill runs"}],
            "otherwise": {"verdict": "deny", "reason": "OUTSIDE_DRILL", "text": "no drill asks this"},
        }
    },
}
REF = f"{POLICY['policy']}@{POLICY['version']}"
WARM_ANSWERS = 5  # a caller has so many approvals before the halt, and so many denials after it
CALLER_PAUSE_SECONDS = 0.01  # light load: a caller asks a hundred times a second at most
PATIENCE_SECONDS = 30.0


class DrillFailed(PrecedentError):
    """It could not be measured: nothing is known of the halt."""

    code = "DRILL_FAILED"


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: what was said, where it stands in the ledger, and when it had arrived."""

    verdict: str
    code: str
    seq: int
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class Halted:
    """What one halt took, in ms from its asking; `late_count` approvals stand behind its entry, which must be none."""

    acknowledged_ms: float
    first_denial_ms: float
    last_approval_ms: float
    late_count: int
    answer_count: int


@dataclass(slots=True)
class Caller:
    """Asks one API for decisions until told to stop."""

    client: Client
    clock: Clock
    ending: threading.Event
    grown: threading.Condition
    seen: list[Seen] = field(default_factory=list)
    error: PrecedentError | None = None

    def run(self) -> None:
        while not self.ending.is_set():
            try:
                answer = self.client.send(post(f"/decisions/{NODE}", {"facts": {"caller": 1}}, str(self.clock.new_id())))
            except PrecedentError as error:
                with self.grown:
                    self.error = error
                    self.grown.notify_all()
                return
            one = Seen(answer["verdict"], answer["reasons"][0]["code"], answer["receipt"]["seq"], self.clock.monotonic_ns())
            with self.grown:
                self.seen.append(one)
                self.grown.notify_all()
            self.ending.wait(CALLER_PAUSE_SECONDS)

    def count(self, verdict: str) -> int:
        return sum(one.verdict == verdict for one in self.seen)


@contextmanager
def calling(urls: Sequence[str], token: str, callers: int, clock: Clock) -> Iterator[list[Caller]]:
    """So many callers of each API while the block runs."""
    ending, grown = threading.Event(), threading.Condition()
    with ExitStack() as stack:
        running = [
            Caller(stack.enter_context(Client(url, token, clock=clock, patience_seconds=ATTEMPT_SECONDS)), clock, ending, grown)
            for url in urls
            for _ in range(callers)
        ]
        threads = [threading.Thread(target=one.run, name="drill") for one in running]
        for thread in threads:
            thread.start()
        try:
            yield running
        finally:
            ending.set()
            for thread in threads:
                thread.join()


def prepare(client: Client) -> None:
    """Publish and activate the drill's policy where it is not active yet.

    Raises: ClientError.
    """
    try:
        status = client.send(get(f"/policies/{REF}"))["status"]
    except NotThere:
        client.send(post(f"/policies/{NODE}/publish", POLICY, str(client.clock.new_id())))
        status = "published"
    if status != "active":
        client.send(post(f"/policies/{REF}/activate", {}, str(client.clock.new_id())))


def drill_halt(urls: Sequence[str], token: str, *, callers: int, clock: Clock) -> Halted:
    """Halt the drill's node under light load, and measure; its flag is off again at the end, as before, whatever happened.

    Raises: DrillFailed, ClientError.
    """
    with Client(urls[0], token, clock=clock, patience_seconds=ATTEMPT_SECONDS) as client:
        if client.send(get("/flags"))["halted"]:
            raise DrillFailed("couldn't drill: everything is halted already")
        prepare(client)
        switches = SwitchesOverApi(client, urls[0])
        off = FlagState(NODE, ACTION, is_enabled=False, max_level=1, reason="a drill")
        try:
            switches.set_flag(replace(off, is_enabled=True))
            with calling(urls, token, callers, clock) as running:
                _await(running, "approve")
                asked_ns = clock.monotonic_ns()
                switches.set_flag(off)
                answered_ns = clock.monotonic_ns()
                _await(running, "deny")
        finally:
            # Asked once more where it went wrong: an entry that says the same again harms nobody, an open drill might.
            switches.set_flag(replace(off, reason="a drill is over"))
    return _judge([one for caller in running for one in caller.seen], asked_ns, answered_ns)


def _await(running: list[Caller], verdict: str) -> None:
    """Return once each caller has been answered so often.

    Raises: DrillFailed, and what a caller was refused with.
    """
    grown = running[0].grown
    with grown:
        ended = grown.wait_for(
            lambda: any(one.error for one in running) or all(one.count(verdict) >= WARM_ANSWERS for one in running), PATIENCE_SECONDS
        )
    for one in running:
        if one.error is not None and not isinstance(one.error, Unavailable):
            raise one.error
    if not ended or any(one.error for one in running):
        raise DrillFailed(f"couldn't drill: not every caller was answered '{verdict}' within {PATIENCE_SECONDS:.0f} s")


def _judge(seen: list[Seen], asked_ns: int, answered_ns: int) -> Halted:
    denied = [one for one in seen if one.code == "NOT_ENABLED" and one.arrived_ns > asked_ns]
    approved = [one for one in seen if one.verdict == "approve"]
    halt_seq = min(one.seq for one in denied)
    last_ns = max(max(one.arrived_ns for one in approved), asked_ns)
    return Halted(
        acknowledged_ms=(answered_ns - asked_ns) / 1e6,
        first_denial_ms=(min(one.arrived_ns for one in denied) - asked_ns) / 1e6,
        last_approval_ms=(last_ns - asked_ns) / 1e6,
        late_count=sum(one.seq > halt_seq for one in approved),
        answer_count=len(seen),
    )
