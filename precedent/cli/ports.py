"""Whether the ports of the settings are free, said before anything starts."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from precedent.errors import PrecedentError
from precedent.settings import Settings


class PortTaken(PrecedentError):
    """Another process listens where one of ours is to."""

    code = "PORT_TAKEN"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program is to listen, and the setting that says so."""

    setting: str
    host: str
    port: int

    def is_free(self) -> bool:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Connections of an earlier run that wait for their end don't hold the port; a listener does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError:
                return False
        return True


def places(settings: Settings, *, with_dagster: bool = True, with_docs: bool = True) -> list[Place]:
    """Every place that these settings use."""
    wanted = [Place("PRECEDENT_API_PORT", settings.api_host, settings.api_port)]
    if with_dagster:
        wanted.append(Place("PRECEDENT_DAGSTER_PORT", "127.0.0.1", settings.dagster_port))
    if with_docs:
        wanted.append(Place("PRECEDENT_DOCS_PORT", "127.0.0.1", settings.docs_port))
    return wanted


def refuse_taken(wanted: list[Place]) -> None:
    """Nothing, when each place is free and no two are the same.

    Raises: PortTaken naming the setting to change.
    """
    used: dict[int, str] = {}
    for place in wanted:
        if place.port in used:
            raise PortTaken(f"{place.setting} and {used[place.port]} are both {place.port}: give one of them another port")
        used[place.port] = place.setting
        if not place.is_free():
            raise PortTaken(
                f"couldn't use port {place.port} on {place.host}: another process listens there; set {place.setting} to a free one"
            )
