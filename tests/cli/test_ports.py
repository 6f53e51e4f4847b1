"""Ports are checked before anything starts, and the message names the setting."""

from __future__ import annotations

import socket

import pytest

from precedent.cli.ports import PortTaken, places, refuse_taken
from precedent.settings import load_settings


def settings_with(**ports: int):  # type: ignore[no-untyped-def]
    return load_settings(**{f"{name}_port": port for name, port in ports.items()})


def test_a_listener_takes_its_port_and_the_message_names_the_setting() -> None:
    with socket.socket() as listener, socket.socket() as other, socket.socket() as third:
        for each in (listener, other, third):
            each.bind(("127.0.0.1", 0))
        listener.listen()
        numbers = [each.getsockname()[1] for each in (listener, other, third)]
        other.close()
        third.close()
        wanted = places(settings_with(api=numbers[1], dagster=numbers[0], docs=numbers[2]))
        with pytest.raises(PortTaken, match=rf"{numbers[0]} on 127\.0\.0\.1.*set PRECEDENT_DAGSTER_PORT"):
            refuse_taken(wanted)


def test_one_port_for_two_programs_is_refused_by_both_names() -> None:
    wanted = places(settings_with(api=45671, dagster=45672, docs=45671))
    with pytest.raises(PortTaken, match="PRECEDENT_DOCS_PORT and PRECEDENT_API_PORT are both 45671"):
        refuse_taken(wanted)


def test_programs_that_are_left_out_need_no_port() -> None:
    wanted = places(settings_with(api=45671, dagster=45671, docs=45671), with_dagster=False, with_docs=False)
    assert [place.setting for place in wanted] == ["PRECEDENT_API_PORT"]
