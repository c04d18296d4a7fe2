"""sushy-tools' emulator, made to serve a fleet: each request sees only the BMC that it was sent to.

How it is done (and what the contract test in ``tests/emulated/lab`` holds sushy-tools to):

1. The stock routes close over the module's ``app``, so that very object becomes a ``FleetApplication``:
   ``main.app.__class__ = FleetApplication``. There is one application per process.
2. Its eight driver properties return those of the BMC found in the context variable ``CURRENT``.
3. Views that are missing or too trusting are added by a blueprint, or replaced in ``view_functions``.
4. Every error leaves as a Redfish error body; what only malformed input can cause is a 400, not a 500.
"""

# ruff: noqa: D102 - what the overriding properties are is told by sushy-tools, a port's method says itself
from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, Protocol

import flask
from sushy_tools import error
from werkzeug.exceptions import HTTPException

from .drivers import (
    FleetChassis,
    FleetDrives,
    FleetIndicators,
    FleetManagers,
    FleetMedia,
    FleetStorage,
    FleetSystems,
    FleetVolumes,
)
from .redfish.answers import RefusalError, error_body, text_property
from .redfish.stock import as_schemas_say
from .redfish.unit import Host

with warnings.catch_warnings():
    # sushy-tools imports webob for its password file, and webob the module cgi, which Python 3.13 no longer has.
    warnings.simplefilter("ignore", DeprecationWarning)
    from sushy_tools.emulator import main

_logger = logging.getLogger(__name__)


class Member(Host, Protocol):
    """A BMC as the application sees it: what its drivers need, and what the views here do."""

    @property
    def drivers(self) -> Drivers: ...
    @property
    def manager_resets(self) -> tuple[str, ...]: ...
    def check_settings_etag(self, if_match: str | None) -> None: ...
    def reset_bmc(self) -> None: ...
    def override_boot(self, wanted: dict[str, Any]) -> None: ...
    def switch_secure_boot(self, *, enabled: bool) -> None: ...
    def reset_secure_boot_keys(self, how: str) -> None: ...
    def has_log(self, path: str, log: str) -> bool: ...
    def clear_log(self) -> None: ...


class Drivers:
    """The eight drivers of one BMC."""

    def __init__(self, host: Host) -> None:
        self.systems = FleetSystems(host)
        self.chassis = FleetChassis(host)
        self.managers = FleetManagers(host, self.systems, self.chassis)
        self.indicators = FleetIndicators()
        self.vmedia = FleetMedia(host)
        self.storage = FleetStorage()
        self.drives = FleetDrives()
        self.volumes = FleetVolumes()


CURRENT: ContextVar[Member] = ContextVar("current BMC")


class FleetApplication(main.Application):  # type: ignore[misc]  # sushy-tools is untyped
    """The stock application whose drivers are those of the current BMC."""

    @property
    def systems(self) -> FleetSystems:
        return CURRENT.get().drivers.systems

    @property
    def managers(self) -> FleetManagers:
        return CURRENT.get().drivers.managers

    @property
    def chassis(self) -> FleetChassis:
        return CURRENT.get().drivers.chassis

    @property
    def indicators(self) -> FleetIndicators:
        return CURRENT.get().drivers.indicators

    @property
    def vmedia(self) -> FleetMedia:
        return CURRENT.get().drivers.vmedia

    @property
    def storage(self) -> FleetStorage:
        return CURRENT.get().drivers.storage

    @property
    def drives(self) -> FleetDrives:
        return CURRENT.get().drivers.drives

    @property
    def volumes(self) -> FleetVolumes:
        return CURRENT.get().drivers.volumes


_fleet = flask.Blueprint("Fleet", __name__, url_prefix="/redfish/v1")


def _body() -> dict[str, Any]:
    value = flask.request.get_json(force=True, silent=True)
    if not isinstance(value, dict):
        raise RefusalError(400, "The request body must be a JSON object.", message_id="MalformedJSON")
    return value


def _member(system: str | None = None, manager: str | None = None) -> Member:
    member = CURRENT.get()
    if system not in (None, member.system_id) or manager not in (None, member.manager_id):
        raise RefusalError(404, f"There is no resource at {flask.request.path}.")
    return member


def _nothing() -> flask.Response:
    return flask.Response(status=HTTPStatus.NO_CONTENT)


@_fleet.route("/Systems/<identity>/Actions/ComputerSystem.Reset", methods=["POST"])
def _reset_system(identity: str) -> flask.Response:
    member = _member(system=identity)
    member.reset_host(text_property(_body(), "ResetType"))
    return _nothing()


@_fleet.route("/Managers/<identity>/Actions/Manager.Reset", methods=["POST"])
def _reset_manager(identity: str) -> flask.Response:
    member = _member(manager=identity)
    allowed = member.manager_resets
    if _body().get("ResetType", allowed[0]) not in allowed:
        raise RefusalError(400, f"ResetType must be {' or '.join(allowed)}.", message_id="ActionParameterNotSupported")
    member.reset_bmc()
    return _nothing()


@_fleet.route("/Systems/<identity>/Bios/Settings", methods=["GET", "PATCH", "PUT"])
def _stage_bios(identity: str) -> flask.Response:
    member = _member(system=identity)
    if flask.request.method == "GET":  # the machine's own resource was asked first: this make has none
        raise RefusalError(404, f"There is no resource at {flask.request.path}.")
    member.check_settings_etag(flask.request.headers.get("If-Match"))
    attributes = _body().get("Attributes")
    if not isinstance(attributes, dict) or not attributes:
        raise RefusalError(400, "Attributes must be an object with at least one attribute.")
    member.stage_bios(attributes)
    return _nothing()


@_fleet.route("/Systems/<identity>/Bios/Actions/Bios.ResetBios", methods=["POST"])
def _reset_bios(identity: str) -> flask.Response:
    _member(system=identity).reset_bios()
    return _nothing()


@_fleet.route("/Systems/<identity>/SecureBoot", methods=["PATCH"])
def _switch_secure_boot(identity: str) -> flask.Response:
    enabled = _body().get("SecureBootEnable")
    if not isinstance(enabled, bool):
        raise RefusalError(400, "SecureBootEnable must be true or false.", message_id="PropertyValueTypeError")
    _member(system=identity).switch_secure_boot(enabled=enabled)
    return _nothing()


@_fleet.route("/Systems/<identity>/SecureBoot/Actions/SecureBoot.ResetKeys", methods=["POST"])
def _reset_keys(identity: str) -> flask.Response:
    _member(system=identity).reset_secure_boot_keys(text_property(_body(), "ResetKeysType"))
    return _nothing()


@_fleet.route("/Systems/<identity>/LogServices/<log>/Actions/LogService.ClearLog", methods=["POST"])
def _clear_system_log(identity: str, log: str) -> flask.Response:
    return _clear_log(_member(system=identity), log)


@_fleet.route("/Managers/<identity>/LogServices/<log>/Actions/LogService.ClearLog", methods=["POST"])
def _clear_manager_log(identity: str, log: str) -> flask.Response:
    return _clear_log(_member(manager=identity), log)


def _clear_log(member: Member, log: str) -> flask.Response:
    if not member.has_log(flask.request.path, log):
        raise RefusalError(404, f"There is no resource at {flask.request.path}.")
    member.clear_log()
    return _nothing()


def _stock_error(problem: Exception) -> Any:
    """Turn whatever a view raised into a Redfish error body."""
    match problem:
        case RefusalError():
            refused = problem.answer()
            return flask.Response(refused.body, refused.status, dict(refused.headers), content_type="application/json")
        case error.FishyError():
            status = problem.code
            # The stock drivers' plain FishyError (500) always means that something named was not there.
            status = HTTPStatus.NOT_FOUND if status == HTTPStatus.INTERNAL_SERVER_ERROR else status
        case HTTPException():
            status = problem.code or HTTPStatus.INTERNAL_SERVER_ERROR
        case AttributeError() | TypeError() | KeyError() | ValueError() if flask.request.method != "GET":
            # The stock views take the body's shape on trust; only a malformed body brings them here.
            return _error_response(HTTPStatus.BAD_REQUEST, "The request body has a property of the wrong type.")
        case _:
            _logger.error("%s %s failed", flask.request.method, flask.request.path, exc_info=problem)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _error_response(status, str(problem))


def _error_response(status: int, message: str) -> flask.Response:
    return flask.Response(json.dumps(error_body(status, message)), status, content_type="application/json")


def _as_redfish(response: flask.Response) -> flask.Response:
    """Give the stock views' plain-text refusals a Redfish error body, and their documents the form of the schemas."""
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        text = response.get_data(as_text=True)
        if not text.lstrip().startswith("{"):
            return _error_response(response.status_code, text or HTTPStatus(response.status_code).phrase)
    elif response.is_json and isinstance(found := response.get_json(silent=True), dict):
        response.set_data(json.dumps(as_schemas_say(found)))
    return response


def _transform(app: main.Application) -> FleetApplication:
    app.__class__ = FleetApplication
    assert isinstance(app, FleetApplication)  # noqa: S101  # tells the type checker what the line above did
    app.register_blueprint(_fleet)
    replaced: dict[str, Callable[..., Any]] = {
        "system_reset_action": _reset_system,
        "bios_settings": _settings_view(app.view_functions["bios_settings"]),
        "system_resource": _system_view(app.view_functions["system_resource"]),
        "secure_boot": _switch_secure_boot,
    }
    for endpoint, view in replaced.items():
        app.view_functions[endpoint] = view
    app.register_error_handler(Exception, _stock_error)
    app.after_request(_as_redfish)
    app.logger.setLevel(logging.CRITICAL)  # a lab's client errors are no news; ours go to _logger
    return app


def _settings_view(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The stock BIOS/Settings view with the checks of ours for changes."""

    def view(identity: str) -> Any:
        return stock(identity=identity) if flask.request.method == "GET" else _stage_bios(identity)

    return view


def _system_view(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The stock System view, but for a boot override: that one forgets for how long it is meant."""

    def view(identity: str) -> Any:
        if flask.request.method == "GET":
            return stock(identity=identity)
        member, body = _member(system=identity), _body()
        boot = body.get("Boot")
        if not isinstance(boot, dict) or not boot or "HttpBootUri" in boot:
            return stock(identity=identity)
        member.override_boot(boot)
        if "IndicatorLED" in body:
            member.drivers.indicators.set_indicator_state(identity, body["IndicatorLED"])
        return _nothing()

    return view


def allowed_methods(path: str) -> str:
    """Return the methods that the application has a view for at *path*."""
    methods = set(app.url_map.bind("bmc").allowed_methods(path)) - {"OPTIONS"}
    return ", ".join(sorted(methods)) or "GET, HEAD"


app = _transform(main.app)
"""The one application of this process."""
