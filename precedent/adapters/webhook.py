"""Posting a signed webhook to an address that an operator gave, and to no other: Standard Webhooks, and what its security asks of a sender.

The address that is connected to is the one that was checked: a name is resolved once, and never again by somebody else, so that no
server of names can lead a webhook into the network it is sent from. Redirects are not followed, proxies of the environment not used.
"""

from __future__ import annotations

import base64
import hmac
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Timer
from typing import TypeAlias
from urllib.parse import urlsplit

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable
from precedent.clock import Clock

NAME = "webhook"
TIMEOUT_SECONDS = 10.0  # of a whole delivery; the outbox gives it 30 s before another process may begin it anew
ANSWER_LIMIT_BYTES = 16 * 1024
BUSY = frozenset({429, 502, 503, 504})

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

NAT64 = ip_network("64:ff9b::/96")


class ReceiverGone(AdapterRefused):
    """410: it wants nothing any more."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Where webhooks may go: public addresses, and the networks that were allowed besides; by https alone where it is required."""

    networks: tuple[Network, ...] = ()
    is_https_required: bool = True

    def require_url(self, url: str) -> None:
        """Raises: AdapterRefused where the URL itself cannot be sent to, whatever it resolves to."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise AdapterRefused(NAME, f"no URL: {error}") from error
        if parts.scheme not in ({"https"} if self.is_https_required else {"https", "http"}):
            raise AdapterRefused(NAME, "the URL must begin with https://")
        if not parts.hostname or port == 0 or parts.username is not None or parts.password is not None or parts.fragment:
            raise AdapterRefused(NAME, "the URL names a host, and neither a user nor a fragment")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise AdapterRefused(NAME, "the URL holds characters that no URL has")

    def allows(self, address: Address) -> bool:
        """Whether an address may be connected to."""
        return any(address in network for network in self.networks) or is_public(address)


def rules_of(networks: str, *, is_https_required: bool) -> Rules:
    """Raises: ValueError where a network is none."""
    return Rules(tuple(ip_network(one.strip()) for one in networks.split(",") if one.strip()), is_https_required)


def is_public(address: Address) -> bool:
    """Not loopback, private, link-local (where clouds keep their metadata), shared, multicast or reserved; what is wrapped in an
    IPv6 address is looked at as itself."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks 1.0, with one signature for each secret."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


class _Connection(HTTPConnection):
    """Connects to an address that the rules allow; under TLS it is still the name that the certificate must hold."""

    def __init__(self, host: str, port: int, rules: Rules, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._rules = rules
        self._tls = tls
        self._under: socket.socket | None = None

    def connect(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        allowed = [(family, place) for family, _, _, _, place in found if self._rules.allows(ip_address(place[0]))]
        if not allowed:
            raise AdapterRefused(NAME, "its host has no public address: see PRECEDENT_WEBHOOK_NETWORKS")
        for family, place in allowed:
            self.sock = socket.socket(family, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            try:
                self.sock.connect(place)
                break
            except OSError:
                self.sock.close()
                if (family, place) == allowed[-1]:
                    raise
        self._under = self.sock
        if self._tls is not None:
            self._under = self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def hang_up(self) -> None:
        """Shut the socket under whoever waits on it."""
        # A copy of the descriptor, as the answer may go on being read after the connection gave up the socket itself.
        with suppress(OSError), socket.socket(fileno=os.dup(self._under.fileno() if self._under else -1)) as copy:
            copy.shutdown(socket.SHUT_RDWR)


def post(url: str, headers: dict[str, str], body: bytes, rules: Rules, clock: Clock, tls: ssl.SSLContext | None = None) -> int:
    """Post and return the status, which is 2xx. The answer's body is read up to a limit and dropped.

    Raises: ReceiverGone at 410; AdapterRefused at another 4xx, at a redirect, or where the rules forbid the address;
    AdapterUnavailable where it was not reached in time, is busy or broken, with the pause that it asks for.
    """
    rules.require_url(url)
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    port = parts.port or (443 if is_tls else 80)
    connection = _Connection(str(parts.hostname), port, rules, (tls or ssl.create_default_context()) if is_tls else None)
    # The time-out of a socket bounds each wait; whoever sends a byte now and then is bounded by this.
    timer = Timer(TIMEOUT_SECONDS, connection.hang_up)
    timer.daemon = True
    timer.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"content-type": "application/json", "user-agent": "precedent-webhook", **headers})
        response = connection.getresponse()
        response.read(ANSWER_LIMIT_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        raise AdapterUnavailable(NAME, f"{type(error).__name__}: {error}") from error
    finally:
        timer.cancel()
        connection.close()
    return _judge(response, clock)


def _judge(response: HTTPResponse, clock: Clock) -> int:
    status = response.status
    if 200 <= status < 300:
        return status
    if status == 410:
        raise ReceiverGone(NAME, "status 410: it wants nothing any more")
    if status in BUSY or status >= 500:
        raise AdapterUnavailable(NAME, f"status {status}", _asked_pause(response.getheader("retry-after"), clock))
    raise AdapterRefused(NAME, f"status {status}" + (": redirects are not followed" if 300 <= status < 400 else ""))


def _asked_pause(text: str | None, clock: Clock) -> float | None:
    """Seconds that Retry-After asks for, as a number or a date (RFC 9110, section 10.2.3); None where it asks nothing."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - clock.now_us() / 1e6, 0.0)
