"""How we behave towards BMCs, whatever is rolled out."""

from __future__ import annotations

from typing import get_args

from attrs import frozen

from ..errors import UsageError
from .repin import Repin


@frozen(kw_only=True)
class AccessPolicy:
    """The knobs of the way to the BMCs.

    Attributes:
        in_flight: Requests under way at a time to the BMCs of one make at one site, at most; how many it
            really bears is found out (bmc/throttle.py). A turn makes one at a time and 500 turns are in flight
            at most, so that 500 holds nobody back. Lower it for a site behind a thin line: a request of 10 KiB
            each 0.2 s takes 50 KiB/s.
        repin: Whether a BMC that we have just written may come back with another key (core/repin.py).
    """

    in_flight: int = 500
    repin: Repin = "after-our-write"

    def __attrs_post_init__(self) -> None:
        if isinstance(self.in_flight, bool) or not isinstance(self.in_flight, int) or not 1 <= self.in_flight <= 10_000:
            raise UsageError(f"in_flight is {self.in_flight!r}", advice="It takes a whole number from 1 to 10000.")
        if self.repin not in get_args(Repin):
            raise UsageError(f"repin is {self.repin!r}", advice=f"Choose one of {', '.join(get_args(Repin))}.")
