"""BMCs that are dead do not hold up those that live."""

from __future__ import annotations

import asyncio
import socket
import time

from scripted_link import ScriptedLink

from rackwave.bmc.ipmi.bmc import IpmiBmc
from rackwave.bmc.ipmi.endpoint import Endpoint
from rackwave.bmc.ipmi.threads import Threads
from rackwave.clock import SystemClock
from rackwave.core.identity import NodeName
from rackwave.core.observation import Lack, Look, Power, Unknown
from rackwave.ports import Credentials


def test_two_hundred_dead_and_one_alive() -> None:
    """With two threads for 200 BMCs that are silent, one that answers is looked at as if it were alone."""

    def answer(netfn: int, command: int, _: bytes) -> bytes:
        return b"\x00\x61\x00\x40\x00" if (netfn, command) == (0x00, 0x01) else b"\xc1"

    async def there(_: Endpoint) -> bool:
        return True

    async def main() -> tuple[float, object, list[object]]:
        clock, threads = SystemClock(), Threads(2)
        # A port that is open and never answers: nobody reads from it.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            endpoint = Endpoint(*silent.getsockname())

            def adapter(name: str, **options: object) -> IpmiBmc:
                account = Credentials("admin", "password")
                return IpmiBmc(NodeName(name), endpoint, lambda: account, clock=clock, threads=threads, **options)  # type: ignore[arg-type]

            dead = [asyncio.ensure_future(adapter(f"dead{n}").observe(Look())) for n in range(200)]
            await asyncio.sleep(0.1)
            alive = adapter("alive", link=ScriptedLink(answer), is_there=there)
            began = time.monotonic()
            seen = await alive.observe(Look())
            took = time.monotonic() - began
            lost = [each.power for each in await asyncio.gather(*dead)]
        threads.close()
        return took, seen.power, list(lost)

    took, power, lost = asyncio.run(main())

    assert Power.ON is power
    assert took < 1.0
    assert {Lack.AWAY} == {each.lack for each in lost if isinstance(each, Unknown)}
    assert 200 == len(lost)
