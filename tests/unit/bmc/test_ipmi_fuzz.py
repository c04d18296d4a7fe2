"""Whatever a BMC answers over IPMI, only typed errors come out, and nothing goes on for ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_link import scripted_bmc

from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.fru import areas_of, identity_of
from rackwave.bmc.ipmi.hpm_file import read_hpm_file
from rackwave.bmc.ipmi.link import Patience
from rackwave.bmc.ipmi.sel import entry_of
from rackwave.bmc.ipmi.sensors import sensors_of
from rackwave.bmc.ipmi.threads import Threads
from rackwave.core.boot import BootOverride
from rackwave.core.hpm_version import version_text
from rackwave.core.identity import ComponentName, Digest
from rackwave.core.observation import Look, Power
from rackwave.core.power import PowerAct
from rackwave.core.receipt import Accepted
from rackwave.errors import BmcAmbiguousError, BmcAnswerError, BmcUnreachableError, BundleError, NodeError
from rackwave.ports import Credentials, Image, ResetKind
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.ipmi.bmc import IpmiBmc as LabBmc
from rackwave_emulators.ipmi.codes import Caller, Privilege
from rackwave_emulators.ipmi.hpm_image import wrap_hpm
from rackwave_emulators.ipmi.sensors import sensor_records
from rackwave_emulators.ipmi.wire import Message
from rackwave_emulators.lab import Lab

BUDGET = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WIDE = Look(bmc=True, components=frozenset({ComponentName("BIOS")}), settings=True, tasks=True, task="hpm1")

ANSWERS = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.binary(max_size=40).map(lambda data: b"\x00" + data),
    st.binary(max_size=20).map(lambda data: b"\x00\x00" + data),
    st.sampled_from(
        [bytes([code]) for code in (0x80, 0x81, 0xC0, 0xC1, 0xC3, 0xC5, 0xC7, 0xCA, 0xCB, 0xD4, 0xD5, 0xFF)]
    ),
)
FAILURES = st.sampled_from(
    [
        lambda: BmcAmbiguousError("not answered", node="node1"),
        lambda: BmcAnswerError("nonsense", node="node1"),
        lambda: BmcUnreachableError("gone", node="node1"),
    ]
)


def changes(length: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Draw a few places in so many bytes, and what to put there."""
    return st.lists(st.tuples(st.integers(0, length - 1), st.integers(0, 255)), max_size=9)


@pytest.fixture(scope="module")
def threads() -> Iterator[Threads]:
    """One pool for all examples."""
    pool = Threads(2)
    yield pool
    pool.close()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image to be written."""
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)) * 4)
    return Image(ComponentName("BIOS"), "2.0.0", Digest("sha256:" + "0" * 64), 1024, path, "image")


async def everything(bmc: Any, image: Image) -> tuple[object, object]:
    """Do all that an adapter can be asked for; return what the first look saw, and what became of a write."""

    async def completing(*, held: bool = False) -> None:
        pass

    seen = await bmc.observe(WIDE)
    await bmc.observe(Look())
    written = await bmc.write(image, completing=completing)
    await bmc.reset_host(ResetKind.FORCE_RESTART)
    await bmc.power(PowerAct.ON)
    await bmc.reset_bmc()
    await bmc.set_indicator(on=True)
    await bmc.indicator()
    await bmc.set_boot(BootOverride("Pxe"))
    await bmc.boot_setting()
    await bmc.sensors()
    news = await bmc.log(None, limit=5)
    await bmc.log(getattr(news, "mark", None), limit=5)
    await bmc.start_update(ComponentName("BIOS"))
    await bmc.roll_back()
    await bmc.hpm.passes_self_test()
    await bmc.hpm.rolled_back()
    await bmc.park()
    await bmc.close()
    return seen.power, written


@BUDGET
@given(st.data())
def test_answers_of_any_kind(threads: Threads, image: Image, data: st.DataObject) -> None:
    """Looks never raise and acts have receipts, whatever bytes or failures come."""
    kept = [data.draw(st.one_of(ANSWERS, FAILURES)) for _ in range(12)]
    count = [0]

    def answer(netfn: int, command: int, request: bytes) -> bytes:
        count[0] += 1
        # The same command is answered alike for a while, so that loops are entered and must end.
        told = kept[(netfn * 7 + command * 3 + count[0] // 40) % len(kept)]
        if callable(told):
            raise told()
        return bytes(told)

    bmc, _ = scripted_bmc(answer, threads)
    asyncio.run(everything(bmc, image))

    assert count[0] < 60_000


@BUDGET
@given(st.data())
def test_a_real_bmc_gone_wrong(threads: Threads, image: Image, data: st.DataObject) -> None:
    """The lab's own answers, each spoilt by chance: cut short, with bytes flipped, or another command's."""
    clock = VirtualClock()
    station = Lab(1, clock=clock)["r1n01"]
    station.located("127.1.0.1", 443, scheme="https")
    chance = random.Random(data.draw(st.integers(0, 2**32)))  # noqa: S311 - drawn by hypothesis
    share = data.draw(st.sampled_from([0.0, 0.02, 0.1, 0.4]))
    lab = LabBmc(station, lambda: None, clock, chance)  # type: ignore[arg-type, return-value]
    caller = Caller(1, 1, Privilege.ADMINISTRATOR, Privilege.ADMINISTRATOR)
    last = [b"\x00"]

    def answer(netfn: int, command: int, request: bytes) -> bytes:
        code, told = lab._run(Message(netfn, 0, 0x81, 0, 0, command, request), caller)
        octets = bytes([code]) + (request[:1] if netfn == 0x2C else b"") + told
        clock.advance(1)
        whole, last[0] = last[0], octets
        if chance.random() > share:
            return octets
        match chance.randrange(4):
            case 0:
                return octets[: max(1, chance.randrange(len(octets) + 1))]
            case 1:
                place = chance.randrange(len(octets))
                return octets[:place] + bytes([octets[place] ^ 1 << chance.randrange(8)]) + octets[place + 1 :]
            case 2:
                return whole
            case _:
                raise BmcAmbiguousError("not answered", node="node1")

    bmc, _ = scripted_bmc(answer, threads)
    power, written = asyncio.run(everything(bmc, image))

    # And with nothing spoilt it all works, up to bytes that are no firmware.
    if not share:
        assert Power.ON is power
        assert "does not verify" in str(written) or isinstance(written, Accepted)


@BUDGET
@given(st.binary(max_size=200))
def test_records_of_any_kind(octets: bytes) -> None:
    """Readers of records return what can be read, and raise nothing."""
    identity_of(areas_of(octets))
    version_text(octets)
    if len(octets) >= 16:
        entry_of(octets)
    if len(octets) >= 5:
        list(sensors_of(octets))


@BUDGET
@given(st.data())
def test_sdrs_gone_wrong(data: st.DataObject) -> None:
    """A record of the lab's with bytes changed, or cut, is read or left out."""
    record = bytearray(data.draw(st.sampled_from(sensor_records())))
    for place, octet in data.draw(
        st.lists(st.tuples(st.integers(0, len(record) - 1), st.integers(0, 255)), max_size=9)
    ):
        record[place] = octet

    list(sensors_of(bytes(record[: max(5, data.draw(st.integers(5, len(record))))])))


@BUDGET
@given(st.data())
def test_hpm_files_gone_wrong(tmp_path: Path, data: st.DataObject) -> None:
    """A changed HPM.1 file is read or said to be damaged."""
    octets = bytearray(wrap_hpm(b"firmware" * 20, component=1, version="2.1.0"))
    for place, octet in data.draw(
        st.lists(st.tuples(st.integers(0, len(octets) - 1), st.integers(0, 255)), max_size=9)
    ):
        octets[place] = octet
    path = tmp_path / "image"
    path.write_bytes(bytes(octets))
    with contextlib.suppress(BundleError):
        read_hpm_file(path, component=1)


@pytest.fixture(scope="module")
def mirror() -> Iterator[Callable[[list[bytes]], Endpoint]]:
    """A BMC that answers each datagram with the next of a list, over and over."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.05)
    over, told = threading.Event(), [[b""]]

    def serve() -> None:
        count = 0
        while not over.is_set():
            try:
                request, peer = sock.recvfrom(4096)
            except TimeoutError:
                continue
            answer = told[0][count % len(told[0])]
            count += 1
            # A mask of the request's own bytes makes some answers fit their requests.
            sock.sendto(answer.replace(b"?", request[4:12] or b"?"), peer)

    thread = threading.Thread(target=serve)
    thread.start()

    def answers(datagrams: list[bytes]) -> Endpoint:
        told[0] = datagrams
        return Endpoint(*sock.getsockname())

    yield answers
    over.set()
    thread.join()
    sock.close()


_AUTH = bytes.fromhex("0600ff07" + "00" + "00" * 8)  # RMCP and an IPMI 1.5 header
_PLUS = bytes.fromhex("0600ff0706")
PACKETS = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=60).map(lambda rest: _AUTH + bytes([len(rest)]) + rest),
    st.tuples(st.integers(0, 255), st.binary(max_size=60)).map(
        lambda pair: _PLUS + bytes([pair[0]]) + bytes(8) + len(pair[1]).to_bytes(2, "little") + pair[1]
    ),
    st.just(_AUTH + b"\x10" + bytes.fromhex("811cc320003800" + "0e8004020000000000") + b"\x00"),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PACKETS, min_size=1, max_size=4))
def test_packets_of_any_kind(
    mirror: Callable[[list[bytes]], Endpoint], monkeypatch: pytest.MonkeyPatch, packets: list[bytes]
) -> None:
    """A login answered with any packets ends in a typed error, within its time."""
    pytest.importorskip("pyipmi.interfaces.rmcpplus")
    from rackwave.bmc.ipmi import native

    monkeypatch.setattr(native, "_OPENING", Patience(0.01, 2))
    monkeypatch.setattr(native, "_CLOSING", Patience(0.01, 1))
    link = native.NativeLink("node1", mirror(packets))
    with pytest.raises(NodeError):
        link.open(Credentials("admin", "password"))
    link.close()
