"""BIOS attributes: what there is, what a value may be, and what waits for the next POST."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import assert_never

from attrs import frozen

from rackwave.core.bundle import AttributeValue

from .refusal import LabRefusal


class AttributeType(StrEnum):
    """The types that the Redfish attribute registry knows (DSP0268 AttributeRegistry; Password is not emulated)."""

    ENUMERATION = "Enumeration"
    INTEGER = "Integer"
    BOOLEAN = "Boolean"
    STRING = "String"


@frozen
class Attribute:
    """One entry of the attribute registry. Bounds are values of an Integer and lengths of a String.

    *locked_while*: it is read-only while that attribute has that value.
    """

    name: str
    type: AttributeType
    default: AttributeValue
    display: str
    values: tuple[str, ...] = ()
    lower: int = 0
    upper: int = 0
    read_only: bool = False
    locked_while: tuple[str, AttributeValue] | None = None

    def objection(self, value: object) -> str:
        """Say what is wrong with *value*; empty: nothing."""
        match self.type:
            case AttributeType.ENUMERATION:
                return "" if isinstance(value, str) and value in self.values else f"is none of {', '.join(self.values)}"
            case AttributeType.INTEGER:
                fits = isinstance(value, int) and not isinstance(value, bool) and self.lower <= value <= self.upper
                return "" if fits else f"is no whole number from {self.lower} to {self.upper}"
            case AttributeType.BOOLEAN:
                return "" if isinstance(value, bool) else "is neither true nor false"
            case AttributeType.STRING:
                fits = isinstance(value, str) and self.lower <= len(value) <= self.upper
                return "" if fits else f"is no text of {self.lower} to {self.upper} characters"
            case unknown:
                assert_never(unknown)


def _choice(name: str, display: str, *values: str) -> Attribute:
    return Attribute(name, AttributeType.ENUMERATION, values[0], display, values=values)


_ON_OFF = ("Enabled", "Disabled")

# Names and values as server makers use them (Dell, HPE and Lenovo trees); the first value is the default.
REGISTRY: tuple[Attribute, ...] = (
    _choice("BootMode", "Boot Mode", "Uefi", "Bios"),
    _choice("ProcVirtualization", "Virtualization Technology", *_ON_OFF),
    _choice("LogicalProc", "Logical Processor", *_ON_OFF),
    _choice("SriovGlobalEnable", "SR-IOV Global Enable", "Disabled", "Enabled"),
    _choice("SysProfile", "System Profile", "PerfPerWattOptimizedDapc", "PerfOptimized", "Custom"),
    _choice("AcPwrRcvry", "AC Power Recovery", "Last", "On", "Off"),
    Attribute(
        "AcPwrRcvryDelay",
        AttributeType.INTEGER,
        60,
        "AC Power Recovery Delay",
        lower=0,
        upper=600,
        locked_while=("AcPwrRcvry", "Off"),  # as iDRAC's registry has it (AcPwrRcvryUserDelay)
    ),
    Attribute("QuietBoot", AttributeType.BOOLEAN, True, "Quiet Boot"),
    Attribute("AssetTag", AttributeType.STRING, "", "Asset Tag", lower=0, upper=63),
    Attribute("SystemMemorySize", AttributeType.STRING, "256 GB", "System Memory Size", upper=31, read_only=True),
)


class BiosSettings:
    """The attributes of one machine: those in force, and those that wait for the next POST.

    Only what differs from the registry's defaults is held, for racks of many thousand nodes.
    """

    __slots__ = ("_pending", "_set", "registry")

    def __init__(self, registry: Mapping[str, Attribute]) -> None:
        self.registry = registry
        self._set: dict[str, AttributeValue] = {}
        self._pending: dict[str, AttributeValue] = {}

    @property
    def current(self) -> dict[str, AttributeValue]:
        """Every attribute's value in force."""
        return {name: self._set.get(name, attribute.default) for name, attribute in self.registry.items()}

    @property
    def pending(self) -> dict[str, AttributeValue]:
        """The values that wait for the next POST."""
        return dict(self._pending)

    def stage(self, wanted: Mapping[str, AttributeValue]) -> None:
        """Let *wanted* wait for the next POST, all of it or, when one value is wrong, nothing.

        Raises:
            LabRefusal: an attribute is unknown, read-only or of a wrong value.
        """
        for name, value in wanted.items():
            attribute = self.registry.get(name)
            if attribute is None:
                raise LabRefusal(400, f"there is no attribute {name}", message_id="Base.1.18.PropertyUnknown")
            if attribute.read_only:
                raise LabRefusal(400, f"{name} is read-only", message_id="Base.1.18.PropertyNotWritable")
            if attribute.locked_while is not None:
                other, locking = attribute.locked_while
                if {**self.current, **self._pending, **wanted}[other] == locking:
                    raise LabRefusal(
                        400,
                        f"{name} is read-only while {other} is {locking}",
                        message_id="Base.1.18.PropertyNotWritable",
                    )
            if objection := attribute.objection(value):
                raise LabRefusal(
                    400, f"{value!r} for {name} {objection}", message_id="Base.1.18.PropertyValueNotInList"
                )
        self._pending.update(wanted)

    def stage_defaults(self) -> None:
        """Let every writable attribute's default wait for the next POST; what waited before is dropped."""
        self._pending = {name: a.default for name, a in self.registry.items() if not a.read_only}

    def apply(self) -> bool:
        """Put what waits in force, as POST does; return whether anything waited."""
        waited = bool(self._pending)
        self._set.update(self._pending)
        self._pending.clear()
        return waited
