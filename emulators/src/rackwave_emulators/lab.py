"""A whole lab: stations, their addresses, TLS, control, and the files that tell others where it all is.

Two ways to run one, with any clock::

    async with Lab(16, clock=clock) as lab: ...
    with Lab(16) as lab: ...            # its own thread and event loop
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
from attrs import frozen

from rackwave.errors import UsageError
from rackwave.ports import Clock

from .access import Account
from .clock import ScaledClock
from .control import Control
from .fleet_app import app
from .host import HostReset
from .host_backend import HostMaker, no_guest
from .ipmi.face import IpmiFace
from .listener import listen
from .personality import Personality, Timing, load_personality
from .redfish.station import Station, make_station
from .redfish.update_service import UpdateService
from .server import BmcServer
from .tls import Authority, write_private
from .tree import Tree
from .wsgi import WsgiBridge

RACK_SIZE = 16
_RACKS_IN_A_NET = 250
_START_LIMIT = 60.0
_LIVE_LOOK = 0.05  # seconds between two looks at what runs by itself; it costs 0.02 ms


@frozen
class Place:
    """Where a node stands and what it is called: r3n07 is slot 7 of rack 3."""

    rack: int
    slot: int

    @classmethod
    def of(cls, index: int) -> Place:
        """Return the place of the node number *index*, counted from 0."""
        return cls(index // RACK_SIZE + 1, index % RACK_SIZE + 1)

    @property
    def name(self) -> str:
        """The node's name."""
        return f"r{self.rack}n{self.slot:02}"

    @property
    def address(self) -> str:
        """The loopback address of the node's BMC, its own."""
        net, rack = divmod(self.rack - 1, _RACKS_IN_A_NET)
        return f"127.{net + 1}.{rack}.{self.slot}"


class Lab:
    """Some emulated BMCs, from ``async with`` (or ``with``) to its end.

    *directory* receives inventory.toml, credentials.toml, nodes.json, lab.json and ca.pem; without one
    they live in a temporary directory that goes with the lab. *timing* and *versions* replace what the
    personality says. *latency* is in real seconds per request; *slow* says of how many nodes, the last, it
    is another, and which. *ipmi* false leaves out the BMCs' IPMI ports,
    *ipmi_port* is one for all of them (0: any free one each). *tree* is a recorded tree that every BMC
    says instead, read-only. *hosts* says for each node what its
    host really is (see ``host_backend``); None: nothing but time.
    """

    def __init__(
        self,
        nodes: int = 12,
        *,
        personality: str | Personality = "plain",
        clock: Clock | None = None,
        timing: Timing | None = None,
        versions: Mapping[str, str] | None = None,
        directory: Path | None = None,
        seed: int = 0,
        latency: float = 0.0,
        slow: tuple[int, float] = (0, 0.0),
        port: int = 0,
        plain_http: bool = False,
        session_cap: int | None = None,
        account: Account | None = None,
        hosts: HostMaker = no_guest,
        ipmi: bool = True,
        ipmi_port: int = 0,
        tree: Tree | None = None,
    ) -> None:
        if nodes < 1:
            raise UsageError("a lab needs at least one node")
        make = load_personality(personality) if isinstance(personality, str) else personality
        if tree is not None:
            vendor, model = tree.make
            make = attrs.evolve(make, vendor=vendor, model=model)
        self.clock: Clock = clock or ScaledClock()
        self.account = account or Account()
        self._temporary = directory is None
        self._plain_http = plain_http
        few, seconds = slow
        self._latencies = [latency] * max(nodes - few, 0) + [seconds] * min(few, nodes)
        self._port = port
        self._ipmi_port = ipmi_port if ipmi else None
        # Absolute, since the inventory that is written there names files by it and is read from anywhere.
        self.directory = (directory or Path(tempfile.gettempdir(), f"rackwave-lab-{secrets.token_hex(8)}")).absolute()
        chance = random.Random(seed)  # noqa: S311 - reproducible on purpose, guards nothing
        self.places_of_nodes = [Place.of(index) for index in range(nodes)]
        self.stations: tuple[Station, ...] = tuple(
            make_station(
                place.name,
                personality=make,
                clock=self.clock,
                timing=timing,
                versions=versions or {},
                account=self.account,
                session_cap=session_cap,
                chance=random.Random(chance.getrandbits(64)),  # noqa: S311 - as above
                directory=self.directory,
                hosts=hosts,
            )
            for place in self.places_of_nodes
        )
        for station in self.stations:
            station.recording = tree
        self.control = Control(self.stations, self.clock)
        self._by_name = {station.name: station for station in self.stations}
        self._servers: list[BmcServer] = []
        self._ipmi: list[IpmiFace] = []
        self._bridge: WsgiBridge | None = None
        self._updates: UpdateService | None = None
        self._thread: _LabThread | None = None
        self._looking: asyncio.Task[None] | None = None

    def __getitem__(self, name: str) -> Station:
        """Return the station called *name* (KeyError where there is none)."""
        return self._by_name[name]

    @property
    def urls(self) -> dict[str, str]:
        """Every BMC's URL by node name."""
        return {station.name: station.url for station in self.stations}

    @property
    def ca(self) -> Path | None:
        """The certificate to trust; None without TLS."""
        return None if self._plain_http else self.directory / "ca.pem"

    def truth(self) -> dict[str, Any]:
        """Return what really happened, as the control interface tells it."""
        return self.control.truth()

    async def transfers_done(self) -> None:
        """Wait until no BMC is fetching an image; they travel in real time, whatever the lab's clock says."""
        if self._updates is not None:
            await self._updates.settled()

    def places(self) -> dict[str, str]:
        """Return where to find what, for the eye and for lab.json."""
        found = {
            "directory": str(self.directory),
            "inventory": str(self.directory / "inventory.toml"),
            "nodes": str(self.directory / "nodes.json"),
            "control": self.control.url,
        }
        if self.ca is not None:
            found["ca"] = str(self.ca)
        return found

    # -- in this event loop ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _start(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=not self._temporary)
        authority = None if self._plain_http else Authority(self.directory)
        self._bridge = WsgiBridge(app.wsgi_app)
        self._updates = UpdateService(self.directory / "inbox")
        for place, station, latency in zip(self.places_of_nodes, self.stations, self._latencies, strict=True):
            sock = _bound(place.address, self._port)
            address, port = sock.getsockname()
            station.located(address, port, scheme="http" if authority is None else "https")
            self._servers.append(
                BmcServer(
                    station,
                    sock,
                    context=_context(authority, station),
                    bridge=self._bridge,
                    updates=self._updates,
                    latency=latency,
                )
            )
            if self._ipmi_port is not None:
                face = IpmiFace(station, self.account, self.clock, latency=latency)
                face.start(address, self._ipmi_port)
                station.ipmi = face
                self._ipmi.append(face)
        await self.control.start()
        self._write_files()
        if live := [station for station in self.stations if station.machine.backend.live]:
            for station in live:
                station.reset_host(HostReset.ON)
            self._looking = asyncio.create_task(_look_at(live))

    async def _stop(self) -> None:
        failures: list[object] = []
        await self.control.close()
        if self._looking is not None:
            self._looking.cancel()
            failures += await asyncio.gather(self._looking, return_exceptions=True)
        if self._updates is not None:
            await self._updates.close()
        for face in self._ipmi:
            face.close()
        self._ipmi.clear()
        await asyncio.gather(*(server.close() for server in self._servers))
        self._servers.clear()
        if self._bridge is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._bridge.close)
        for station in self.stations:
            station.machine.backend.close()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)
        for failure in failures:
            if isinstance(failure, Exception):  # having been cancelled is none
                raise failure

    # -- in a thread of its own -----------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread = _LabThread(self)
        self._thread.start_lab()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.stop_lab()
            self._thread = None

    # -- what others find ------------------------------------------------------------------------

    def _write_files(self) -> None:
        write_private(
            self.directory / "credentials.toml",
            f"username = {_toml(self.account.username)}\npassword = {_toml(self.account.password)}\n".encode(),
        )
        nodes = [station.whereabouts() for station in self.stations]
        (self.directory / "inventory.toml").write_text(self._inventory(), "utf-8")
        (self.directory / "nodes.json").write_text(json.dumps(nodes, indent=1), "utf-8")
        about = {**self.places(), "pid": os.getpid(), "nodes_up": len(nodes)}
        (self.directory / "lab.json").write_text(json.dumps(about, indent=1), "utf-8")

    def _inventory(self) -> str:
        credentials = f"file:{self.directory / 'credentials.toml'}"
        lines = ["[defaults]", f"credentials = {_toml(credentials)}"]
        if self.ca is not None:
            lines.append(f"ca = {_toml(str(self.ca))}")
        else:
            lines.append("insecure_http = true")
        for place, station in zip(self.places_of_nodes, self.stations, strict=True):
            lines += [
                "",
                "[[nodes]]",
                f"name = {_toml(station.name)}",
                f"bmc = {_toml(station.url)}",
                *([f"ipmi = {_toml(station.ipmi.endpoint)}"] if station.ipmi is not None else []),
                f"vendor = {_toml(station.vendor)}",
                f"model = {_toml(station.model)}",
                f'labels = {{ rack = "r{place.rack}", slot = "{place.slot:02}" }}',
            ]
        return "\n".join(lines) + "\n"


class _LabThread:
    """Runs one lab's event loop beside the program that uses it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._ready = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="rackwave-lab", daemon=True)

    def start_lab(self) -> None:
        self._thread.start()
        if not self._ready.wait(_START_LIMIT):
            raise TimeoutError("the lab did not start")
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop_lab(self) -> None:
        self._stop()
        self._thread.join(_START_LIMIT)
        if self._thread.is_alive():
            raise TimeoutError("the lab did not stop: something on its loop, or a thread of it, waits for ever")

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as failure:  # noqa: BLE001 - it is raised again in the thread that waits
            self._failure = failure
        finally:
            self._ready.set()

    async def _main(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = partial(loop.call_soon_threadsafe, stopped.set)
        async with self._lab:
            self._ready.set()
            await stopped.wait()


async def _look_at(live: Sequence[Station]) -> None:
    """Keep machines whose host runs by itself on time: a guest starts when it is due, not when someone asks."""
    while True:
        for station in live:
            station.is_up()
        await asyncio.sleep(_LIVE_LOOK)


def _bound(address: str, port: int) -> socket.socket:
    try:
        return listen(address, port)
    except OSError as error:
        # Only Linux answers for all of 127.0.0.0/8; elsewhere each BMC still has a port of its own.
        if error.errno != errno.EADDRNOTAVAIL or port:
            raise UsageError(f"{address} port {port} cannot be had: {error.strerror}") from error
        return listen("127.0.0.1", 0)


def _context(authority: Authority | None, station: Station) -> Callable[[], ssl.SSLContext | None]:
    """Return what makes the station's present TLS context: one for each certificate that it has had."""
    controller = station.machine.controller
    made: dict[int, ssl.SSLContext] = {}

    def context() -> ssl.SSLContext | None:
        number = controller.certificates
        if authority is not None and number not in made:
            made[number] = authority.context(station.name, station.address, kind=controller.certificate, number=number)
        return made.get(number)

    return context


def _toml(text: str) -> str:
    return json.dumps(text)  # a TOML basic string, for the characters that occur here
