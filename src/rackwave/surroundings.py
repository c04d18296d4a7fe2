"""What rollouts will need beside their nodes: the operator's own programs, and the hosts that are told what happens.

A program is looked for and not run: what it would do is its own affair. To a webhook a connection is made and nothing
is sent.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from .check import Check, Outcome
from .errors import RackwaveError
from .inventory import Inventory, Webhook
from .secrets import Passphrases


async def examine_surroundings(inventory: Inventory) -> tuple[Check, ...]:
    """Check each program and webhook that *inventory* names."""
    programs = [_program(name, program) for name, program in _programs(inventory)]
    hooks = await asyncio.gather(*(_webhook(hook) for hook in inventory.webhooks))
    return (*programs, *hooks)


def _programs(inventory: Inventory) -> Iterator[tuple[str, str]]:
    if inventory.gate is not None:
        yield "gate", inventory.gate.command[0]
    for name, hook in (("outlet", inventory.outlet), ("in_band", inventory.in_band)):
        if hook is not None:
            yield name, hook.words[0]
    if inventory.drain.program:
        yield "drain", inventory.drain.program


def _program(name: str, program: str) -> Check:
    found = shutil.which(program)
    if found is None:
        return Check(None, name, Outcome.BAD, f"{program} is no program that can be run here")
    return Check(None, name, Outcome.GOOD, f"{found} can be run")


async def _webhook(hook: Webhook) -> Check:
    """Resolve its secret, and connect; the URL itself may grant access, and is shown nowhere."""
    name = f"webhook {hook.name}"
    try:
        if hook.secret:
            await asyncio.to_thread(Passphrases(hook.secret), name)
        tls = ssl.create_default_context(cafile=hook.ca) if urlsplit(hook.url).scheme == "https" else None
    except RackwaveError as error:
        return Check(None, name, Outcome.BAD, f"its secret cannot be had: {error.whole}")
    except OSError as error:
        return Check(None, name, Outcome.BAD, f"its 'ca' cannot be used: {error.strerror}")
    where = urlsplit(hook.url)
    port = where.port or (80 if tls is None else 443)
    try:
        async with asyncio.timeout(hook.timeout):
            _, writer = await asyncio.open_connection(where.hostname, port, ssl=tls)
    except (OSError, TimeoutError, ValueError) as error:
        return Check(None, name, Outcome.BAD, f"{where.hostname} does not take a connection: {type(error).__name__}")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return Check(None, name, Outcome.GOOD, f"{where.hostname} takes connections")
