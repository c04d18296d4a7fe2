"""What was learned of makes while we worked with them; shared by all BMCs of one process.

Whether a service shows, in its inventory, the image that waits for a reset cannot be told while none
waits. It is looked for once for each make and component, just after a write of ours; from then on a
member that is missing means on every machine of that make that nothing waits.
"""

from __future__ import annotations

from ...core.identity import ComponentName
from .make import Make


class Habits:
    """Which makes show what waits, by component."""

    def __init__(self) -> None:
        self._shows_staged: dict[tuple[str, ...], bool] = {}

    def shows_staged(self, make: Make, component: ComponentName) -> bool | None:
        """Whether *make* shows what waits in *component*; None: nobody looked yet while something did."""
        return self._shows_staged.get(_key(make, component))

    def learn(self, make: Make, component: ComponentName, *, shows_staged: bool) -> None:
        """Note it. That it was shown once is never forgotten."""
        key = _key(make, component)
        self._shows_staged[key] = shows_staged or self._shows_staged.get(key, False)


def _key(make: Make, component: ComponentName) -> tuple[str, ...]:
    facts = make.facts
    return (*(facts.vendor or ()), facts.product or "", facts.model or "", component)
