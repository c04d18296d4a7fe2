"""What happens to an image on its way, while it is written, and when it should begin to run."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from attrs import field, frozen

from .fault import ComponentFault, Fault, Label, Occasion, RequestFault, duration, percentage, refusing_status

WITHOUT_RANGES = "GET whole"
"""The method of an occasion at which a BMC has found that the image's server sends no ranges."""


class Leaves(StrEnum):
    """What a failed flash leaves behind: the old image, one that does not boot, one whose version cannot be read."""

    OLD = "old"
    CORRUPT = "corrupt"
    UNKNOWN = "unknown"


class FetchTrouble(StrEnum):
    """Why a BMC cannot fetch an image.

    The connection is lost; there is no route (nothing is sent); TLS is refused (nothing is asked for);
    the URL does not end in *extension*; it has a query; the server ignores Range.
    """

    LOST = "lost"
    NO_ROUTE = "no-route"
    TLS = "tls"
    EXTENSION = "extension"
    QUERY = "query"
    RANGE = "range"


class MendedBy(StrEnum):
    """What mends a broken link between BIOS and BMC: a restart of the BMC, or only the loss of AC power."""

    BMC_RESET = "bmc-reset"
    AC = "ac"


@frozen(kw_only=True)
class FlashFails(ComponentFault):
    """The write breaks off at *percent*: Exception, Critical."""

    id = "flash-fails"
    story = "the next flash fails at a percentage and leaves the old, a corrupt or an unreadable image"
    label = Label.MACHINE

    percent: int = field(default=40, validator=percentage)
    leaves: Leaves = Leaves.OLD


@frozen(kw_only=True)
class FetchFails(Fault):
    """The image never arrives, *because* of one of the reasons there are."""

    id = "fetch-fails"
    story = "the BMC cannot fetch the image: no route, TLS refused, extension, query, no ranges, connection lost"
    label = Label.WIRE
    pathologies = ("P20",)

    because: FetchTrouble = FetchTrouble.LOST
    extension: str = ".bin"

    def fits(self, occasion: Occasion) -> bool:
        """Whether it strikes: when the image has arrived, or is about to be fetched (method ``GET``) from a URL."""
        match self.because:
            case FetchTrouble.LOST:
                return not occasion.method
            case FetchTrouble.NO_ROUTE | FetchTrouble.TLS:
                return bool(occasion.method)
            case FetchTrouble.EXTENSION:
                return bool(occasion.method) and not occasion.path.partition("?")[0].endswith(self.extension)
            case FetchTrouble.QUERY:
                return "?" in occasion.path
            case FetchTrouble.RANGE:
                return occasion.method == WITHOUT_RANGES
            case unknown:
                assert_never(unknown)


@frozen(kw_only=True)
class ChunkedRefused(Fault):
    """An upload without Content-Length is refused with *status*."""

    id = "chunked-refused"
    story = "chunked uploads are refused; Content-Length is needed"
    label = Label.WIRE
    pathologies = ("P13",)

    count: int | None = None
    status: int = field(default=411, validator=refusing_status)


@frozen(kw_only=True)
class RebootsUnasked(ComponentFault):
    """*seconds* after an image is written the BMC resets the host, asked by nobody."""

    id = "reboots-unasked"
    story = "the update reboots the host unasked"
    label = Label.MACHINE
    pathologies = ("P14",)

    seconds: float = field(default=1.0, validator=duration)


@frozen(kw_only=True)
class LinkBreaks(Fault):
    """A host reset within *seconds* of an image's arrival breaks the BIOS-BMC link.

    From then on the BMC can tell neither versions of what hangs on the host nor POST, and staged images
    are not applied, until it is mended.
    """

    id = "link-breaks"
    story = "a power cycle too soon after the upload breaks the BIOS-BMC link"
    label = Label.MACHINE
    pathologies = ("P15",)

    seconds: float = field(default=120.0, validator=duration)
    mended_by: MendedBy = MendedBy.BMC_RESET


@frozen(kw_only=True)
class CompletedUnapplied(ComponentFault):
    """The task says Completed, the activating reset passes, the version stays."""

    id = "completed-unapplied"
    story = "the update reports success and the version never changes"
    label = Label.MACHINE
    pathologies = ("P07", "P16")


@frozen(kw_only=True)
class ErrorThoughApplied(ComponentFault):
    """The task ends in Exception, Critical; the image is staged all the same, and runs after its reset."""

    id = "error-though-applied"
    story = "the update reports an error and the version changes all the same"
    label = Label.MACHINE
    pathologies = ("P16",)


@frozen(kw_only=True)
class StagedOnly(ComponentFault):
    """Completed means staged: whatever the component's habit, the image runs only after a host reset.

    *hidden*: the inventory does not tell that an image waits.
    """

    id = "staged-only"
    story = "Completed means staged, reboot pending: nothing is applied until a reset"
    label = Label.MACHINE
    pathologies = ("P07",)

    hidden: bool = False


@frozen(kw_only=True)
class SteppingStones(ComponentFault):
    """An image that leaves out one of the *versions* between it and the installed one is refused."""

    id = "stepping-stones"
    story = "a direct jump is refused; stepping-stone versions are needed"
    label = Label.MACHINE
    pathologies = ("P17",)

    count: int | None = None
    versions: str = "1.0.0 2.0.0 3.0.0"


@frozen(kw_only=True)
class LicenceMissing(RequestFault):
    """Updates and settings are refused with 403: the feature needs a licence. *path* narrows it to a part of them."""

    id = "licence-missing"
    story = "403: the feature needs a licence"
    label = Label.MACHINE
    pathologies = ("P18",)

    count: int | None = None
    method: str = "*"


@frozen(kw_only=True)
class NeedsAcCycle(ComponentFault):
    """The next image runs only after the loss of AC power, whatever other resets there are."""

    id = "needs-ac-cycle"
    story = "an image runs only after an AC drain, which may not cut power on twin chassis"
    label = Label.MACHINE
    pathologies = ("P37",)

    component: str = "BIOS"
