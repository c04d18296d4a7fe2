"""From what a host boots, and whether only what is signed: what waits for the next boot, and what ended with one."""

from __future__ import annotations

from typing import Any

from .refusal import LabRefusal

TARGETS = ("None", "Pxe", "Cd", "Usb", "Hdd", "BiosSetup", "UefiHttp")
MODES = ("UEFI", "Legacy")
LASTING = ("Disabled", "Once", "Continuous")
KEY_RESETS = ("ResetAllKeysToDefault", "DeleteAllKeys", "DeletePK")


class BootSettings:
    """One host's. *resets* is how often the host has been reset so far: another boot shows by it."""

    __slots__ = ("_active", "_enabled", "_lasting", "_mode", "_since", "_switched", "_target", "keys")

    def __init__(self) -> None:
        self._target, self._lasting, self._mode, self._since = "None", "Disabled", "UEFI", 0
        self._enabled = self._active = False
        self._switched = 0
        self.keys = "UserMode"
        """UEFI's SecureBootMode."""

    def override(self, wanted: dict[str, Any], resets: int) -> None:
        """Take what is given of a Boot object, all of it or, when one word is wrong, nothing.

        Raises:
            LabRefusal: a word is none that this BMC takes.
        """
        told = self.boot(resets)
        for name, words in (("Target", TARGETS), ("Enabled", LASTING), ("Mode", MODES)):
            value = wanted.get(f"BootSourceOverride{name}", told[f"BootSourceOverride{name}"])
            if value not in words:
                raise LabRefusal(
                    400,
                    f"BootSourceOverride{name} must be one of {', '.join(words)}",
                    message_id="Base.1.18.PropertyValueNotInList",
                )
            told[f"BootSourceOverride{name}"] = value
        self._target, self._mode = told["BootSourceOverrideTarget"], told["BootSourceOverrideMode"]
        lasts = told["BootSourceOverrideEnabled"]
        # A target alone is meant to be booted from, as the stock service takes it.
        if self._target != "None" and lasts == "Disabled" and "BootSourceOverrideEnabled" not in wanted:
            lasts = "Continuous"
        self._lasting = "Disabled" if self._target == "None" else lasts
        self._since = resets

    def boot(self, resets: int) -> dict[str, Any]:
        """Return the Boot object; an override for one boot has ended with it."""
        if self._lasting == "Once" and resets > self._since:
            self._lasting = "Disabled"
        if self._lasting == "Disabled":
            self._target = "None"
        return {
            "BootSourceOverrideEnabled": self._lasting,
            "BootSourceOverrideTarget": self._target,
            "BootSourceOverrideMode": self._mode,
        }

    def secure(self, resets: int) -> tuple[bool, bool]:
        """Return whether secure boot is enabled for the next boot, and whether it is active in this one."""
        if resets > self._switched:
            self._active = self._enabled and self.keys == "UserMode"
        return self._enabled, self._active

    def switch_secure(self, resets: int, *, enabled: bool) -> None:
        """Switch secure boot for the next boot."""
        self.secure(resets)
        self._enabled, self._switched = enabled, resets

    def reset_keys(self, how: str) -> None:
        """Reset its keys.

        Raises:
            LabRefusal: there is no such way to.
        """
        if how not in KEY_RESETS:
            raise LabRefusal(400, f"ResetKeysType must be one of {', '.join(KEY_RESETS)}")
        self.keys = "UserMode" if how == "ResetAllKeysToDefault" else "SetupMode"
