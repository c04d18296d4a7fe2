"""IPMI sessions and power, against the emulated BMC of the lab."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from attrs import field, frozen

from rackwave.bmc.ipmi import session as ipmi_session
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.core.boot import BootMode, BootOverride, Lasting
from rackwave.core.observation import Look, Post, Power, Unknown
from rackwave.core.power import PowerAct
from rackwave.core.receipt import Accepted, Ambiguous, Ground, Refused
from rackwave.errors import BmcLoginError, UsageError
from rackwave.ports import Credentials, ResetKind
from rackwave_emulators.faults import CycleUnsupported

BACKENDS = [
    pytest.param(
        "native", marks=pytest.mark.skipif(importlib.util.find_spec("pyipmi") is None, reason="no python-ipmi")
    ),
    pytest.param("ipmitool", marks=pytest.mark.skipif(shutil.which("ipmitool") is None, reason="no ipmitool here")),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suites", [(17, 3), (17,), (3,)])
def test_power_is_read_and_switched(on_ipmi: Any, backend: str, suites: tuple[int, ...]) -> None:
    """Each backend reads the power and switches it, with suite 17 and with suite 3."""

    async def scenario(bench: Any) -> None:
        before = (await bench.bmc.observe(Look())).power
        off = await bench.bmc.reset_host(ResetKind.FORCE_OFF)
        bench.clock.advance(30)
        after = (await bench.bmc.observe(Look())).power

        assert (Power.ON, Power.OFF) == (before, after)
        assert Accepted(way="Chassis Control power down") == off
        assert "Off" == bench.truth()["power"]

    on_ipmi(scenario, backend=backend, cipher_suites=suites)


@pytest.mark.parametrize("suites", [(0,), (3, 0), (1,), ()])
def test_weak_suites_are_refused(on_ipmi: Any, suites: tuple[int, ...]) -> None:
    """A suite that does not authenticate, sign and encrypt is not used, suite 0 least of all."""

    async def scenario(bench: Any) -> None:
        with pytest.raises(UsageError, match="cannot be used"):
            bench.make(cipher_suites=suites)

    on_ipmi(scenario)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_password_is_sent_once(on_ipmi: Any, backend: str) -> None:
    """P34: a refused login is not tried again with the same credentials."""

    async def scenario(bench: Any) -> None:
        bmc = bench.make("not the password")
        with pytest.raises(BmcLoginError):
            await bmc.observe(Look())
        once = bench.truth()["ipmi"]["datagrams"]
        with pytest.raises(BmcLoginError):
            await bmc.reset_host(ResetKind.ON)
        await bmc.close()

        assert once == bench.truth()["ipmi"]["datagrams"]

    on_ipmi(scenario, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_password_that_is_too_long_is_not_sent(on_ipmi: Any, backend: str) -> None:
    """IPMI takes 20 bytes; a longer password is refused before anything is sent, and is in no message."""
    secret = "the-secret-of-21-byte"

    async def scenario(bench: Any) -> None:
        with pytest.raises(BmcLoginError) as caught:
            await bench.make(secret).observe(Look())

        assert secret not in repr(caught.value)
        assert secret not in str(caught.value)

    on_ipmi(scenario, backend=backend)


@frozen
class Notes:
    """A memory of logins that a test can read."""

    told: list[Credentials] = field(factory=list)

    async def why_not(self, credentials: Credentials) -> str | None:
        return "it was refused before" if credentials in self.told else None

    async def refused(self, credentials: Credentials, reason: str) -> str:
        self.told.append(credentials)
        return f"do something about it ({reason})"


def test_a_refused_login_outlives_its_process(on_ipmi: Any) -> None:
    """P34: what the memory knows is not sent by a later process, and what it advises is told."""
    notes = Notes()

    async def scenario(bench: Any) -> None:
        with pytest.raises(BmcLoginError) as first:
            await bench.make("wrong", memory=notes).observe(Look())
        once = bench.truth()["ipmi"]["datagrams"]
        with pytest.raises(BmcLoginError, match="it was refused before"):
            await bench.make("wrong", memory=notes).observe(Look())

        assert once == bench.truth()["ipmi"]["datagrams"]
        assert first.value.advice.startswith("do something about it (the login at ")
        assert [Credentials("admin", "wrong")] == notes.told

    on_ipmi(scenario)


def test_what_does_not_fit_is_no_refusal(on_ipmi: Any) -> None:
    """A password that IPMI cannot carry was never sent: nothing is remembered against it."""
    notes = Notes()

    async def scenario(bench: Any) -> None:
        with pytest.raises(BmcLoginError, match="up to 20 bytes"):
            await bench.make("x" * 21, memory=notes).observe(Look())
        with pytest.raises(BmcLoginError, match="up to 20 bytes"):
            await bench.make("x" * 21, memory=notes).reset_host(ResetKind.ON)

        assert [] == notes.told
        assert 0 == bench.truth()["ipmi"]["datagrams"]

    on_ipmi(scenario)


def test_a_changed_password_is_tried(on_ipmi: Any) -> None:
    """Credentials are resolved at each login: once the secret is right, the node is back."""
    told = ["wrong", "password"]

    async def scenario(bench: Any) -> None:
        bmc = bench.make()
        right = bmc.session._credentials
        bmc.session._credentials = lambda: bench.make(told[0]).session._credentials()
        with pytest.raises(BmcLoginError):
            await bmc.observe(Look())
        bmc.session._credentials = right

        assert Power.ON is (await bmc.observe(Look())).power

        await bmc.close()

    on_ipmi(scenario)


def test_a_silent_bmc_is_unknown_and_costs_no_thread(on_ipmi: Any) -> None:
    """A BMC that does not answer is Unknown; an act is refused as never sent; no thread waits for it."""

    async def scenario(bench: Any) -> None:
        bench.fault(fault="ipmi-silent")
        calls: list[object] = []
        run = bench.bmc.session._threads.run
        bench.bmc.session._threads.run = lambda call: calls.append(call) or run(call)
        seen = await bench.bmc.observe(Look())
        receipt = await bench.bmc.reset_host(ResetKind.FORCE_OFF)

        assert isinstance(seen.power, Unknown)
        assert "nothing answers IPMI" in seen.power.reason
        assert isinstance(receipt, Refused)
        assert (Ground.AWAY, 10.0) == (receipt.ground, receipt.retry_after)
        assert [] == calls

    on_ipmi(scenario)


def test_a_refused_port_is_known_at_once(on_ipmi: Any) -> None:
    """Where nobody listens, the kernel says so and nothing is waited for."""

    async def scenario(bench: Any) -> None:
        began = time.monotonic()
        seen = await bench.make(endpoint=Endpoint("127.0.0.1", 9)).observe(Look())

        assert isinstance(seen.power, Unknown)
        assert time.monotonic() - began < 0.5

    on_ipmi(scenario)


def test_a_host_name_is_looked_up(on_ipmi: Any) -> None:
    """A BMC may be named; a name that is not known is Unknown."""

    async def scenario(bench: Any) -> None:
        seen = await bench.make(endpoint=Endpoint("bmc.invalid", 623)).observe(Look())

        assert isinstance(seen.power, Unknown)
        assert "bmc.invalid" in seen.power.reason

    on_ipmi(scenario)


@pytest.mark.parametrize("side", ["request", "answer"])
def test_a_lost_packet_is_sent_again(on_ipmi: Any, side: str) -> None:
    """A read whose packet is lost is asked again, in the same session."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        bench.fault(fault="ipmi-packet-lost", side=side)

        assert Power.ON is (await bench.bmc.observe(Look())).power
        assert 1 == bench.truth()["ipmi"]["sessions_opened"]

    on_ipmi(scenario)


@pytest.mark.parametrize("nth", range(6))
def test_any_packet_of_a_login_may_be_lost(on_ipmi: Any, nth: int) -> None:
    """Whichever answer of the login is lost, it comes to one session, and that is closed."""

    async def scenario(bench: Any) -> None:
        assert Power.ON is (await bench.bmc.observe(Look())).power  # its presence is known
        await bench.bmc.close()
        bench.fault(fault="ipmi-packet-lost", side="answer", chance=0.4, seed=nth, count=2)

        assert Power.ON is (await bench.bmc.observe(Look())).power

    on_ipmi(scenario)


def test_an_act_is_sent_once(on_ipmi: Any) -> None:
    """P12: the answer to a power cycle is lost; it is not sent again, and its receipt says that nobody knows."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        # The first answer is that of the look that precedes every act.
        run, count = bench.bmc.session._send, [0]

        async def send(command: Any, data: bytes, patience: Any) -> bytes:
            count[0] += 1
            if count[0] == 2:
                bench.fault(fault="ipmi-packet-lost", side="answer")
            return await run(command, data, patience)

        bench.bmc.session._send = send
        receipt = await bench.bmc.reset_host(ResetKind.FORCE_RESTART)

        assert isinstance(receipt, Ambiguous)
        assert 1 == bench.truth()["resets"]["host"]
        assert Power.ON is (await bench.bmc.observe(Look())).power

    on_ipmi(scenario)


def test_a_dropped_session_is_opened_anew(on_ipmi: Any) -> None:
    """P31: the BMC forgets the session; the next look has another one, and an act is sent in that."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        bench.fault(fault="ipmi-sessions-dropped")
        receipt = await bench.bmc.reset_host(ResetKind.FORCE_RESTART)

        assert Accepted(way="Chassis Control hard reset") == receipt
        assert (1, 2) == (bench.truth()["resets"]["host"], bench.truth()["ipmi"]["sessions_opened"])

    on_ipmi(scenario)


@pytest.mark.parametrize("idle", [ipmi_session.IDLE + 1, ipmi_session.ENDED + 1])
def test_an_unused_session_is_not_trusted(on_ipmi: Any, idle: float) -> None:
    """A session that nobody used for a while is opened anew; neither it, nor a dead one's answer, is waited for."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        bench.clock.advance(idle)
        began = time.monotonic()
        await bench.bmc.observe(Look())

        assert time.monotonic() - began < 0.5
        assert (1, 2) == (bench.truth()["ipmi"]["sessions_open"], bench.truth()["ipmi"]["sessions_opened"])

    on_ipmi(scenario)


def test_park_ends_the_session(on_ipmi: Any) -> None:
    """A parked BMC has no session of ours."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        await bench.bmc.park()

        assert 0 == bench.truth()["ipmi"]["sessions_open"]
        assert Power.ON is (await bench.bmc.observe(Look())).power

    on_ipmi(scenario)


def test_a_cancelled_look_leaves_no_session_half_used(on_ipmi: Any) -> None:
    """Cancelled at any moment, the adapter can be closed, and the BMC has no session left."""

    async def scenario(bench: Any) -> None:
        for steps in range(1, 12):
            bmc = bench.make()
            look = asyncio.ensure_future(bmc.observe(Look()))
            for _ in range(steps):
                await asyncio.sleep(0.0004)
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)
            await bmc.close()

            assert 0 == bench.truth()["ipmi"]["sessions_open"]

    on_ipmi(scenario)


def test_no_session_left_is_said(on_ipmi: Any) -> None:
    """P26: a BMC whose sessions are all in use is Unknown, and an act may be tried again later."""

    async def scenario(bench: Any) -> None:
        others = [bench.make() for _ in range(15)]
        for other in others:
            await other.observe(Look())
        seen = await bench.bmc.observe(Look())
        receipt = await bench.bmc.reset_host(ResetKind.FORCE_OFF)
        for other in others:
            await other.close()

        assert isinstance(seen.power, Unknown)
        assert "no session left" in seen.power.reason
        assert isinstance(receipt, Refused)
        assert (Ground.AWAY, 30.0) == (receipt.ground, receipt.retry_after)

    on_ipmi(scenario)


def test_the_password_is_in_no_log(on_ipmi: Any, caplog: pytest.LogCaptureFixture) -> None:
    """F: even at debug level nobody logs the password, as python-ipmi does by itself when it closes a session."""
    caplog.set_level(logging.DEBUG)

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())
        await bench.bmc.close()

        assert "password" not in caplog.text

    on_ipmi(scenario)


@pytest.mark.parametrize("missing", ["pyipmi", "pyipmi.interfaces.rmcpplus"])
def test_ipmitool_stands_in(on_ipmi: Any, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Where python-ipmi is missing or too old, ipmitool is used; where that is missing too, it is said."""
    monkeypatch.delitem(sys.modules, "rackwave.bmc.ipmi.native", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)

    async def scenario(bench: Any) -> None:
        expected = Power.ON if shutil.which("ipmitool") else None
        monkeypatch.setattr(shutil, "which", lambda _: None)
        seen = await bench.make().observe(Look())
        monkeypatch.undo()
        monkeypatch.setitem(sys.modules, missing, None)
        found = await bench.bmc.observe(Look())

        assert isinstance(seen.power, Unknown)
        assert "nothing is installed here that speaks IPMI" in seen.power.reason
        assert expected in (None, found.power)

    on_ipmi(scenario)


def test_an_already_reached_state_is_as_good_as_yes(on_ipmi: Any) -> None:
    """P35: off for a host that is off is accepted; a restart of a host that is off is refused with its reason."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.reset_host(ResetKind.FORCE_OFF)
        bench.clock.advance(30)
        again = await bench.bmc.reset_host(ResetKind.FORCE_OFF)
        restart = await bench.bmc.reset_host(ResetKind.FORCE_RESTART)

        assert isinstance(again, Accepted)
        assert isinstance(restart, Refused)
        assert "D5h" in restart.reason

    on_ipmi(scenario)


def test_the_light_and_the_boot_device(on_ipmi: Any) -> None:
    """The identify light goes on and off; the boot device is set for one boot, for good, and taken back."""

    async def scenario(bench: Any) -> None:
        bmc = bench.bmc
        assert Accepted(way="Chassis Identify") == await bmc.set_indicator(on=True)
        assert True is await bmc.indicator()
        await bmc.set_indicator(on=False)
        assert False is await bmc.indicator()

        for override in (
            BootOverride("Pxe", Lasting.ONCE, BootMode.LEGACY),
            BootOverride("Cd", Lasting.ALWAYS, BootMode.UEFI),
        ):
            assert Accepted(way="Set System Boot Options") == await bmc.set_boot(override)
            assert override == (await bmc.boot_setting()).override
        await bmc.set_boot(BootOverride("None", Lasting.NEVER))
        assert Lasting.NEVER is (await bmc.boot_setting()).override.lasting
        assert Refused("IPMI has no boot device UefiHttp", ground=Ground.UNABLE) == await bmc.set_boot(
            BootOverride("UefiHttp")
        )

    on_ipmi(scenario)


def test_a_person_switches_power(on_ipmi: Any) -> None:
    """What IPMI has of power acts is sent as such; what it has not is refused as not to be had this way."""

    async def scenario(bench: Any) -> None:
        assert PowerAct.CYCLE in await bench.bmc.power_acts()
        assert Accepted(way="Chassis Control power cycle") == await bench.bmc.power(PowerAct.CYCLE)
        assert Refused("IPMI has no button", ground=Ground.UNABLE) == await bench.bmc.power(PowerAct.BUTTON)
        assert isinstance(await bench.bmc.power(PowerAct.NMI), Refused)  # the lab's chassis has none

    on_ipmi(scenario)


def test_a_bmc_reset_is_seen_to_happen(on_ipmi: Any) -> None:
    """A cold reset is accepted once the session that we had is gone with the BMC's memory."""

    async def scenario(bench: Any) -> None:
        await bench.bmc.observe(Look())

        assert Accepted(way="IPMI Cold Reset") == await bench.bmc.reset_bmc()
        assert 1 == bench.truth()["resets"]["bmc"]

        bench.clock.advance(300)
        assert Power.ON is (await bench.bmc.observe(Look())).power

    on_ipmi(scenario)


@pytest.mark.parametrize(("backend", "expected"), [("native", Refused), ("ipmitool", Ambiguous)])
def test_a_locked_down_bmc_is_found_out(on_ipmi: Any, backend: str, expected: Callable[..., Any]) -> None:
    """P38: the BMC says that it restarts, and does not: our session lives on, and so the reset counts as refused."""
    if backend == "ipmitool" and shutil.which("ipmitool") is None:
        pytest.skip("no ipmitool here")

    async def scenario(bench: Any) -> None:
        bench.fault(fault="lockdown")
        receipt = await bench.bmc.reset_bmc()

        assert expected is type(receipt)
        assert 0 == bench.truth()["resets"]["bmc"]

    on_ipmi(scenario, backend=backend)


def test_redfish_may_be_dead(on_ipmi: Any) -> None:
    """P39: with Redfish dead, power is read and switched over IPMI."""

    async def scenario(bench: Any) -> None:
        bench.fault(fault="redfish-dead")

        assert Power.ON is (await bench.bmc.observe(Look())).power
        assert isinstance(await bench.bmc.reset_host(ResetKind.FORCE_RESTART), Accepted)
        assert 1 == bench.truth()["resets"]["host"]

    on_ipmi(scenario)


def test_a_restart_that_the_chassis_lacks(on_ipmi: Any) -> None:
    """P42: a chassis without cycle and reset is said to have none, and what was known of the host stays known."""

    async def scenario(bench: Any) -> None:
        station = bench.lab["r1n01"]
        station.machine.reset_host("ForceRestart")
        bench.clock.advance(600)
        before = (await bench.bmc.observe(Look())).post
        station.arm(CycleUnsupported())
        receipt = await bench.bmc.reset_host(ResetKind.FORCE_RESTART)
        after = (await bench.bmc.observe(Look())).post

        assert isinstance(receipt, Refused)
        assert Ground.UNABLE is receipt.ground
        assert (Post.COMPLETE, Post.COMPLETE) == (before, after)

    on_ipmi(scenario)
