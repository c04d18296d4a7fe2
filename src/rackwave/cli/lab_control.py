"""The lab's control interface as its users see it: the truth, and the faults."""

from __future__ import annotations

from typing import Any

import requests

from ..errors import StateError


class LabControl:
    """The lab's control interface: the truth, and the faults."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business on loopback

    def truth(self) -> dict[str, Any]:
        """What really happened so far."""
        return self._ask("GET", "/truth")

    def images_taken(self) -> int:
        """How many images the BMCs accepted so far."""
        return sum(len(node["writes"]) for node in self.truth()["nodes"].values())

    def inject(self, node: str, fault: dict[str, Any]) -> None:
        """Arm *fault* on *node*."""
        self._ask("POST", f"/nodes/{node}/faults", fault)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._session.request(method, f"{self._url}{path}", json=body, timeout=30)
        except requests.RequestException as error:
            raise StateError(f"the lab does not answer: {error}", advice="It ended; start it again.") from error
        if not response.ok:
            raise StateError(f"the lab answered {response.status_code}: {response.text[:500]}")
        found: dict[str, Any] = response.json()
        return found
