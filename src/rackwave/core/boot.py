"""From what a host boots next, and whether it boots only what is signed."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from .observation import Unknown


class Lasting(StrEnum):
    """For how long a boot override holds."""

    NEVER = "disabled"
    ONCE = "once"
    ALWAYS = "continuous"


class BootMode(StrEnum):
    """Which firmware interface the host boots by."""

    UEFI = "uefi"
    LEGACY = "legacy"


@frozen
class BootOverride:
    """What overrides the boot order. *target* is the service's own word (``Pxe``, ``Cd``, ``BiosSetup`` …)."""

    target: str
    lasting: Lasting = Lasting.ONCE
    mode: BootMode | None = None


@frozen
class BootSetting:
    """What was read: the override in force, and the targets that the service takes (None: it does not say)."""

    override: BootOverride | Unknown
    targets: tuple[str, ...] | None = None


@frozen
class SecureBoot:
    """Secure boot. *enabled* is for the next boot, *active* of the present one; *mode* as UEFI calls it."""

    enabled: bool | Unknown
    active: bool | Unknown
    mode: str | Unknown
    key_resets: tuple[str, ...] = ()
    """The words that reset its keys; empty where they cannot be reset."""
