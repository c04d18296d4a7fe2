"""RedfishBmc against the emulated BMCs of the lab, over HTTPS, from login to the new version."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from attrs import evolve, frozen

from rackwave.bmc.redfish.bmc import RedfishBmc
from rackwave.bmc.redfish.trust import CaTrust
from rackwave.core.identity import ComponentName, NodeName
from rackwave.core.observation import (
    NOT_ASKED,
    Health,
    Identity,
    Look,
    Post,
    Power,
    TaskPhase,
    TaskSeen,
    Unknown,
)
from rackwave.core.receipt import Accepted, Ambiguous, Refused
from rackwave.ports import Credentials, Image, ResetKind
from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.faults import parse_fault
from rackwave_emulators.images import make_image
from rackwave_emulators.lab import Lab
from rackwave_emulators.personality import load_personality

T = TypeVar("T")
BIOS, BMC = ComponentName("BIOS"), ComponentName("BMC")


@frozen
class Bench:
    """One emulated node and a client for it."""

    lab: Lab
    bmc: RedfishBmc
    clock: VirtualClock
    directory: Path
    told: list[tuple[str, bool]]

    def truth(self) -> Any:
        return self.lab.truth()["nodes"]["r1n01"]

    def fault(self, **fault: Any) -> None:
        self.lab["r1n01"].arm(parse_fault(fault))

    def image(self, component: str = "BIOS", version: str = "2.0.0", size: int = 1 << 16) -> Image:
        path = self.directory / f"attempt-a1-{component}-{version}.img"
        facts = make_image(path, component=component, version=version, size=size)
        return Image(ComponentName(component), version, facts.digest, size, path, path.name)


@frozen
class Hurried:
    """The lab's clock for a client that sleeps alone: its sleep moves the clock."""

    clock: VirtualClock

    def now(self) -> float:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)


async def _nothing() -> None:
    pass


def on_bench(tmp_path: Path, program: Callable[[Bench], Awaitable[T]], *, prefer: Any = "auto", **lab: Any) -> T:
    """Run *program* against one emulated node."""

    async def run() -> T:
        clock, told = VirtualClock(), []

        async def on_session(uri: str, opened: bool) -> None:
            told.append((uri, opened))

        async with Lab(1, clock=clock, directory=tmp_path / "lab", **lab) as rack:
            bmc = RedfishBmc(
                NodeName("r1n01"),
                rack.urls["r1n01"],
                lambda: Credentials("admin", "password"),
                clock=Hurried(clock),
                trust=CaTrust(rack.ca),
                on_session=on_session,
                prefer=prefer,
            )
            try:
                return await program(Bench(rack, bmc, clock, tmp_path, told))
            finally:
                await bmc.close()

    return asyncio.run(run())


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[str]:
    """Serve one file over HTTP on loopback."""

    async def give(_: web.Request) -> web.FileResponse:
        return web.FileResponse(path)

    application = web.Application()
    application.add_routes([web.get("/{name}", give)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{path.name}"
    finally:
        await runner.cleanup()


async def _settled(bench: Bench, task: str) -> TaskSeen:
    """Let the lab's own coroutines finish the transfer, then the time of the flash pass."""
    for _ in range(200):
        await asyncio.sleep(0.01)
        if bench.truth()["writes"] and bench.truth()["writes"][-1]["flash_started_at"] is not None:
            break
        if (await _task(bench, task)).phase is not TaskPhase.RUNNING:
            break
    bench.clock.advance(61)
    return await _task(bench, task)


async def _task(bench: Bench, uri: str) -> TaskSeen:
    seen = (await bench.bmc.observe(Look(system=False, task=uri))).task
    assert isinstance(seen, TaskSeen)
    return seen


def test_first_look(tmp_path):
    """A first look tells power, POST, health, boot markers, identity and versions, and nothing that was not asked."""

    async def program(bench: Bench) -> None:
        seen = await bench.bmc.observe(Look(bmc=True, components=frozenset({BIOS, ComponentName("PSU")})))

        assert Power.ON is seen.power
        assert Post.COMPLETE is seen.post
        assert Health.OK is seen.health
        assert Identity("Rackwave", "Plain 1", bench.truth()["serial"]) == seen.identity
        assert "1.0.0" == seen.component(BIOS).installed
        assert isinstance(seen.component(ComponentName("PSU")).installed, Unknown)
        assert isinstance(seen.boot, str)
        assert isinstance(seen.bmc_boot, str)
        assert (NOT_ASKED, NOT_ASKED, NOT_ASKED) == (seen.settings, seen.task, seen.tasks)

    on_bench(tmp_path, program)


@pytest.mark.parametrize("way", ["pull", "push"])
def test_update_to_the_new_version(tmp_path, way):
    """An image goes over by either way, its task is followed to the end, and the reset makes it what runs."""

    async def program(bench: Bench) -> None:
        image, completed = bench.image(), []

        async def completing(*, held: bool = False) -> None:
            completed.append(bench.truth()["flashes"])

        before = await bench.bmc.observe(Look(components=frozenset({BIOS})))
        async with served(image.path) as url:
            receipt = await bench.bmc.write(evolve(image, url=url), completing=completing)
            assert isinstance(receipt, Accepted)
            assert receipt.task is not None
            assert {"pull": "SimpleUpdate", "push": "MultipartHttpPush"}[way] == receipt.way
            task = await _settled(bench, receipt.task)

        assert TaskPhase.DONE is task.phase
        assert 100 == task.percent
        assert task.image is not None
        assert "attempt-a1-BIOS" in task.image
        assert {"pull": [], "push": [0]}[way] == completed
        doubt = await bench.bmc.observe(Look(components=frozenset({BIOS}), tasks=True))
        assert ("1.0.0", "2.0.0") == (doubt.component(BIOS).installed, doubt.component(BIOS).staged)
        assert (task,) == doubt.tasks
        assert isinstance(await bench.bmc.reset_host(ResetKind.FORCE_RESTART), Accepted)
        during = await bench.bmc.observe(Look(components=frozenset({BIOS})))
        assert Post.RUNNING is during.post
        bench.clock.advance(120)
        after = await bench.bmc.observe(Look(components=frozenset({BIOS}), tasks=True))
        assert Post.COMPLETE is after.post
        assert ("2.0.0", None) == (after.component(BIOS).installed, after.component(BIOS).staged)
        assert before.boot != after.boot
        assert 1 == bench.truth()["flashes"]
        assert 1 == bench.truth()["sessions_opened"]

    on_bench(tmp_path, program, prefer=way)


def test_transfer_that_fails(tmp_path):
    """An image that the BMC cannot fetch (P20) is a failed task that says that nothing came."""

    async def program(bench: Bench) -> None:
        image = evolve(bench.image(), url="http://127.0.0.1:9/attempt-a1.img")
        receipt = await bench.bmc.write(image, completing=_nothing)
        assert isinstance(receipt, Accepted)
        assert receipt.task is not None
        task = await _settled(bench, receipt.task)

        assert TaskPhase.FAILED is task.phase
        assert task.transfer_failed
        assert 0 == bench.truth()["flashes"]

    on_bench(tmp_path, program)


def test_flash_that_fails(tmp_path):
    """A flash that fails is a failed task, and not a failed transfer."""

    async def program(bench: Bench) -> None:
        bench.fault(fault="flash-fails")
        receipt = await bench.bmc.write(bench.image(), completing=_nothing)
        assert isinstance(receipt, Accepted)
        assert receipt.task is not None
        task = await _settled(bench, receipt.task)

        assert TaskPhase.FAILED is task.phase
        assert not task.transfer_failed
        assert "fail" in task.message

    on_bench(tmp_path, program)


@pytest.mark.parametrize("fault", ["answer-lost", "request-lost"])
def test_lost_answer_of_an_update(tmp_path, fault):
    """An update whose answer was lost is Ambiguous, was sent once, and can be found among the tasks (P12)."""

    async def program(bench: Bench) -> None:
        image = bench.image()
        await bench.bmc.observe(Look(components=frozenset({BIOS})))
        bench.fault(fault=fault, method="POST", path="SimpleUpdate")
        async with served(image.path) as url:
            receipt = await bench.bmc.write(evolve(image, url=url), completing=_nothing)
            assert isinstance(receipt, Ambiguous)
            await asyncio.sleep(0.05)
            seen = await bench.bmc.observe(Look(system=False, tasks=True))
        assert not isinstance(seen.tasks, Unknown)
        named = [task for task in seen.tasks if task.image is not None and "attempt-a1" in task.image]

        assert {"answer-lost": 1, "request-lost": 0}[fault] == len(named) == len(bench.truth()["writes"])

    on_bench(tmp_path, program)


def test_upload_that_breaks_off(tmp_path):
    """An upload whose connection broke says whether the BMC may hold the whole image; nothing is sent again."""

    async def program(bench: Bench) -> None:
        await bench.bmc.observe(Look(components=frozenset({BIOS})))

        async def unplug() -> None:
            await bench.bmc.park()

        image = bench.image(size=4 << 20)
        receipt = await bench.bmc.write(image, completing=unplug)
        assert isinstance(receipt, Ambiguous)
        await asyncio.sleep(0.05)

        assert [] == bench.truth()["writes"]

    on_bench(tmp_path, program, prefer="push")


def test_large_upload_in_flat_memory(tmp_path):
    """A push of 64 MiB arrives whole and grows our memory by a few pieces only."""

    async def program(bench: Bench) -> None:
        image = bench.image(size=64 << 20)
        await bench.bmc.observe(Look(components=frozenset({BIOS})))
        tracemalloc.start()
        receipt = await bench.bmc.write(image, completing=_nothing)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(receipt, Accepted)

        assert "2.0.0" == bench.truth()["writes"][0]["version"]
        assert peak < 16 << 20  # both ends' pieces and buffers

    on_bench(tmp_path, program, prefer="push")


def test_busy_component(tmp_path):
    """A second write while one runs is refused, not ambiguous, with a time to come back at."""

    async def program(bench: Bench) -> None:
        first = await bench.bmc.write(bench.image(), completing=_nothing)
        second = await bench.bmc.write(bench.image(version="2.1.0"), completing=_nothing)

        assert isinstance(first, Accepted)
        assert isinstance(second, Refused)
        assert second.retry_after is not None
        assert 1 == bench.truth()["flashes"]

    on_bench(tmp_path, program, prefer="push")


def test_settings(tmp_path):
    """Attributes are read, staged with the ETag just read, seen as staged, and in force after the reset."""

    async def program(bench: Bench) -> None:
        look = Look(system=False, settings=True)
        before = await bench.bmc.observe(look)
        assert not isinstance(before.settings, Unknown)
        registry = bench.lab["r1n01"].machine.bios_registry
        name = next(n for n, entry in registry.items() if len(entry.values) > 1 and not entry.read_only)
        value = next(v for v in registry[name].values if v != before.settings[name])
        receipt = await bench.bmc.configure({name: value})
        assert Accepted(None, "Settings") == receipt
        staged = await bench.bmc.observe(look)
        assert ({}, {name: value}) == (before.staged_settings, staged.staged_settings)
        assert isinstance(await bench.bmc.reset_host(ResetKind.FORCE_RESTART), Accepted)
        bench.clock.advance(120)
        after = await bench.bmc.observe(look)

        assert not isinstance(after.settings, Unknown)
        assert value == after.settings[name]
        assert {} == after.staged_settings

    on_bench(tmp_path, program)


def test_settings_that_the_registry_forbids(tmp_path):
    """What the attribute registry forbids is refused with the reason and never sent."""

    async def program(bench: Bench) -> None:
        registry = bench.lab["r1n01"].machine.bios_registry
        name = next(n for n, entry in registry.items() if entry.values)
        receipt = await bench.bmc.configure({name: "Nonsense", "NoSuch": 1})
        before = bench.truth()["requests"]
        again = await bench.bmc.configure({name: "Nonsense"})

        assert isinstance(receipt, Refused)
        assert f"{name} cannot be 'Nonsense', only" in receipt.reason
        assert "NoSuch is not an attribute" in receipt.reason
        assert isinstance(again, Refused)
        assert 1 == bench.truth()["requests"] - before  # Bios; the registry is kept

    on_bench(tmp_path, program)


def test_power(tmp_path):
    """Power goes off and on; asking for what already is, is accepted (P35)."""

    async def program(bench: Bench) -> None:
        assert isinstance(await bench.bmc.reset_host(ResetKind.FORCE_OFF), Accepted)
        bench.clock.advance(30)
        off = await bench.bmc.observe(Look())
        assert (Power.OFF, Post.NOT_RUNNING) == (off.power, off.post)
        assert isinstance(await bench.bmc.reset_host(ResetKind.FORCE_OFF), Accepted)
        assert isinstance(await bench.bmc.reset_host(ResetKind.ON), Accepted)
        bench.clock.advance(120)
        on = await bench.bmc.observe(Look())

        assert (Power.ON, Post.COMPLETE) == (on.power, on.post)

    on_bench(tmp_path, program)


def test_bmc_reset(tmp_path):
    """A BMC that restarts is Unknown while it is away, and has another boot marker and no session of ours after."""

    async def program(bench: Bench) -> None:
        look = Look(bmc=True)
        before = await bench.bmc.observe(look)
        receipt = await bench.bmc.reset_bmc()
        assert isinstance(receipt, Accepted | Ambiguous)
        bench.clock.advance(5)
        away = await bench.bmc.observe(look)
        assert isinstance(away.power, Unknown)
        bench.clock.advance(120)
        after = await bench.bmc.observe(look)

        assert isinstance(after.bmc_boot, str)
        assert before.bmc_boot != after.bmc_boot
        assert before.boot == after.boot

    on_bench(tmp_path, program)


def test_task_vanishes_with_the_bmc(tmp_path):
    """A task that is gone after a reboot of the BMC has vanished, which is neither success nor failure (P01, P03)."""

    async def program(bench: Bench) -> None:
        bench.fault(fault="task-vanishes")
        receipt = await bench.bmc.write(bench.image(), completing=_nothing)
        assert isinstance(receipt, Accepted)
        assert receipt.task is not None
        bench.clock.advance(60)
        assert isinstance((await bench.bmc.observe(Look(system=False, task=receipt.task))).task, Unknown)
        bench.clock.advance(200)

        assert TaskPhase.VANISHED is (await _task(bench, receipt.task)).phase

    on_bench(tmp_path, program, prefer="push")


def test_sessions_are_journalled_and_closed(tmp_path):
    """Every session that was opened is told and closed; one that a killed run left is closed by its URI."""

    async def program(bench: Bench) -> Bench:
        await bench.bmc.observe(Look())
        await bench.bmc.park()
        await bench.bmc.observe(Look())
        killed = RedfishBmc(
            NodeName("r1n01"),
            bench.lab.urls["r1n01"],
            lambda: Credentials("admin", "password"),
            clock=bench.clock,
            trust=CaTrust(bench.lab.ca),
        )
        leftover = (await killed.session.token()).uri
        await killed.park()
        assert 2 == bench.truth()["sessions_open"]
        assert await bench.bmc.close_leftover(leftover)
        assert 1 == bench.truth()["sessions_open"]
        await bench.bmc.close()
        assert 0 == bench.truth()["sessions_open"]
        return bench

    bench = on_bench(tmp_path, program)

    assert [True, False, False] == [opened for _, opened in sorted(bench.told, key=lambda t: not t[1])]


def test_paged_inventory(tmp_path):
    """A component on a later page of the inventory is found (P47)."""

    async def program(bench: Bench) -> None:
        nic = ComponentName("NIC")
        seen = await bench.bmc.observe(Look(system=False, components=frozenset({nic})))

        assert "1.0.0" == seen.component(nic).installed

    plain = load_personality("plain")
    on_bench(tmp_path, program, personality=evolve(plain, rules=evolve(plain.rules, page_size=1)))


@pytest.mark.parametrize("personality", ["plain", "openbmc"])
def test_personalities(tmp_path, personality):
    """Every make of the lab can be looked at; what it does not tell is Unknown with a reason."""

    async def program(bench: Bench) -> None:
        name = bench.lab["r1n01"].machine.components[0].name
        seen = await bench.bmc.observe(Look(components=frozenset({name}), settings=True, tasks=True, bmc=True))

        assert Power.ON is seen.power
        assert isinstance(seen.component(name).installed, str)
        assert () == seen.tasks

    on_bench(tmp_path, program, personality=personality)


def test_a_kept_connection_keeps_no_quarter_of_a_mebibyte(tmp_path):
    """The buffer of a BMC's TLS connection holds one record, not the 256 KiB that asyncio gives it."""

    async def program(bench: Bench) -> list[int]:
        await bench.bmc.observe(Look())
        gc.collect()
        return [len(each._ssl_buffer) for each in gc.get_objects() if isinstance(each, SSLProtocol)]

    sizes = on_bench(tmp_path, program)

    assert sizes
    assert max(sizes) <= 16 * 1024
