"""PATCH of a resource whose ETag some services insist on, and some compare in ways of their own (P28).

Plain resources are patched without If-Match. Where that is answered with 428 or 412, the request was not
carried out, so it is sent again with the ETag in the forms that services are known to compare; never with
``*``. The form that a service took is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ...core.receipt import Receipt, Refused
from ...ports import Clock
from . import receipts
from .answer import Answer
from .resources import Service
from .session import Session

ETAG_FORMS: tuple[Callable[[str], str], ...] = (
    lambda etag: etag,
    lambda etag: etag.removeprefix("W/"),  # weak on reading, compared strongly
    lambda etag: etag.removeprefix("W/").strip('"'),  # quoted on reading, compared bare
    lambda etag: '"' + etag.removeprefix("W/").strip('"') + '"',  # the reverse
    lambda etag: etag.replace("-gzip", ""),  # a front end's suffix that the service does not know
)

_WANTS_ETAG = (412, 428)


class Patcher:
    """Patches the resources of one service."""

    def __init__(self, session: Session, service: Service, clock: Clock) -> None:
        self._session = session
        self._service = service
        self._clock = clock
        self._form = 0
        self._wants_etag = False

    async def guarded(self, uri: str, body: Mapping[str, object], etag: str | None, *, way: str) -> Receipt:
        """Patch *uri* only as it was when *etag* was read: somebody else may be at work on it.

        Raises:
            NodeError: as `Session.act`.
        """
        for number, form in self._forms(etag):
            answer = await self._session.act("PATCH", uri, body, headers={"If-Match": form} if form else None)
            if answer.status != 412:
                return self._judged(answer, number, way)
            if (await self._service.get(uri)).etag != etag:
                return Refused("the settings were changed by somebody else in between", retry_after=0.0)
        return Refused("the BMC matches its settings' ETag in no form that we know (HTTP 412)")

    async def plain(self, uri: str, body: Mapping[str, object], *, way: str) -> Receipt:
        """Patch *uri*, whose other properties may change meanwhile: a system's ETag does so by itself.

        Raises:
            NodeError: as `Session.act`.
        """
        if not self._wants_etag:
            answer = await self._session.act("PATCH", uri, body)
            if answer.status not in _WANTS_ETAG:
                return receipts.of_answer(answer, way=way, now=self._clock.now())
        self._wants_etag = True
        etag = (await self._service.get(uri)).etag
        for number, form in self._forms(etag):
            answer = await self._session.act("PATCH", uri, body, headers={"If-Match": form} if form else None)
            if answer.status != 412:
                return self._judged(answer, number, way)
        return Refused("the BMC matches its ETag in no form that we know (HTTP 412)")

    def _judged(self, answer: Answer, number: int, way: str) -> Receipt:
        if answer.ok:
            self._form = number
        return receipts.of_answer(answer, way=way, now=self._clock.now())

    def _forms(self, etag: str | None) -> Iterator[tuple[int, str | None]]:
        """The distinct forms of *etag*, numbered, beginning with the one that this service took last time."""
        return iter(etag_forms(etag, self._form)) if etag else iter([(0, None)])


def etag_forms(etag: str, first: int) -> list[tuple[int, str | None]]:
    """The distinct forms of *etag* by number, *first* first."""
    order = [first, *(number for number in range(len(ETAG_FORMS)) if number != first)]
    found: dict[str, int] = {}
    for number in order:
        found.setdefault(ETAG_FORMS[number](etag), number)
    return [(number, form) for form, number in found.items()]
