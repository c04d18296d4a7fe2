"""What an emulated BMC says no with."""

from __future__ import annotations

from rackwave.errors import RackwaveError


class LabRefusal(RackwaveError):  # noqa: N818 - it is an answer, not a failure of the lab
    """The emulated BMC understood the request and refuses it; ``status`` is the HTTP status it answers."""

    def __init__(self, status: int, message: str, *, message_id: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message_id = message_id or "Base.1.18.GeneralError"
        self.retry_after = retry_after
