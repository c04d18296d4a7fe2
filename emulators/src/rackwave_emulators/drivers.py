"""The drivers of sushy-tools, one set for each BMC, kept in memory and backed by the BMC's own machine.

The stock drivers are shared by all systems, keep their state in sqlite files (with a descriptor leak and
lost updates) and change power after 1 to 11 random seconds of real time. Each class here skips the
constructor that opens a file and overrides what touches state; ``tests/emulated/lab`` has a contract
test on the private names that this relies on.
"""

# ruff: noqa: D102 - what the overriding methods do is told by the methods of sushy-tools that they override
from __future__ import annotations

import base64
import copy
import logging
import re
import shutil
import ssl
import tempfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sushy_tools import error
from sushy_tools.emulator.resources import chassis as stock_chassis
from sushy_tools.emulator.resources import drives as stock_drives
from sushy_tools.emulator.resources import indicators as stock_indicators
from sushy_tools.emulator.resources import managers as stock_managers
from sushy_tools.emulator.resources import storage as stock_storage
from sushy_tools.emulator.resources import vmedia as stock_vmedia
from sushy_tools.emulator.resources import volumes as stock_volumes
from sushy_tools.emulator.resources.systems import fakedriver

from .redfish.unit import Host

_logger = logging.getLogger("rackwave_emulators.sushy_tools")
_MEDIA_LIMIT = 8 << 30  # a DVD of a distribution; a lab's disk should not be filled by a typo
_MEDIA_SILENCE = 30.0  # seconds without a byte after which a download is given up


class FleetSystems(fakedriver.FakeDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """One computer system: power, BIOS and versions are the machine's; the rest is kept here."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._config: dict[str, Any] = {}
        self._logger = _logger
        self._systems = {
            host.system_id: {
                "uuid": host.system_id,
                "name": host.name,
                "power_state": "On",
                "nics": [{"mac": host.mac, "ip": ""}],
            }
        }
        self._by_name: dict[str, str] = {}

    def _update_if_needed(self, system: dict[str, Any]) -> dict[str, Any]:
        system["power_state"] = self._host.power_state()
        return system

    def set_power_state(self, identity: str, state: str) -> None:
        self._get(identity)
        self._host.reset_host(state)

    def get_bios(self, identity: str) -> dict[str, Any]:
        self._get(identity)
        return self._host.bios_attributes()

    def set_bios(self, identity: str, attributes: dict[str, Any]) -> None:
        self._get(identity)
        self._host.stage_bios(attributes)

    def reset_bios(self, identity: str) -> None:
        self._get(identity)
        self._host.reset_bios()

    def get_versions(self, identity: str) -> dict[str, str]:
        self._get(identity)
        return {"BiosVersion": self._host.bios_version()}

    def get_http_boot_uri(self, identity: str) -> str | None:
        uri = self._get(identity).get("http_boot_uri")
        return uri if isinstance(uri, str) else None

    def set_http_boot_uri(self, uri: str) -> None:
        self._update(self._host.system_id, http_boot_uri=uri)

    def get_processors(self, identity: str) -> list[dict[str, str]]:
        # The stock Thermal links to Processors/CPU, which the stock driver answers with 501.
        self._get(identity)
        facts = {"socket": "CPU 1", "vendor": "Rackwave", "model": "Lab CPU", "cores": "16", "threads": "32"}
        return [{"id": "CPU", "Id": "CPU", **facts}]

    def get_boot_device(self, identity: str) -> str:
        self._get(identity)
        return self._host.boot_device()

    def set_boot_device(self, identity: str, boot_source: str) -> None:
        self._get(identity)
        self._host.set_boot_device(boot_source)


class FleetManagers(stock_managers.FakeDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """The one manager of a BMC; the stock driver keeps one DateTime for all managers."""

    def __init__(self, host: Host, systems: FleetSystems, chassis: FleetChassis) -> None:
        super().__init__({}, _logger, systems, chassis)
        self._host = host

    def get_manager(self, identity: str) -> dict[str, str]:
        if identity != self._host.manager_id:
            raise error.NotFound(f"Manager {identity} was not found")
        return {"Id": identity, "UUID": identity, "Name": f"{self._host.name} BMC"}

    def set_datetime(self, datetime_value: str | None, datetimelocaloffset_value: str | None) -> None:
        self._host.set_date_time(datetime_value, datetimelocaloffset_value)

    @property
    def managers(self) -> list[str]:
        return [self._host.manager_id]

    def get_managed_systems(self, manager: dict[str, str]) -> list[str]:
        del manager
        return [self._host.system_id]

    def get_managed_chassis(self, manager: dict[str, str]) -> list[str]:
        del manager
        chassis: list[str] = self._chassis.chassis
        return chassis

    def get_managers_for_system(self, ident: str) -> list[str]:
        self._systems.uuid(ident)
        return [self._host.manager_id]


class FleetChassis(stock_chassis.StaticDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """One chassis, under the machine's UUID."""

    def __init__(self, host: Host) -> None:
        chassis = {"Id": "Chassis", "Name": f"{host.name} chassis", "UUID": host.uuid}
        super().__init__({"SUSHY_EMULATOR_CHASSIS": [chassis]}, _logger)

    def uuid(self, identity: str) -> str:
        return str(self._found(identity)["UUID"])

    def name(self, identity: str) -> str:
        return str(self._found(identity)["Name"])

    def _found(self, identity: str) -> dict[str, str]:
        # The stock driver redirects from every name, the UUID's own included, or answers 500.
        for chassis in self._chassis_by_uuid.values():
            if identity in chassis.values():
                return dict(chassis)
        raise error.NotFound(f"Chassis {identity} was not found")


class FleetIndicators(stock_indicators.StaticDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """Indicator LEDs in memory."""

    def __init__(self) -> None:
        self._config: dict[str, Any] = {}
        self._logger = _logger
        self._indicators: dict[str, str] = {}

    def set_indicator_state(self, identity: str, state: str) -> None:
        if state not in ("Lit", "Off", "Blinking"):  # the stock driver answers 500
            raise error.BadRequest("IndicatorLED must be Lit, Off or Blinking")
        self._indicators[identity] = state


class FleetStorage(stock_storage.StaticDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """No storage controllers; an empty collection rather than the stock driver's 500."""

    def __init__(self) -> None:
        super().__init__({}, _logger)

    def get_storage_col(self, identity: str) -> list[dict[str, Any]]:
        del identity
        return []


class FleetDrives(stock_drives.StaticDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """No drives."""

    def __init__(self) -> None:
        super().__init__({}, _logger)

    def get_drives(self, identity: str, storage_id: str) -> list[dict[str, Any]]:
        del identity, storage_id
        return []


class FleetVolumes(stock_volumes.StaticDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """No volumes."""

    def __init__(self) -> None:
        self._config: dict[str, Any] = {}
        self._logger = _logger
        self._volumes: dict[Any, Any] = {}

    def get_volumes_col(self, identity: str, storage_id: str) -> list[dict[str, Any]]:
        del identity
        raise error.NotFound(f"Storage {storage_id} was not found")


class FleetMedia(stock_vmedia.StaticDriver):  # type: ignore[misc]  # sushy-tools is untyped
    """Virtual media in memory; images are really downloaded, but bounded in size and in silence."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._config: dict[str, Any] = {}
        self._logger = _logger
        self._devices: dict[Any, Any] = {}
        self._device_types = copy.deepcopy(_MEDIA_DEVICES)

    def _get_device(self, identity: str, device: str) -> Any:
        if identity != self._host.system_id:  # the stock driver makes devices for whoever asks
            raise error.NotFound(f"System {identity} was not found")
        return super()._get_device(identity, device)

    def _get_image(
        self, image_url: object, auth: tuple[str, str] | None, verify_media_cert: bool, custom_cert: str | None
    ) -> tuple[str, str]:
        if not isinstance(image_url, str) or urlsplit(image_url).scheme not in ("http", "https"):
            raise error.BadRequest("Image must be an http or https URL")
        request = urllib.request.Request(image_url)  # noqa: S310  # the scheme was checked just above
        if auth:
            token = base64.b64encode(":".join(auth).encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        trust = ssl.create_default_context(cadata=custom_cert)
        if not verify_media_cert:
            trust.check_hostname = False
            trust.verify_mode = ssl.CERT_NONE
        name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(urlsplit(image_url).path).name) or "image.iso"
        self._host.media_directory.mkdir(parents=True, exist_ok=True)
        target = Path(tempfile.mkdtemp(dir=self._host.media_directory)) / name
        try:
            with (
                urllib.request.urlopen(request, timeout=_MEDIA_SILENCE, context=trust) as answer,  # noqa: S310  # as above
                target.open("wb") as file,
            ):
                while chunk := answer.read(1 << 18):
                    file.write(chunk)
                    if file.tell() > _MEDIA_LIMIT:
                        raise error.BadRequest("the medium is too large")
        except (OSError, ValueError) as cause:  # URLError and its kin are OSErrors
            shutil.rmtree(target.parent, ignore_errors=True)
            raise error.FishyError(f"Cannot download virtual media: {type(cause).__name__}", code=502) from cause
        except error.FishyError:
            shutil.rmtree(target.parent, ignore_errors=True)
            raise
        return name, str(target)


_MEDIA_DEVICES = {
    "Cd": {"Name": "Virtual CD", "MediaTypes": ["CD", "DVD"]},
    "Floppy": {"Name": "Virtual Removable Media", "MediaTypes": ["Floppy", "USBStick"]},
}
