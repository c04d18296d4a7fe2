"""The lab's control interface: the truth, and the faults. JSON over plain HTTP, on loopback, outside Redfish.

What it offers, and what the answers hold, is described in the README of this package; tests and the
benchmark rely on it, so fields are added and never renamed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs
from aiohttp import web

from rackwave.errors import RackwaveError, UsageError
from rackwave.ports import Clock

from .faults import FAULTS, ROWS, defaults, fault_as_dict, parse_fault
from .redfish.answers import RefusalError
from .redfish.station import Station

_BODY_LIMIT = 1 << 20
_SUMMED = ("flashes", "double_flashes", "sessions_open", "sessions_opened", "requests", "connections")


class Control:
    """Answers for *stations*; nothing here touches a BMC's Redfish service."""

    def __init__(self, stations: Sequence[Station], clock: Clock) -> None:
        self._stations = {station.name: station for station in stations}
        self._clock = clock
        self._since = time.monotonic()
        self._cpu_before = time.process_time()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen on a port of loopback that the kernel chooses."""
        application = web.Application(client_max_size=_BODY_LIMIT, middlewares=[_errors_as_json])
        application.add_routes(
            [
                web.get("/truth", self._truth),
                web.get("/nodes", self._nodes),
                web.get("/nodes/{name}", self._node),
                web.get("/nodes/{name}/faults", self._armed),
                web.post("/nodes/{name}/faults", self._arm),
                web.delete("/nodes/{name}/faults", self._disarm),
                web.post("/nodes/{name}/reset-host", self._reset_host),
                web.post("/nodes/{name}/reset-bmc", self._reset_bmc),
                web.post("/nodes/{name}/ac-cycle", self._ac_cycle),
                web.get("/faults", self._catalogue),
                web.get("/pathologies", self._pathologies),
                web.post("/reset-counters", self._reset_counters),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def truth(self) -> dict[str, Any]:
        """Return what really happened, for every node and in sum."""
        nodes = {name: station.truth() for name, station in self._stations.items()}
        return {
            "schema": 1,
            "lab": {
                "pid": os.getpid(),
                "now": self._clock.now(),
                "uptime_seconds": time.monotonic() - self._since,
                "cpu_seconds": time.process_time() - self._cpu_before,
            },
            "totals": {"nodes": len(nodes), **{key: sum(node[key] for node in nodes.values()) for key in _SUMMED}},
            "nodes": nodes,
        }

    def station(self, name: str) -> Station:
        """Return the station called *name*.

        Raises:
            RefusalError: there is none (404).
        """
        station = self._stations.get(name)
        if station is None:
            raise RefusalError(404, f"there is no node {name!r}")
        return station

    async def _truth(self, _: web.Request) -> web.Response:
        return web.json_response(self.truth())

    async def _nodes(self, _: web.Request) -> web.Response:
        return web.json_response([station.whereabouts() for station in self._stations.values()])

    async def _node(self, request: web.Request) -> web.Response:
        return web.json_response(self.station(request.match_info["name"]).truth())

    async def _armed(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults(request))

    async def _arm(self, request: web.Request) -> web.Response:
        station = self.station(request.match_info["name"])
        told = await _json(request)
        faults = [parse_fault(_object(one)) for one in (told if isinstance(told, list) else [told])]
        for fault in faults:
            station.arm(fault)
        return web.json_response(self._faults(request), status=HTTPStatus.CREATED)

    async def _disarm(self, request: web.Request) -> web.Response:
        self.station(request.match_info["name"]).disarm(request.query.get("fault"))
        return web.json_response(self._faults(request))

    async def _reset_host(self, request: web.Request) -> web.Response:
        station = self.station(request.match_info["name"])
        kind = _object(await _json(request)).get("ResetType")
        if not isinstance(kind, str):
            raise UsageError("ResetType must be a string")
        station.reset_host(kind)
        return web.json_response(station.truth())

    async def _reset_bmc(self, request: web.Request) -> web.Response:
        station = self.station(request.match_info["name"])
        station.reset_bmc()
        return web.json_response(station.truth())

    async def _ac_cycle(self, request: web.Request) -> web.Response:
        station = self.station(request.match_info["name"])
        with station.exclusive() as machine:
            machine.cut_ac()
        return web.json_response(station.truth())

    async def _pathologies(self, _: web.Request) -> web.Response:
        return web.json_response(pathologies())

    async def _catalogue(self, _: web.Request) -> web.Response:
        return web.json_response(catalogue())

    async def _reset_counters(self, _: web.Request) -> web.Response:
        for station in self._stations.values():
            station.counters.clear()
            if station.ipmi is not None:
                station.ipmi.clear_counters()
        self._since = time.monotonic()
        self._cpu_before = time.process_time()
        return web.json_response({"reset": True})

    def _faults(self, request: web.Request) -> list[dict[str, object]]:
        return [fault_as_dict(fault) for fault in self.station(request.match_info["name"]).faults()]


def catalogue() -> list[dict[str, Any]]:
    """Return every fault that can be injected: id, story, label, pathologies, parameters with their defaults."""
    return [
        {
            "fault": kind.id,
            "story": kind.story,
            "label": kind.label.value,
            "pathologies": list(kind.pathologies),
            "parameters": {field.name: _default(field) for field in attrs.fields(kind)},
        }
        for kind in FAULTS.values()
    ]


def pathologies() -> list[dict[str, Any]]:
    """Return the fifty rows of real BMCs' pathologies: id, label, story, and how each can be brought about."""
    return [
        {
            "pathology": row.id,
            "label": row.label.value,
            "story": row.story,
            "faults": [{"fault": preset.kind.id, "parameters": defaults(preset)} for preset in row.presets],
        }
        for row in ROWS.values()
    ]


def _default(field: attrs.Attribute[Any]) -> object:
    return None if field.default is attrs.NOTHING else field.default


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise UsageError("the body is not JSON") from None


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise UsageError("a JSON object is expected")
    return value


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusalError as refusal:
        return web.json_response({"error": str(refusal)}, status=refusal.status)
    except RackwaveError as error:
        return web.json_response({"error": str(error), "advice": error.advice}, status=HTTPStatus.BAD_REQUEST)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
