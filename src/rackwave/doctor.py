"""What a rollout will need of each node, tried one by one before anything depends on it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from .automation import Automation
from .bmc.redfish.inspection import Inspection
from .check import Check, Outcome
from .core.identity import AttemptId, Digest, NodeName
from .core.observation import Look, Unknown
from .core.receipt import Accepted, Refused
from .errors import BmcLoginError, NodeError, RackwaveError, SecretError, StateError
from .inventory import ManagedNode
from .planning import each
from .records import IMAGES
from .surroundings import examine_surroundings

CLOCK_TOLERANCE = 300.0
"""Seconds a BMC's clock may be off: beyond that certificates, task times and logs mislead (P33)."""

MANY_SESSIONS = 4
"""Open sessions from which one more may be refused: the smallest caps in the field are 4 to 6 (P26)."""

_PROBE = b"\0" * 32768 + b"\x01CD001\x01" + b"\0" * 2041 + b"\0" * 2048
"""The start of an ISO 9660 image without content: enough for a BMC that looks at what it mounts."""


async def examine(automation: Automation, nodes: str | None, *, reach: bool) -> tuple[Check, ...]:
    """Examine the nodes that the expression *nodes* names, and what the rack needs beside them.

    With *reach* each BMC is to fetch a probe image.
    """
    chosen = automation.fleet.select(nodes)
    probe = automation.state / IMAGES / "probe.iso"
    if reach:
        try:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(_PROBE)
        except OSError as error:
            raise StateError(
                f"The probe image {probe} cannot be written: {error.strerror}.",
                advice="Free some space, or leave this test out with --no-reach.",
            ) from error

    async def one(node: NodeName) -> list[Check]:
        checks = [check async for check in _examine_node(automation, node, probe if reach else None)]
        await automation.fleet.release(node)
        return checks

    found = await each(one, [node.name for node in chosen])
    return (*await examine_surroundings(automation.inventory), *(check for checks in found for check in checks))


async def _examine_node(automation: Automation, node: NodeName, probe: Path | None) -> AsyncIterator[Check]:
    try:
        automation.fleet.credentials(node)
    except SecretError as error:
        yield Check(node, "credentials", Outcome.BAD, error.whole)
        return
    yield Check(node, "credentials", Outcome.GOOD, automation.fleet.managed(node).credentials)
    managed = automation.fleet.managed(node)
    if managed.ipmi is not None:
        yield await _second_way(automation, node, managed)
    if not managed.has_redfish:
        yield Check(
            node, "redfish", Outcome.WARNING, "there is none; firmware goes over HPM.1, BIOS settings not at all"
        )
        return
    # Each way by itself: together they would hide that one of them is dead until the day it is needed.
    bmc = await automation.fleet.redfish(node)
    try:
        seen = await bmc.observe(Look())
    except BmcLoginError as error:
        yield Check(node, "login", Outcome.BAD, error.whole)
        return
    except NodeError as error:
        yield Check(node, "connection", Outcome.BAD, error.whole)
        return
    if isinstance(seen.power, Unknown) and isinstance(seen.health, Unknown):
        yield Check(node, "connection", Outcome.BAD, seen.power.reason)
        return
    yield Check(node, "login", Outcome.GOOD, "logged in")
    yield Check(node, "host", Outcome.GOOD, f"power {seen.power}, POST {seen.post}, health {seen.health}")
    yield await _clock(bmc.inspection, node)
    yield await _sessions(bmc.inspection, node)
    if probe is not None:
        yield await _reach(automation, bmc.inspection, node, probe)


async def _second_way(automation: Automation, node: NodeName, managed: ManagedNode) -> Check:
    """Log in over IPMI and read the power; dead, it is a warning where Redfish is the first way."""
    bad = Outcome.WARNING if managed.has_redfish else Outcome.BAD
    try:
        bmc = await automation.fleet.ipmi(node)
        if bmc is None:
            return Check(node, "ipmi", Outcome.UNKNOWN, "there is none")
        seen = await bmc.observe(Look())
    except (NodeError, SecretError) as error:
        return Check(node, "ipmi", bad, error.whole)
    if isinstance(seen.power, Unknown):
        return Check(node, "ipmi", bad, seen.power.reason)
    return Check(node, "ipmi", Outcome.GOOD, f"logged in at {managed.ipmi}; power {seen.power}")


async def _clock(inspection: Inspection, node: NodeName) -> Check:
    try:
        ahead = await inspection.clock_ahead()
    except NodeError as error:
        return Check(node, "clock", Outcome.UNKNOWN, str(error))
    is_off = abs(ahead) > CLOCK_TOLERANCE
    return Check(node, "clock", Outcome.WARNING if is_off else Outcome.GOOD, f"{ahead:+.0f} s against ours")


async def _sessions(inspection: Inspection, node: NodeName) -> Check:
    try:
        open_now = await inspection.open_sessions()
    except NodeError as error:
        return Check(node, "sessions", Outcome.UNKNOWN, str(error))
    outcome = Outcome.WARNING if open_now >= MANY_SESSIONS else Outcome.GOOD
    return Check(node, "sessions", outcome, f"{open_now} open, ours included")


async def _reach(automation: Automation, inspection: Inspection, node: NodeName, probe: Path) -> Check:
    """Have the BMC fetch the probe as virtual media; the image server's log says whether it came."""
    attempt = AttemptId(f"doctor{secrets.token_hex(4)}")
    digest = Digest("sha256:" + hashlib.sha256(_PROBE).hexdigest())
    try:
        url = await automation.images.grant(node=node, attempt=attempt, digest=digest, path=probe, file_name=probe.name)
        receipt = await inspection.can_fetch(url)
        fetch = await automation.images.fetched(node=node, attempt=attempt, digest=digest)
        await automation.images.revoke(node=node, attempt=attempt, digest=digest)
    except RackwaveError as error:
        return Check(node, "image server", Outcome.UNKNOWN, str(error))
    where = automation.images.base_url(node)
    if fetch.requests:
        return Check(node, "image server", Outcome.GOOD, f"the BMC fetched from {where}")
    if isinstance(receipt, Accepted):
        return Check(node, "image server", Outcome.BAD, f"the BMC took the probe but never asked {where} for it")
    outcome = Outcome.UNKNOWN if isinstance(receipt, Refused) else Outcome.BAD
    return Check(node, "image server", outcome, f"{receipt.reason}; it did not ask {where}")
