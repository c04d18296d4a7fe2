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
        return self._answer(self._session.get(f"{self._url}/truth", timeout=30))

    def images_taken(self) -> int:
        """How many images the BMCs accepted so far."""
        return sum(len(node["writes"]) for node in self.truth()["nodes"].values())

    def inject(self, node: str, fault: dict[str, Any]) -> None:
        """Arm *fault* on *node*."""
        self._answer(self._session.post(f"{self._url}/nodes/{node}/faults", json=fault, timeout=30))

    @staticmethod
    def _answer(response: requests.Response) -> dict[str, Any]:
        if not response.ok:
            raise StateError(f"the lab answered {response.status_code}: {response.text[:500]}")
        found: dict[str, Any] = response.json()
        return found
