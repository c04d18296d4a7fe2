"""SimIpmi: what the IPMI adapter would make of a machine, beside `SimBmc`, which stands for Redfish.

It knows power, POST, health and who the machine is, the BMC's own version, and cold resets; no BIOS
settings, no boot markers, no tasks. Images are not written over it: HPM.1 files are a matter of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from rackwave.core.bundle import Activation, AttributeValue
from rackwave.core.identity import ComponentName
from rackwave.core.observation import NOT_ASKED, Component, Lack, Look, Observation, Unknown
from rackwave.core.receipt import Accepted, Ground, Receipt, Refused
from rackwave.core.settings_check import SettingsCheck
from rackwave.core.step import ImageWay
from rackwave.ports import Completing, Image, Means, ResetKind

from .faults import IpmiSilent
from .machine import Machine
from .sim import SimBmc, Wire, WireFate, calm

_NONE = Unknown("IPMI has no such thing", Lack.ABSENT)
_UNABLE = Refused("IPMI has no such thing", ground=Ground.UNABLE)
_OWN = ComponentName("BMC")


class SimIpmi(SimBmc):
    """`rackwave.ports.Bmc` over IPMI, in memory."""

    __slots__ = ()

    def __init__(self, machine: Machine, *, wire: Wire = calm) -> None:
        super().__init__(machine, wire=wire, means=Means.IPMI)

    async def observe(self, look: Look) -> Observation:
        """Read of *look* what IPMI tells."""
        seen = await super().observe(evolve(look, bmc=False, settings=False, task=None, tasks=False))
        if self._silent:
            return Observation.blank(seen.at, "the BMC does not answer", look, lack=Lack.AWAY)
        return evolve(
            seen,
            boot=_NONE if look.system else NOT_ASKED,
            bmc_boot=_NONE if look.bmc else NOT_ASKED,
            components={
                name: component if name == _OWN else Component(name, _NONE, _NONE, spare=component.spare)
                for name, component in seen.components.items()
            },
            settings=_NONE if look.settings else NOT_ASKED,
            staged_settings=_NONE if look.settings else NOT_ASKED,
            tasks=() if look.tasks else NOT_ASKED,
        )

    async def way_of(self, component: ComponentName, *, activation: Activation) -> ImageWay | Unknown:  # noqa: ARG002
        """None."""
        return _NONE

    async def write(self, image: Image, *, completing: Completing) -> Receipt:  # noqa: ARG002
        """Refuse."""
        return _UNABLE

    async def start_update(self, component: ComponentName) -> Receipt:  # noqa: ARG002 - the port's
        """Refuse."""
        return _UNABLE

    async def switch_bank(self, component: ComponentName, version: str, *, activation: Activation) -> Receipt:  # noqa: ARG002
        """Refuse."""
        return _UNABLE

    async def configure(self, attributes: Mapping[str, AttributeValue]) -> Receipt:  # noqa: ARG002 - the port's
        """Refuse."""
        return _UNABLE

    async def check_settings(self, attributes: Mapping[str, AttributeValue]) -> SettingsCheck | Unknown:  # noqa: ARG002
        """Say nothing."""
        return _NONE

    async def reset_host(self, kind: ResetKind) -> Receipt:
        """Change the host's power, once."""
        return _told(await super().reset_host(kind), "IPMI Chassis Control")

    async def reset_bmc(self, means: Means | None = None) -> Receipt:
        """Restart the BMC, once; under lockdown it says so and does not (P38)."""
        return _told(await super().reset_bmc(means), "IPMI Cold Reset")

    def _fate(self, act: str, method: str, path: str) -> WireFate:  # noqa: ARG002 - as the Redfish one
        fate = self._wire(act)
        if fate is WireFate.OK and self._machine.suffers(IpmiSilent):
            return WireFate.SILENT
        return fate


def _told(receipt: Receipt, way: str) -> Receipt:
    return evolve(receipt, way=way) if isinstance(receipt, Accepted) else receipt
