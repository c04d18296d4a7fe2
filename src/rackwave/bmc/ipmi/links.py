"""Which backend carries a node's IPMI: python-ipmi, or ipmitool where that cannot."""

from __future__ import annotations

import shutil
from typing import Literal, TypeAlias

from ...errors import BmcUnreachableError, UsageError
from ...ports import Credentials
from .endpoint import Endpoint
from .link import READ, SUITES, Link, Patience

Backend: TypeAlias = Literal["auto", "native", "ipmitool"]


class LazyLink:
    """A link that chooses its backend when it is first opened, in the thread that opens it.

    Of thousands of nodes few are ever driven over IPMI, and the import of python-ipmi takes a tenth of a second.

    Args:
        node: the node's name, for messages.
        endpoint: where the BMC listens.
        suites: the cipher suites that may be used, best first.
        backend: ``native`` (python-ipmi), ``ipmitool``, or ``auto``: the first that is installed.

    Raises:
        UsageError: a cipher suite that is none of ours.
    """

    def __init__(
        self, node: str, endpoint: Endpoint, *, suites: tuple[int, ...] = SUITES, backend: Backend = "auto"
    ) -> None:
        if not suites or not set(suites) <= set(SUITES):
            raise UsageError(
                f"{node}: cipher suites {', '.join(map(str, suites)) or 'none'} cannot be used",
                advice=f"Use {' or '.join(map(str, SUITES))}: no other authenticates, signs and encrypts.",
            )
        self._node = node
        self._endpoint = endpoint
        self._suites = suites
        self._backend = backend
        self._link: Link | None = None

    @property
    def holds_session(self) -> bool:
        """Whether commands share one session (`Link.holds_session`)."""
        return self._link is not None and self._link.holds_session

    def open(self, credentials: Credentials) -> None:
        """Log in (`Link.open`)."""
        if self._link is None:
            self._link = self._choose()
        self._link.open(credentials)

    def raw(self, netfn: int, command: int, data: bytes = b"", *, lun: int = 0, patience: Patience = READ) -> bytes:
        """Send a command (`Link.raw`)."""
        if self._link is None:
            raise BmcUnreachableError(f"{self._node}: there is no session", node=self._node)
        return self._link.raw(netfn, command, data, lun=lun, patience=patience)

    def close(self) -> None:
        """End the session (`Link.close`)."""
        if self._link is not None:
            self._link.close()

    def _choose(self) -> Link:
        if self._backend != "ipmitool":
            try:
                from .native import NativeLink
            except ImportError as error:
                if self._backend == "native":
                    message = f"{self._node}: python-ipmi cannot be imported: {error}"
                    advice = "Install python-ipmi 0.6.1 or later."
                    raise BmcUnreachableError(message, node=self._node, advice=advice) from error
            else:
                return NativeLink(self._node, self._endpoint, suites=self._suites)
        from .ipmitool import IpmitoolLink

        program = shutil.which("ipmitool")
        if program is None:
            raise BmcUnreachableError(
                f"{self._node}: nothing is installed here that speaks IPMI",
                node=self._node,
                advice="Install python-ipmi 0.6.1 or later, or ipmitool.",
            )
        return IpmitoolLink(self._node, self._endpoint, suites=self._suites, program=program)
