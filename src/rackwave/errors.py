"""Every error rackwave raises, in one shallow tree sorted by who must act.

The first argument is the sentence the operator reads; ``advice`` says what to try next. Facts
(``node``, ``component``, ``expected``, ``found``, …) are attributes, never only words.
"""

from __future__ import annotations


class RackwaveError(Exception):
    """Something went wrong that rackwave understands; the message says what and what to try."""

    advice: str = ""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        if advice:
            self.advice = advice

    @property
    def whole(self) -> str:
        """What happened and what to try next, in one text: for the cell of a table, or a line of the journal."""
        said = str(self)
        return f"{said}{'' if said.endswith('.') else '.'} {self.advice}" if self.advice else said


# -- the operator must act ------------------------------------------------------------------


class UsageError(RackwaveError):
    """What was asked for makes no sense as asked: a flag, a name, a range."""


class InventoryError(RackwaveError):
    """The inventory cannot be used: a missing field, two nodes of one name, an unknown key."""


class SecretError(RackwaveError):
    """A reference to credentials did not resolve. The reference is named, never its value."""


class QuirkError(RackwaveError):
    """A record of what a make of BMC does differently cannot be used: its file is named."""


class HookError(RackwaveError):
    """A command that the inventory names (a drain hook, an outlet) could not be run, or did not end in time.

    *started* is False where it provably did nothing.
    """

    def __init__(self, message: str, *, advice: str = "", started: bool = True) -> None:
        super().__init__(message, advice=advice)
        self.started = started


# -- the bundle's publisher must act --------------------------------------------------------


class BundleError(RackwaveError):
    """A bundle, or the source of one, is not usable as it is."""


class ManifestError(BundleError):
    """A manifest or bundle source has a missing, unknown-typed or contradictory field."""


class PackageFormatError(BundleError):
    """A file of firmware cannot be read: damaged, cut short, made to do harm, or in a form that is not supported.

    *file* is its name, *field* the part of it that is wrong, *offset* where that stands, in bytes (None: nowhere).
    """

    def __init__(self, problem: str, *, file: str, field: str, offset: int | None = None, advice: str = "") -> None:
        where = field if offset is None else f"{field} at byte {offset}"
        super().__init__(f"{file}: {where}: {problem}", advice=advice)
        self.file = file
        self.field = field
        self.offset = offset


class BundleNotFoundError(BundleError):
    """No such bundle in the repository."""


class DigestMismatchError(BundleError):
    """Stored bytes are not the bytes that were named: damaged or tampered with."""

    advice = "Run 'rackwave bundle verify' and publish the bundle again from its source."

    def __init__(self, message: str, *, expected: str, found: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.expected = expected
        self.found = found


class FeedError(BundleError):
    """A feed of releases cannot be read, or what it lists cannot be had: down, damaged, not what it says."""

    def __init__(self, message: str, *, feed: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.feed = feed


class TrustError(BundleError):
    """A bundle is unsigned, signed by a key that may not sign it, or altered after signing."""


# -- a registry must be looked at -----------------------------------------------------------


class RegistryError(RackwaveError):
    """A registry of bundles cannot be used as asked; ``registry`` names it."""

    def __init__(self, message: str, *, registry: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.registry = registry


class RegistryUnreachableError(RegistryError):
    """The registry did not answer, or not to the end: no route, connection lost, deadline passed."""

    advice = "Check the address and the network, then run the command again: what has arrived is not fetched again."


class RegistryCertificateError(RegistryError):
    """The registry's certificate is not one we trust. Nothing was sent to it."""

    advice = "Name the CA that signed it with --ca; verification is never dropped by itself."


class RegistryLoginError(RegistryError):
    """The registry wants a login, or does not accept the one that was given."""

    advice = "Name credentials that may do this with --credentials env:PREFIX or file:/path/credentials.toml."


class RegistryRefusedError(RegistryError):
    """The registry understood and said no; ``status`` is its word for it."""

    def __init__(self, message: str, *, registry: str, status: int, advice: str = "") -> None:
        super().__init__(message, registry=registry, advice=advice)
        self.status = status


class RegistryAnswerError(RegistryError):
    """The registry answered what cannot be true, or what would lead us elsewhere. Nothing of it was kept."""

    advice = "Do not use this registry until somebody has found out why it, or a proxy before it, answers so."


# -- a node or its BMC must be looked at ----------------------------------------------------


class NodeError(RackwaveError):
    """Something is wrong with one node; ``node`` names it."""

    def __init__(self, message: str, *, node: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.node = node


class BmcUnreachableError(NodeError):
    """The BMC did not answer: no route, connection refused, TLS failed or deadline passed."""

    advice = "Check the address, the cable and the BMC's power; 'rackwave doctor' tries each step."


class BmcLoginError(NodeError):
    """The BMC refused the credentials. Not tried again: a few more tries may lock the account (P34)."""

    advice = "Check the credentials that the inventory refers to for this node."


class BmcCertificateError(NodeError):
    """The BMC's certificate is not one we trust (P32)."""

    advice = "Name the CA that signed it ('ca' in the inventory); verification is never dropped by itself."


class BmcKeyChangedError(BmcCertificateError):
    """The BMC shows another key than the pinned one (P32). Nothing was sent to it."""

    def __init__(self, message: str, *, node: str, expected: str, found: str, advice: str = "") -> None:
        super().__init__(message, node=node, advice=advice)
        self.expected = expected
        self.found = found


class BmcRefusedError(NodeError):
    """The BMC answered with an error status: it understood and said no."""

    def __init__(
        self, message: str, *, node: str, status: int, retry_after: float | None = None, advice: str = ""
    ) -> None:
        super().__init__(message, node=node, advice=advice)
        self.status = status
        self.retry_after = retry_after


class BmcAnswerError(NodeError):
    """The BMC answered, but with something that cannot be read: no JSON, a wrong type, too large."""


class BmcAmbiguousError(NodeError):
    """A request that changes something was sent and no answer came: it may or may not have acted (P12)."""

    def __init__(self, message: str, *, node: str, body_complete: bool = True, advice: str = "") -> None:
        super().__init__(message, node=node, advice=advice)
        self.body_complete = body_complete


# -- policy says no -------------------------------------------------------------------------


class PolicyError(RackwaveError):
    """Allowed by the machines, refused by policy."""


class PlanRefusedError(PolicyError):
    """The plan cannot be carried out as asked; ``reasons`` lists every refusal."""

    def __init__(self, message: str, *, reasons: tuple[str, ...] = (), advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.reasons = reasons


class PlanStaleError(PlanRefusedError):
    """The rack is not any more as a plan that was reviewed found it; ``reasons`` say what moved."""


class LeaseError(PolicyError):
    """Another orchestrator holds the node, or took it over from us."""

    advice = "See who holds it with 'rackwave status'; a crashed holder's lease runs out by itself."


# -- the machine we run on must be looked at ------------------------------------------------


class StateError(RackwaveError):
    """Our own state on disk cannot be used: damaged, newer than this version, on a network file system."""
