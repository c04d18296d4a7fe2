"""Keeps racks of unlike machines in a known, validated state.

Everything a script needs stands in ``__all__``. Names are looked up when they are first used:
``import rackwave`` alone loads only ``rackwave.errors``, since the image server's child process and
``rackwave --help`` pass through here too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import (
    BmcAmbiguousError,
    BmcAnswerError,
    BmcCertificateError,
    BmcLoginError,
    BmcRefusedError,
    BmcUnreachableError,
    BundleError,
    BundleNotFoundError,
    DigestMismatchError,
    InventoryError,
    LeaseError,
    ManifestError,
    NodeError,
    PlanRefusedError,
    PolicyError,
    RackwaveError,
    SecretError,
    StateError,
    TrustError,
    UsageError,
)

if TYPE_CHECKING:
    from .automation import Automation
    from .central import CentralAutomationSystem, LiveNode
    from .core.drift import Drift
    from .core.event import Recorded
    from .core.forecast import Forecast
    from .core.identity import BundleId, Lineage, NodeName
    from .core.observation import Look, Observation
    from .core.odds import Odds
    from .core.policy import Policy
    from .core.report import NodeStatus, RackPlan, RolloutReport
    from .core.stand_in import Pace

__all__ = [
    "Automation",
    "BmcAmbiguousError",
    "BmcAnswerError",
    "BmcCertificateError",
    "BmcLoginError",
    "BmcRefusedError",
    "BmcUnreachableError",
    "BundleError",
    "BundleId",
    "BundleNotFoundError",
    "CentralAutomationSystem",
    "DigestMismatchError",
    "Drift",
    "Forecast",
    "InventoryError",
    "LeaseError",
    "Lineage",
    "LiveNode",
    "Look",
    "ManifestError",
    "NodeError",
    "NodeName",
    "NodeStatus",
    "Observation",
    "Odds",
    "Pace",
    "PlanRefusedError",
    "Policy",
    "PolicyError",
    "RackPlan",
    "RackwaveError",
    "Recorded",
    "RolloutReport",
    "SecretError",
    "StateError",
    "TrustError",
    "UsageError",
    "errors",
]

_HOMES = {
    "Automation": "automation",
    "BundleId": "core.identity",
    "CentralAutomationSystem": "central",
    "Drift": "core.drift",
    "Forecast": "core.forecast",
    "Lineage": "core.identity",
    "LiveNode": "central",
    "Look": "core.observation",
    "NodeName": "core.identity",
    "NodeStatus": "core.report",
    "Observation": "core.observation",
    "Odds": "core.odds",
    "Pace": "core.stand_in",
    "Policy": "core.policy",
    "RackPlan": "core.report",
    "Recorded": "core.event",
    "RolloutReport": "core.report",
}
"""Where the names that are not imported above live."""


def __getattr__(name: str) -> Any:
    """Import what is asked for, once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
