"""Finding BMCs: what is asked, and what answers are believed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwave.discovery import MOST_ADDRESSES, addresses, search, sweep, tables_of
from rackwave.discovery.ssdp import MOST_ANSWERS, read_answer
from rackwave.errors import UsageError
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

UUID = "92384634-2938-2342-8820-489239905423"


def answer(
    *, usn: str = f"uuid:{UUID}::urn:dmtf-org:service:redfish-rest:1:0", al: str = "https://10.0.0.7/redfish/v1/"
) -> bytes:
    """An answer as DSP0266 shows it."""
    return (
        f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nST: urn:dmtf-org:service:redfish-rest:1:0\r\n"
        f"USN: {usn}\r\nAL: {al}\r\nEXT:\r\n\r\n"
    ).encode("latin-1", "replace")


class _Responder(asyncio.DatagramProtocol):
    """Answers every M-SEARCH with each of *answers*."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self.asked: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        for each in self._answers:
            self._transport.sendto(each, addr)


def test_ssdp_over_the_wire() -> None:
    """A question goes out once; services answer, others and rubbish are passed over, repeats count once."""
    responder = _Responder(
        [
            answer(),
            answer(),
            answer(usn="uuid:1-2::urn:dmtf-org:service:redfish-rest:1", al="https://10.0.0.8:8443/redfish/v1"),
            b"\xff" * 40,
        ]
    )

    async def main() -> list[str]:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: responder, local_addr=("127.0.0.1", 0)
        )
        found = await search(seconds=0.2, group=transport.get_extra_info("sockname"))
        transport.close()
        return [each.url for each in found]

    found = asyncio.run(main())

    assert ["https://10.0.0.7", "https://10.0.0.8:8443"] == found
    assert 1 == len(responder.asked)
    assert b"ST: urn:dmtf-org:service:redfish-rest:1\r\n" in responder.asked[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NOTIFY * HTTP/1.1\r\n\r\n",
        answer(usn="uuid:x::upnp:rootdevice"),
        answer(usn=""),
        answer(al="ftp://10.0.0.7/"),
        answer(al="https://user:secret@10.0.0.7/"),
        answer(al="https://[::1/"),
        answer(al="https://10.0.0.7:99999/"),
        answer(al=""),
        answer() + b" " * 4096,
    ],
)
def test_answers_that_are_passed_over(data: bytes) -> None:
    """What is no answer of a Redfish service with a plain address is nothing."""
    assert read_answer(data) is None


@given(st.binary(max_size=400))
def test_any_datagram_is_survived(data: bytes) -> None:
    """No datagram raises."""
    read_answer(data)
    read_answer(answer()[:60] + data)


def test_many_answers_are_bounded() -> None:
    """More services than a segment can hold are not kept."""
    from rackwave.discovery.ssdp import _Listener

    listener = _Listener()
    for number in range(MOST_ANSWERS + 10):
        listener.datagram_received(answer(usn=f"uuid:{number:x}::urn:dmtf-org:service:redfish-rest:1"), None)

    assert MOST_ANSWERS == len(listener.answers)


def test_addresses() -> None:
    """Networks and ranges expand; a network's own and broadcast address are left out; each is asked once."""
    assert ("10.0.0.1", "10.0.0.2", "10.0.0.9:8443", "10.0.0.10:8443", "[2001:db8::1]") == addresses(
        ["10.0.0.0/30", "10.0.0.[1-2]", "10.0.0.[9-10]:8443", "2001:db8::/126"]
    )[:5]


@pytest.mark.parametrize(
    "expression",
    ["10.0.0.0/8", "2001:db8::/64", "10.[0-255].[0-255].1", "10.0.0.0/33", "10.0.0.[5-1]", "https://10.0.0.1"],
)
def test_too_many_addresses_are_refused(expression: str) -> None:
    """A slip is refused before anything is asked."""
    with pytest.raises(UsageError):
        addresses([expression])
    assert MOST_ADDRESSES == 4096


def test_a_name_that_nothing_can_look_up_is_refused() -> None:
    """A slip in a name ends in a sentence that shows it, not in the resolver's own complaint."""
    with pytest.raises(UsageError, match=r"https://bmc\.\.example"):
        asyncio.run(sweep(["bmc..example"]))


def test_a_sweep_asks_the_root_and_logs_in_nowhere(tmp_path: Path) -> None:
    """Services are found by their root; an address without one is passed over; no session is opened."""

    async def main() -> tuple[list[str], dict[str, int], str]:
        async with Lab(2, clock=VirtualClock(), directory=tmp_path / "lab") as lab:
            hosts = [url.removeprefix("https://") for url in lab.urls.values()]
            found = await sweep([*hosts, "127.0.0.1:1"])
            return [each.url for each in found], lab.truth()["totals"], tables_of(found)

    found, totals, tables = asyncio.run(main())

    assert 2 == len(found)
    assert (0, 2) == (totals["sessions_opened"], totals["requests"])
    assert 2 == tables.count("[[nodes]]")
