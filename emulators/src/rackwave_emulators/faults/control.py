"""What others who control the same machine do to it."""

from __future__ import annotations

from attrs import field, frozen, validators

from .fault import Fault, Label


@frozen(kw_only=True)
class RogueWriter(Fault):
    """Somebody else, who knows nothing of us, has the BMC write *version* to *component*.

    *resets*: and restarts the host when that is done. It is refused where the BMC refuses a second write,
    like any other.
    """

    id = "rogue-writer"
    story = "a second controller flashes the node too"
    label = Label.CONTROL
    pathologies = ("P50",)
    acts = True

    component: str = field(default="BIOS", validator=validators.min_len(1))
    version: str = field(default="6.6.6", validator=validators.min_len(1))
    resets: bool = False
