"""A BMC's IPMI port as the lab starts and ends it; what answers behind it is made when it is first spoken to."""

from __future__ import annotations

import random
from typing import Any

from rackwave.errors import UsageError
from rackwave.ports import Clock

from ..access import Account
from ..clock import ScaledClock
from .bmc import IpmiBmc
from .node import Node
from .server import IpmiServer, bind
from .sessions import TIMEOUT, Credentials

# A session's timeout is in the lab's time, which may run so fast that no real client could keep one open.
_REAL_TIMEOUT = 20.0


class IpmiFace:
    """The IPMI port of *node*. Its sessions and session keys are chance's, seeded by the node's UUID."""

    def __init__(self, node: Node, account: Account, clock: Clock, *, latency: float = 0.0) -> None:
        self._node = node
        self._account = account
        self._clock = clock
        self._latency = latency
        self._server: IpmiServer | None = None
        self._bmc: IpmiBmc | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens, ``host:port``."""
        return "" if self._server is None else f"{self._server.address}:{self._server.port}"

    @property
    def bmc(self) -> IpmiBmc:
        """What answers."""
        if self._bmc is None:
            scale = self._clock.scale if isinstance(self._clock, ScaledClock) else 1.0
            self._bmc = IpmiBmc(
                self._node,
                self._credentials,
                self._clock,
                random.Random(self._node.uuid),  # noqa: S311 - reproducible on purpose, guards nothing
                session_timeout=max(TIMEOUT, _REAL_TIMEOUT * scale),
            )
        return self._bmc

    def _credentials(self) -> Credentials:
        with self._node.exclusive() as machine:
            account = machine.access.factory or self._account  # P40: a factory reset leaves another one
        return Credentials(account.username.encode(), account.password.encode())

    def start(self, address: str, port: int) -> None:
        """Listen; *port* 0 lets the kernel choose.

        Raises:
            UsageError: the port cannot be had.
        """
        try:
            sock = bind(address, port)
        except OSError as error:
            raise UsageError(
                f"{address} port {port} (UDP) cannot be had: {error.strerror}",
                advice="Ports below 1024 need rights; leave --ipmi-port out to take any free one.",
            ) from error
        self._server = IpmiServer(self._node, lambda: self.bmc, sock, latency=self._latency)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def truth(self) -> dict[str, Any]:
        """Tell what came over the wire."""
        with self._node.exclusive():
            if self._bmc is None:
                return {"sessions_open": 0, "sessions_opened": 0, "datagrams": 0, "requests": 0, "dropped": 0}
            return self._bmc.truth()

    def clear_counters(self) -> None:
        """Start counting again from zero."""
        if self._bmc is not None:
            self._bmc.counters.clear()
