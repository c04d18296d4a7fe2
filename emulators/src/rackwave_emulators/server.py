"""One BMC on the wire: its listener, its HTTP server, and the order in which a request is judged.

1. The BMC is away, or was restarted since this connection was made: the connection is reset.
2. A fault takes the request before anything acts on it: reset.
3. Who asks: 401. What it asks for, cheapest first: a resource straight from the machine, an upload or
   update (both are asyncio), and for all the rest the Flask application of sushy-tools.
4. A fault takes the answer after everything was done: reset.

What faults change in between is ``redfish.disorder``'s.

No input can make it answer 500: what the BMC cannot understand is a 400, 411, 413 or 415 with a Redfish
error body.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from socket import socket
from typing import TypeAlias, assert_never

from aiohttp import web

from .event_face import stream
from .event_push import Delivery
from .faults import AnswerLost, Busy, ExpandLies, GarbledError, KeepAliveDropped, RedfishDead, RequestLost, Silence
from .fleet_app import CURRENT, allowed_methods
from .listener import Listener, abort
from .personality import Oem
from .redfish import account_service, headers, oem, paths, resources, settings
from .redfish.answers import Answer, RefusalError, extended, json_object, text_property
from .redfish.disorder import Disorder, garbled
from .redfish.station import Station
from .redfish.update_service import UpdateService
from .wire import (
    ODATA_VERSION,
    HttpServer,
    body_of,
    check_query,
    if_changed,
    invite_body,
    parting,
    path_of,
    reset,
    response_of,
    silence,
)
from .wsgi import WsgiBridge, WsgiRequest

Call: TypeAlias = Callable[[web.BaseRequest], Awaitable[Answer]]

_READS = ("GET", "HEAD")
# Longer than any pause in a rollout that keeps its connection, shorter than a forgotten client lives.
_KEEP_ALIVE = 120.0
_LINGER = 2.0
_OPEN = frozenset({paths.VERSIONS, paths.ROOT, f"{paths.ROOT}/odata", f"{paths.ROOT}/$metadata"})


class BmcServer:
    """Serves one station on one socket.

    *latency* is in real seconds and stands for the slow processor of a BMC.
    """

    def __init__(
        self,
        station: Station,
        sock: socket,
        *,
        context: Callable[[], ssl.SSLContext | None],
        bridge: WsgiBridge,
        updates: UpdateService,
        latency: float,
    ) -> None:
        self._station = station
        self._bridge = bridge
        self._updates = updates
        self._latency = latency
        self._boot = station.bmc_boot()
        self._disorder = Disorder(station)
        self._delivery = Delivery(station, self._is_up)
        self._server = HttpServer(
            self._serve,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE,
            lingering_time=_LINGER,
            auto_decompress=False,
        )
        self._listener = Listener(sock, factory=self._connect, context=context, admits=self._is_up)
        self._calls: dict[tuple[str, str], Call] = {
            ("POST", paths.SESSIONS): self._log_in,
            ("POST", paths.SESSION_MEMBERS): self._log_in,
            ("PATCH", paths.UPDATE_SERVICE): self._configure_updates,
            ("POST", paths.SIMPLE_UPDATE): self._simple_update,
            ("POST", paths.START_UPDATE): self._start_update,
            **self._calls_of_its_make(),
        }

    def _calls_of_its_make(self) -> dict[tuple[str, str], Call]:
        """What is called where on this make only."""
        station = self._station
        rules = station.machine.personality.rules
        calls: dict[tuple[str, str], Call] = {}
        if rules.push_uri:
            calls[("POST", rules.push_uri)] = calls[("PUT", rules.push_uri)] = self._push
        if rules.multipart_uri:
            calls[("POST", rules.multipart_uri)] = self._push_of_any_kind
        if rules.bios_attributes:
            for method in ("PATCH", "PUT"):
                calls[(method, f"{resources.system_path(station)}/Bios/Settings")] = self._nowhere
                calls[(method, resources.settings_path(station))] = self._stage_settings
        if rules.oem is Oem.DELL:
            calls[("POST", oem.jobs_path(station))] = self._make_job
            calls[("POST", f"{resources.manager_path(station)}/Jobs")] = self._make_job
            action = "Actions/DellLCService.GetRemoteServicesAPIStatus"
            calls[("POST", f"{oem.lifecycle_service_path(station)}/{action}")] = self._lifecycle_status
        return calls

    async def close(self) -> None:
        """Stop serving and end every connection."""
        await self._delivery.close()
        await self._listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(timeout=1.0)

    def _connect(self) -> asyncio.Protocol:
        self._station.counters.connections += 1
        return self._server()

    def _is_up(self) -> bool:
        """Whether the BMC answers. One that left, or came back since we last looked, knows no old connection."""
        alive = self._station.is_up()
        boot = self._station.bmc_boot()
        if not alive or boot != self._boot:
            self._boot = boot
            for connection in self._server.connections:
                abort(connection.transport)
        return alive

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        station = self._station
        station.counters.requests += 1
        if self._latency:
            await asyncio.sleep(self._latency)
        boot = self._boot
        if not self._is_up() or self._boot != boot or request.transport is None:
            return reset(request)
        path = station.canonical(path_of(request.raw_path))
        trouble = station.trouble(request.method, path) if self._disorder.reigns else None
        match trouble:
            case RequestLost() | RedfishDead(how=Silence.RESET):
                return reset(request)
            case RedfishDead(how=Silence.HANG):
                await silence(request)
                return reset(request)
            case RedfishDead():
                return response_of(RefusalError(503, "The service is not available.").answer())
            case Busy():
                headers = {"Retry-After": str(trouble.retry_after)}
                return response_of(RefusalError(trouble.status, "The service is busy.", headers=headers).answer())
            case GarbledError():
                return response_of(garbled(trouble))
            case AnswerLost() | KeepAliveDropped() | None:
                pass
            case unknown:
                assert_never(unknown)
        try:
            if path and path == station.machine.personality.rules.events_uri and station.recording is None:
                return await self._stream(request, path)
            answer = await self._judged(request, path)
        except RefusalError as refusal:
            answer = refusal.answer()
        except ConnectionError:
            return reset(request)
        match trouble:
            case AnswerLost():
                return reset(request)
            case KeepAliveDropped():
                return await parting(request, response_of(answer))
            case _:
                return response_of(answer)

    async def _stream(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        self._check_login(request, path)
        if request.method != "GET":
            raise RefusalError(405, "An event stream can only be read.", headers={"Allow": "GET"})
        if not self._station.machine.personality.rules.events_enabled:
            raise RefusalError(503, "The EventService is switched off.")
        return await stream(request, self._station, self._is_up)

    async def _judged(self, request: web.BaseRequest, path: str) -> Answer:
        """Answer, with what is out of order before and after."""
        if not self._disorder.reigns:
            return await self._answer(request, path)
        path = self._disorder.routed(path)
        self._check_login(request, path)

        async def body() -> bytes:
            await invite_body(request)
            return await body_of(request)

        answer = await self._disorder.before(request.method, path, request.headers, body)
        if answer is None:
            answer = await self._answer(request, path)
        return self._disorder.after(request.method, path, request.raw_path.partition("?")[2], answer)

    async def _answer(self, request: web.BaseRequest, path: str) -> Answer:
        method = request.method
        key = (method, path)
        self._check_login(request, path)
        if request.headers.get("OData-Version", ODATA_VERSION) != ODATA_VERSION:
            raise RefusalError(412, f"Only OData-Version {ODATA_VERSION} is spoken.", message_id="PreconditionFailed")
        if self._station.recording is not None and not path.startswith(paths.SESSIONS):
            return self._recorded(request, path)
        if method in _READS:
            query = request.raw_path.partition("?")[2]
            if ("$" in query or "%24" in query) and not self._station.machine.suffers(ExpandLies):
                check_query(query)
            answer = self._station.read(path, query)
            if answer is not None:
                return if_changed(request, answer)
        elif (call := self._calls.get(key)) is not None:
            await invite_body(request)
            return await call(request)
        elif method == "DELETE" and path.startswith(paths.SESSIONS + "/"):
            if not self._station.sessions.close(path.rpartition("/")[2]):
                raise RefusalError(404, f"There is no resource at {path}.")
            return Answer(HTTPStatus.NO_CONTENT)
        elif path.startswith(paths.SUBSCRIPTIONS) and method in ("POST", "DELETE"):
            return await self._subscription_call(request, path)
        elif path.startswith(paths.ACCOUNTS):
            return await self._account_call(request, path)
        return await self._pass_on(request, path)

    def _recorded(self, request: web.BaseRequest, path: str) -> Answer:
        """Answer from the recording, which can only be read."""
        recording = self._station.recording
        answer = None if recording is None else recording.read(path)
        if answer is None and path in (paths.VERSIONS, paths.ODATA, paths.METADATA):
            answer = self._station.read(path, "")
        if answer is None:
            raise RefusalError(404, f"There is no resource at {path}.")
        if request.method not in _READS:
            raise RefusalError(
                405, "This BMC is a recording and can only be read.", headers={"Allow": headers.READ_ONLY}
            )
        return if_changed(request, answer)

    def _check_login(self, request: web.BaseRequest, path: str) -> None:
        if path in _OPEN or _is_login((request.method, path)):
            return
        sessions = self._station.sessions
        user = sessions.user_of(request.headers)
        if user is None:
            raise RefusalError(
                401, "There is no valid session.", headers={"WWW-Authenticate": f'Basic realm="{self._station.name}"'}
            )
        if user != sessions.own:
            account = sessions.accounts.named(user)
            if account is None:
                raise RefusalError(401, "The account is no more.")
            account_service.check(account, request.method, path)

    async def _subscription_call(self, request: web.BaseRequest, path: str) -> Answer:
        """Enter or end a subscription."""
        body, ident = await body_of(request), path.removeprefix(paths.SUBSCRIPTIONS).strip("/")
        if request.method == "POST" and not ident:
            with self._station.exclusive():
                answer = self._station.events.subscribe(json_object(body))
                if self._station.machine.personality.rules.events_delivered:
                    self._delivery.begin(self._station.events.uris[-1].rpartition("/")[2], request.remote or "")
            return answer
        if request.method == "POST" or not ident:
            raise RefusalError(405, "That is not allowed here.", headers={"Allow": headers.allow(path)})
        with self._station.exclusive():
            if not self._station.events.remove(ident):
                raise RefusalError(404, f"There is no resource at {path}.")
        return Answer(HTTPStatus.NO_CONTENT)

    async def _account_call(self, request: web.BaseRequest, path: str) -> Answer:
        """Make, change or remove an account."""
        sessions, method = self._station.sessions, request.method
        body = await body_of(request)
        if path == paths.ACCOUNTS and method == "POST":
            return account_service.make(sessions.accounts, json_object(body))
        account = sessions.accounts.get(path.rpartition("/")[2])
        if account is None and path != paths.ACCOUNTS:
            raise RefusalError(404, f"There is no resource at {path}.")
        if account is None or method not in ("PATCH", "DELETE"):
            raise RefusalError(405, f"{method} is not allowed on {path}.", headers={"Allow": headers.allow(path)})
        if method == "DELETE":
            sessions.accounts.remove(account.id)
            sessions.end_all_of(account.username)
            return Answer(HTTPStatus.NO_CONTENT)
        asked = json_object(body)
        user = sessions.accounts.named(sessions.user_of(request.headers) or "")
        if user is not None:
            account_service.check(user, method, path, frozenset(asked))
        return account_service.change(sessions.accounts, account, asked, request.headers.get("If-Match"))

    async def _pass_on(self, request: web.BaseRequest, path: str) -> Answer:
        await invite_body(request)
        body = await body_of(request)
        if request.method in ("POST", "PATCH", "PUT") and body:
            json_object(body)  # the stock views take the shape on trust
        forwarded = dict(request.headers)
        forwarded["Content-Type"] = "application/json"
        token = CURRENT.set(self._station)
        try:
            answer = await self._bridge(
                WsgiRequest(
                    method="GET" if request.method in _READS else request.method,  # aiohttp drops HEAD's body
                    path=path,
                    query=request.raw_path.partition("?")[2],
                    headers=forwarded,
                    body=body,
                    host=self._station.address,
                    port=self._station.port,
                    scheme=self._station.scheme,
                )
            )
        finally:
            CURRENT.reset(token)
        if request.method in _READS:
            return self._described(path, answer)
        self._station.touch()
        shelved = answer.status in (404, 405) and self._station.read(path, "") is not None
        if shelved or answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            methods = headers.allow(path) if shelved else allowed_methods(path)
            raise RefusalError(405, f"{request.method} is not allowed on {path}.", headers={"Allow": methods})
        return answer

    @staticmethod
    def _described(path: str, answer: Answer) -> Answer:
        """Add to what sushy-tools answers what it does not tell itself."""
        if answer.status != HTTPStatus.OK:
            return answer
        told = {**answer.headers, "Allow": allowed_methods(path)}
        if (link := headers.link_of(answer.body)) is not None:
            told["Link"] = link
        return Answer(answer.status, answer.body, told)

    async def _log_in(self, request: web.BaseRequest) -> Answer:
        body = json_object(await body_of(request))
        session = self._station.sessions.open(text_property(body, "UserName"), text_property(body, "Password"))
        told = paths.session_body(session.id, session.username)
        account = self._station.sessions.accounts.named(session.username)
        if account is not None and account.change_required:
            told["@Message.ExtendedInfo"] = [extended("PasswordChangeRequired", "The password must be changed.")]
        return Answer.of(
            told,
            HTTPStatus.CREATED,
            {"X-Auth-Token": session.token, "Location": session.uri},
        )

    async def _simple_update(self, request: web.BaseRequest) -> Answer:
        return self._updates.simple_update(self._station, json_object(await body_of(request)))

    async def _configure_updates(self, request: web.BaseRequest) -> Answer:
        return self._updates.configure(self._station, json_object(await body_of(request)))

    async def _start_update(self, request: web.BaseRequest) -> Answer:
        await body_of(request)
        return self._updates.start_update(self._station)

    async def _push_of_any_kind(self, request: web.BaseRequest) -> Answer:
        """Some have one URI for both pushes, and the content's type tells them apart."""
        rules = self._station.machine.personality.rules
        if rules.push_uri == rules.multipart_uri and not request.content_type.startswith("multipart/"):
            return await self._updates.push(self._station, request)
        return await self._updates.multipart_push(self._station, request)

    async def _stage_settings(self, request: web.BaseRequest) -> Answer:
        body = json_object(await body_of(request))
        return settings.stage(self._station, body, request.headers.get("If-Match"))

    async def _make_job(self, request: web.BaseRequest) -> Answer:
        return settings.make_job(self._station, json_object(await body_of(request)))

    async def _lifecycle_status(self, request: web.BaseRequest) -> Answer:
        await body_of(request)
        return Answer.of(oem.lifecycle_status(self._station))

    async def _nowhere(self, request: web.BaseRequest) -> Answer:
        raise RefusalError(404, f"There is no resource at {path_of(request.raw_path)}.")

    async def _push(self, request: web.BaseRequest) -> Answer:
        return await self._updates.push(self._station, request)


def _is_login(key: tuple[str, str]) -> bool:
    return key in (("POST", paths.SESSIONS), ("POST", paths.SESSION_MEMBERS))
