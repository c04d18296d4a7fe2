"""Firmware over HPM.1, against the emulated BMC of the lab, stage by stage and through what goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from attrs import evolve

from rackwave.bmc.ipmi import hpm, hpm_upload
from rackwave.bmc.ipmi.hpm import TASK
from rackwave.core.hpm_image import Device
from rackwave.core.identity import ComponentName
from rackwave.core.observation import Component, Look, TaskPhase, Unknown
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Refused
from rackwave.importers import read, write_hpm1
from rackwave.importers.files import image_of
from rackwave.ports import ResetKind

BIOS, BMC = ComponentName("BIOS"), ComponentName("BMC")


async def never(*, held: bool = False) -> None:
    """Let the last block go."""


async def programmed(bench: Any) -> Any:
    """Follow the task until it has ended; return how."""
    for _ in range(60):
        task = (await bench.bmc.observe(Look(system=False, task=TASK))).task
        if isinstance(task, Unknown) or task.phase is not TaskPhase.RUNNING:
            return task
        bench.clock.advance(10)
    raise AssertionError("it never ended")


async def component(bench: Any, name: ComponentName) -> Component:
    """Read one component."""
    return (await bench.bmc.observe(Look(system=False, components=frozenset({name})))).component(name)


@pytest.mark.parametrize("hpm_file", [True, False])
@pytest.mark.parametrize("backend", ["native", "ipmitool"])
def test_the_bmc_is_brought_forth_and_back(on_ipmi: Any, hpm_file: bool, backend: str) -> None:
    """Upload, task, deferred version, activation, self test, manual rollback: one flash, and none twice."""
    import shutil

    if backend == "ipmitool" and shutil.which("ipmitool") is None:
        pytest.skip("no ipmitool here")

    async def scenario(bench: Any) -> None:
        bmc = bench.bmc
        size = 9000 if backend == "native" else 3000
        receipt = await bmc.write(bench.image("BMC", hpm=hpm_file, size=size), completing=never)
        running = (await bmc.observe(Look(system=False, tasks=True))).tasks
        task = await programmed(bench)

        assert Accepted(TASK, "HPM.1", held=True) == receipt
        assert [TaskPhase.RUNNING] == [each.phase for each in running]
        assert (TaskPhase.DONE, True) == (task.phase, task.held)
        assert () == (await bmc.observe(Look(system=False, tasks=True))).tasks
        assert Component(BMC, "1.0.0", "2.0.0") == await component(bench, BMC)

        activated = await bmc.start_update(BMC)
        bench.clock.advance(300)

        assert isinstance(activated, (Accepted, Ambiguous))
        assert Component(BMC, "2.0.0", None) == await component(bench, BMC)
        assert True is await bmc.hpm.passes_self_test()

        assert isinstance(await bmc.roll_back(), Accepted)
        bench.clock.advance(600)
        assert frozenset({1}) == await bmc.hpm.rolled_back()
        assert Component(BMC, "1.0.0", None) == await component(bench, BMC)
        assert (1, 0) == (bench.truth()["flashes"], bench.truth()["double_flashes"])

    on_ipmi(scenario, backend=backend)


def test_an_upgrade_image_of_the_exporter_is_taken(on_ipmi: Any) -> None:
    """What `write_hpm1` makes of bare firmware, the BMC takes, verifies and runs."""

    async def scenario(bench: Any) -> None:
        bare = bench.image("BMC", "2.5.7")
        path = bare.path.with_suffix(".hpm")
        firmware = image_of(bare.file_name, lambda: iter([bare.path.read_bytes()]))
        with path.open("wb") as file:
            write_hpm1(file, firmware, component=1, version="2.5.7", device=Device(product=1))
        image = evolve(
            bare, path=path, file_name=path.name, size=path.stat().st_size, digest=read(path).images[0].digest
        )

        assert Accepted(TASK, "HPM.1", held=True) == await bench.bmc.write(image, completing=never)
        assert TaskPhase.DONE is (await programmed(bench)).phase
        await bench.bmc.start_update(BMC)
        bench.clock.advance(300)
        assert Component(BMC, "2.5.7", None) == await component(bench, BMC)

    on_ipmi(scenario)


def test_a_bios_waits_for_its_host(on_ipmi: Any) -> None:
    """A BIOS image stays deferred after its activation until the host restarts."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.write(bench.image(hpm=True), completing=never)
        await programmed(bench)
        await bench.bmc.start_update(BIOS)
        waiting = await component(bench, BIOS)
        await bench.bmc.reset_host(ResetKind.FORCE_RESTART)
        bench.clock.advance(300)

        assert Component(BIOS, "1.0.0", "2.0.0") == waiting
        assert Component(BIOS, "2.0.0", None) == await component(bench, BIOS)

    on_ipmi(scenario)


def test_completing_comes_before_the_last_block(on_ipmi: Any) -> None:
    """When *completing* is awaited, the BMC has every block but one; one block alone waits, too."""

    async def scenario(bench: Any) -> None:
        sent: list[int] = []
        upload = bench.lab["r1n01"].ipmi.bmc._hpm

        async def completing(*, held: bool = False) -> None:
            sent.append(len(upload._upload.octets))

        for size, version in ((9000, "2.0.0"), (700, "3.0.0")):
            image = bench.image("BMC", version, size=size)
            await bench.bmc.write(image, completing=completing)
            last = (image.size - 1) % hpm_upload.BLOCK_SIZES[0] + 1

            assert image.size - last == sent.pop()
            await programmed(bench)
            bench.clock.advance(900)
            await bench.bmc.start_update(BMC)
            bench.clock.advance(900)

    on_ipmi(scenario)


def test_an_upload_killed_before_its_end_is_nothing(on_ipmi: Any) -> None:
    """Where *completing* fails, the last block never goes, the upload is aborted, and nothing is flashed."""

    async def scenario(bench: Any) -> None:
        async def completing(*, held: bool = False) -> None:
            raise RuntimeError("the journal is full")

        with pytest.raises(RuntimeError):
            await bench.bmc.write(bench.image("BMC"), completing=completing)
        again = await bench.bmc.write(bench.image("BMC", "2.1.0"), completing=never)

        assert 1 == bench.truth()["flashes"]
        assert isinstance(again, Accepted)

    on_ipmi(scenario)


def test_a_cancelled_upload_is_aborted(on_ipmi: Any) -> None:
    """Cancelled in mid-upload, the BMC takes another at once, and no session is left."""

    async def scenario(bench: Any) -> None:
        waits = asyncio.Event()

        async def completing(*, held: bool = False) -> None:
            waits.set()
            await asyncio.sleep(60)

        writing = asyncio.ensure_future(bench.bmc.write(bench.image("BMC"), completing=completing))
        async with asyncio.timeout(30):
            await waits.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

        assert isinstance(await bench.bmc.write(bench.image("BMC", "2.1.0"), completing=never), Accepted)
        assert 1 == bench.truth()["flashes"]

    on_ipmi(scenario)


@pytest.mark.parametrize("side", ["request", "answer"])
def test_lost_packets_are_sent_again(on_ipmi: Any, side: str) -> None:
    """With packets lost in either direction the image arrives whole, and is flashed once."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        bench.fault(fault="ipmi-packet-lost", side=side, chance=0.15, seed=4, count=2)
        receipt = await bench.bmc.write(bench.image("BMC", size=6000), completing=never)
        bench.lab["r1n01"].disarm()

        assert isinstance(receipt, Accepted)
        assert (await programmed(bench)).phase is TaskPhase.DONE
        assert (1, 0) == (bench.truth()["flashes"], bench.truth()["double_flashes"])

    on_ipmi(scenario)


def test_a_lost_session_is_gone_on_with(on_ipmi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """P31: the BMC forgets the session in mid-upload; the upload goes on in another."""
    monkeypatch.setattr(hpm_upload, "_BLOCK_PATIENCE", hpm_upload.Patience(0.2, 3))
    monkeypatch.setattr(hpm_upload, "_BURST", 0.0)

    async def scenario(bench: Any) -> None:
        burst, count = bench.bmc.session.burst, [0]

        async def counted(work: Any) -> Any:
            count[0] += 1
            if count[0] == 5:
                bench.fault(fault="ipmi-sessions-dropped")
            return await burst(work)

        bench.bmc.session.burst = counted
        receipt = await bench.bmc.write(bench.image("BMC", size=9000), completing=never)

        assert isinstance(receipt, Accepted)
        assert (await programmed(bench)).phase is TaskPhase.DONE
        assert (1, 2) == (bench.truth()["flashes"], bench.truth()["ipmi"]["sessions_opened"])

    on_ipmi(scenario)


def test_a_bmc_that_restarts_forgets_the_upload(on_ipmi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """P36: the BMC restarts in mid-upload: it cannot hold the whole image, and the receipt says so."""
    monkeypatch.setattr(hpm_upload, "_BLOCK_PATIENCE", hpm_upload.Patience(0.2, 2))
    monkeypatch.setattr(hpm_upload, "_BURST", 0.0)

    async def scenario(bench: Any) -> None:
        burst, count = bench.bmc.session.burst, [0]

        async def counted(work: Any) -> Any:
            count[0] += 1
            if count[0] == 5:
                bench.lab["r1n01"].machine.reset_bmc()
                bench.clock.advance(300)
            return await burst(work)

        bench.bmc.session.burst = counted
        receipt = await bench.bmc.write(bench.image("BMC", size=9000), completing=never)

        assert isinstance(receipt, Ambiguous)
        assert (False, True) == (receipt.body_complete, receipt.held)
        assert 0 == bench.truth()["flashes"]

    on_ipmi(scenario)


def test_a_bmc_that_goes_away_breaks_the_upload_off(on_ipmi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A BMC that falls silent before the last block cannot hold the whole image."""
    monkeypatch.setattr(hpm_upload, "_BLOCK_PATIENCE", hpm_upload.Patience(0.2, 2))

    async def scenario(bench: Any) -> None:
        async def completing(*, held: bool = False) -> None:
            raise AssertionError("it is not whole")

        await bench.bmc.observe(Look())
        initiate = bench.bmc.uploader._initiate

        async def silenced(*arguments: Any) -> Any:
            told = await initiate(*arguments)
            bench.fault(fault="ipmi-silent")
            return told

        bench.bmc.uploader._initiate = silenced
        receipt = await bench.bmc.write(bench.image("BMC"), completing=completing)
        bench.lab["r1n01"].disarm()

        assert isinstance(receipt, Refused | Ambiguous)
        assert isinstance(receipt, Refused) or not receipt.body_complete
        bench.clock.advance(120)  # the BMC gives the upload up
        assert 0 == bench.truth()["flashes"]

    on_ipmi(scenario)


def test_the_last_answer_is_lost(on_ipmi: Any) -> None:
    """The answer to the last command is lost; the BMC is asked what became of it, and nothing is flashed twice."""

    async def scenario(bench: Any) -> None:
        send = bench.bmc.session._send

        async def lossy(command: Any, data: bytes, patience: Any) -> bytes:
            if command is hpm.FINISH:
                bench.fault(fault="ipmi-packet-lost", side="answer")
            told: bytes = await send(command, data, patience)
            return told

        bench.bmc.session._send = lossy
        receipt = await bench.bmc.write(bench.image("BMC"), completing=never)

        assert Accepted(TASK, "HPM.1", held=True) == receipt
        assert (1, 0) == (bench.truth()["flashes"], bench.truth()["double_flashes"])

    on_ipmi(scenario)


def test_an_activation_may_not_be_answered(on_ipmi: Any) -> None:
    """C: a BMC that restarts before it answers leaves the receipt ambiguous; the version tells afterwards."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.write(bench.image("BMC"), completing=never)
        await programmed(bench)
        send = bench.bmc.session._send

        async def lossy(command: Any, data: bytes, patience: Any) -> bytes:
            if command is hpm.ACTIVATE:
                bench.fault(fault="ipmi-packet-lost", side="answer")
            told: bytes = await send(command, data, patience)
            return told

        bench.bmc.session._send = lossy
        receipt = await bench.bmc.start_update(BMC)
        bench.clock.advance(300)

        assert isinstance(receipt, Ambiguous)
        assert Component(BMC, "2.0.0", None) == await component(bench, BMC)

    on_ipmi(scenario)


def test_another_upgrade_is_left_alone(on_ipmi: Any) -> None:
    """While somebody else's upload is under way ours is refused, to be tried again, and theirs goes on."""

    async def scenario(bench: Any) -> None:
        other = bench.make()

        async def meanwhile(*, held: bool = False) -> None:
            receipt = await bench.bmc.write(bench.image("BIOS"), completing=never)

            assert isinstance(receipt, Refused)
            assert 10.0 == receipt.retry_after

        theirs = await other.write(bench.image("BMC"), completing=meanwhile)
        await other.close()

        assert isinstance(theirs, Accepted)
        assert 1 == bench.truth()["flashes"]

    on_ipmi(scenario)


def test_a_damaged_image_fails_its_task(on_ipmi: Any) -> None:
    """Firmware that does not verify ends as a failed task with the reason, and is not flashed."""

    async def scenario(bench: Any) -> None:
        image = bench.image("BMC")
        whole = image.path.read_bytes()
        image.path.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
        receipt = await bench.bmc.write(image, completing=never)

        told = (await programmed(bench)).message if isinstance(receipt, Accepted) else receipt.reason
        assert "does not verify" in told
        assert 0 == bench.truth()["flashes"]

    on_ipmi(scenario)


def test_what_is_not_to_be_written_is_not(on_ipmi: Any) -> None:
    """What does not fit the component, the bundle or HPM.1 is refused with its reason, and nothing is sent."""

    async def scenario(bench: Any) -> None:
        bmc = bench.bmc
        good = bench.image("BMC", hpm=True)
        cases = [
            (evolve(good, component=BIOS), "is component 0"),
            (evolve(good, version="2.0.1"), "the image's own version is 2.0.0"),
            (bench.image("BMC", "2022.11-6+deb12u2"), "does not fit"),
            (bench.image("BMC", "2.0"), "does not fit"),
            (evolve(good, component=ComponentName("PSU")), "lists no component PSU"),
        ]
        other = bench.image("BMC", hpm=True)
        octets = bytearray(other.path.read_bytes())
        for image, reason in cases:
            receipt = await bmc.write(image, completing=never)

            assert isinstance(receipt, Refused)
            assert reason in receipt.reason
        octets[60] ^= 1
        other.path.write_bytes(bytes(octets))
        receipt = await bmc.write(other, completing=never)
        assert "MD5" in receipt.reason
        assert [] == bench.truth()["writes"]

    on_ipmi(scenario)


def test_a_file_for_another_device_is_not_sent(on_ipmi: Any) -> None:
    """HPM.1 has the client check device, manufacturer, product and the earliest version (P17)."""

    async def scenario(bench: Any) -> None:
        good = bench.image("BMC", hpm=True)
        whole = good.path.read_bytes()
        for place, octet, reason in (
            (9, 0x21, "for device 21h"),
            (10, 0x09, "manufacturer 9"),
            (13, 0x05, "for product 0005h"),
            (24, 0x02, "may follow 2.00 or later, and this runs 1.00 (P17)"),
        ):
            header = bytearray(whole[:34])
            header[place] = octet
            changed = bytes(header) + bytes([-sum(header) & 0xFF]) + whole[35:-16]
            good.path.write_bytes(changed + hashlib.md5(changed, usedforsecurity=False).digest())
            receipt = await bench.bmc.write(good, completing=never)

            assert isinstance(receipt, Refused)
            assert reason in receipt.reason
        assert [] == bench.truth()["writes"]

    on_ipmi(scenario)


def test_an_image_that_is_cut_short_is_not_whole(on_ipmi: Any) -> None:
    """A file that is not as long as the bundle says is not begun; one that shrinks on the way is aborted."""

    async def scenario(bench: Any) -> None:
        image = bench.image("BMC", size=9000)
        short = await bench.bmc.write(evolve(image, size=1), completing=never)
        initiate = bench.bmc.uploader._initiate

        async def cut(*arguments: Any) -> Any:
            image.path.write_bytes(image.path.read_bytes()[:2000])
            return await initiate(*arguments)

        bench.bmc.uploader._initiate = cut
        broken = await bench.bmc.write(image, completing=never)
        bench.bmc.uploader._initiate = initiate

        assert f"has {image.size} bytes on disk, not 1" in short.reason
        assert isinstance(broken, Ambiguous)
        assert not broken.body_complete
        assert isinstance(await bench.bmc.write(bench.image("BMC", "2.1.0"), completing=never), Accepted)
        assert 1 == bench.truth()["flashes"]

    on_ipmi(scenario)


def test_a_component_that_is_not_there_cannot_be_started(on_ipmi: Any) -> None:
    """Nothing is held for a component that HPM.1 does not list; nothing is held where nothing was uploaded."""

    async def scenario(bench: Any) -> None:
        none = await bench.bmc.start_update(ComponentName("PSU"))
        nothing = await bench.bmc.start_update(BMC)

        assert Refused("HPM.1 lists no component PSU", ground=Ground.UNABLE) == none
        assert isinstance(nothing, Refused)

    on_ipmi(scenario)
