"""A BMC's IPMI session as the rest of the adapter sees it: commands on the loop, one at a time.

Rules:

- Nobody is logged in to whom the BMC does not answer: presence is asked first, on the loop.
- A refused login is final (P34): it is remembered with the credentials that were refused, here and in the
  `LoginMemory` for later processes, and nothing is sent again until the credentials differ. It says nothing
  of Redfish: an account may be let in by one protocol alone.
- A read that is not answered is asked again in a new session, once: a BMC that has forgotten a session is
  silent to it (P31). What acts is sent once, right after a read that showed the session to be alive.
- Sessions live for a minute on BMCs without use. One that we have not used for some time is ended and
  opened anew. What a killed run left ends by itself, so that no journal needs to know of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from attrs import frozen

from ...errors import BmcAmbiguousError, BmcAnswerError, BmcLoginError, BmcRefusedError, BmcUnreachableError
from ...permit import ask_permit
from ...ports import Clock, Credentials, LoginMemory
from . import completion, presence
from .endpoint import Endpoint
from .link import ONCE, READ, Link, Patience, why_unfit
from .presence import Presence
from .threads import Threads

IDLE = 40.0
"""Seconds without use after which a session is not trusted any more; BMCs end theirs after 60 (6.12.15)."""

ENDED = 63.0
"""Seconds without use after which a BMC has ended a session: 60, and 3 either way (6.12.15). It is not asked to end it
then, for in a session that is gone nothing is answered, which costs a second; the next one ends it where it lives."""

_BUSY_TRIES = 5
_BUSY_WAIT = 0.5  # seconds; node busy (C0h) passes within one

Result = TypeVar("Result")


@frozen
class Command:
    """A command of the specification; *name* is for messages."""

    netfn: int
    number: int
    name: str


GET_DEVICE_ID = Command(0x06, 0x01, "Get Device ID")


class Session:
    """Commands to one BMC."""

    def __init__(
        self,
        node: str,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials],
        *,
        clock: Clock,
        threads: Threads,
        link: Link,
        is_there: Presence = presence.answers,
        memory: LoginMemory | None = None,
    ) -> None:
        self.node = node
        self.endpoint = endpoint
        self.generation = 0
        """How many sessions there were: what was read in an earlier one may have changed since."""
        self._credentials = credentials
        self._clock = clock
        self._threads = threads
        self._link = link
        self._is_there = is_there
        self._memory = memory
        self._one = asyncio.Lock()
        self._open = False
        self._used = 0.0
        self._refused: tuple[Credentials, BmcLoginError] | None = None

    @property
    def is_open(self) -> bool:
        """Whether we believe to have a session."""
        return self._open

    async def ask(self, command: Command, data: bytes = b"", *, least: int = 0) -> bytes:
        """Read: return what is told after the completion code, at least *least* bytes.

        Raises:
            BmcRefusedError: another completion code than 00h; it is the ``status``.
            BmcUnreachableError: no answer, in a new session either.
            BmcAnswerError: too short, or nonsense.
            BmcLoginError: as `Link.open`.
        """
        answer = await self.answer(command, data)
        if answer[0] != completion.OK:
            raise self.refusal(command, answer[0])
        if len(answer) - 1 < least:
            message = f"{self.node}: the answer to {command.name} has {len(answer) - 1} bytes, not {least}"
            raise BmcAnswerError(message, node=self.node)
        return answer[1:]

    async def answer(self, command: Command, data: bytes = b"", *, patience: Patience = READ) -> bytes:
        """As `ask`, with the completion code, whatever it is; a busy BMC is asked again."""
        async with self._one:
            for _ in range(_BUSY_TRIES):
                answer = await self._read(command, data, patience)
                if answer[0] != completion.BUSY:
                    break
                await self._clock.sleep(_BUSY_WAIT)
            return answer

    async def act(self, command: Command, data: bytes = b"", *, patience: Patience = ONCE) -> int:
        """Send what changes something, once, and return the completion code.

        Raises:
            BmcAmbiguousError: sent, and not answered.
            NodeError: not sent; as `ask`.
        """
        async with self._one:
            await self._read(GET_DEVICE_ID, b"", READ)
            await ask_permit()
            try:
                return (await self._send(command, data, patience))[0]
            except BmcAnswerError as error:  # it was sent, and whatever came back proves nothing
                raise BmcAmbiguousError(str(error), node=self.node) from error

    async def burst(self, work: Callable[[Link], Result]) -> Result:
        """Run *work*, which is to take a fraction of a second, on the open session in one thread.

        Raises:
            BmcAmbiguousError: a command of it was not answered; the next call opens a new session.
        """
        async with self._one:
            await self._opened()
            await ask_permit()
            return await self._on_link(partial(work, self._link))

    async def still_lives(self) -> bool | None:
        """Whether the session that is open now still is, asked without opening another; None: that tells nothing."""
        async with self._one:
            if not self._open or not self._link.holds_session:
                return None
            try:
                await self._send(GET_DEVICE_ID, b"", Patience(1.0, 2))
            except (BmcAmbiguousError, BmcUnreachableError):
                return False
            return True

    async def close(self) -> None:
        """End the session on the BMC."""
        async with self._one:
            if self._open:
                self._open = False
                await self._threads.run(self._link.close)

    def refusal(self, command: Command, code: int) -> BmcRefusedError:
        """Return the error for a completion code."""
        message = f"{self.node}: {command.name} was answered with {completion.words(code)}"
        return BmcRefusedError(message, node=self.node, status=code)

    async def _read(self, command: Command, data: bytes, patience: Patience) -> bytes:
        is_fresh = await self._opened()
        try:
            return await self._send(command, data, patience)
        except BmcAmbiguousError as error:
            if is_fresh:
                raise BmcUnreachableError(str(error), node=self.node) from error
        await self._opened()
        try:
            return await self._send(command, data, patience)
        except BmcAmbiguousError as error:
            raise BmcUnreachableError(str(error), node=self.node) from error

    async def _send(self, command: Command, data: bytes, patience: Patience) -> bytes:
        try:
            return await self._on_link(partial(self._link.raw, command.netfn, command.number, data, patience=patience))
        except BmcAmbiguousError as error:
            message = f"{self.node}: {command.name} was not answered"
            raise BmcAmbiguousError(message, node=self.node) from error
        except BmcAnswerError as error:
            message = f"{self.node}: the answer to {command.name} cannot be read"
            raise BmcAnswerError(message, node=self.node) from error

    async def _on_link(self, work: Callable[[], Result]) -> Result:
        try:
            result = await self._threads.run(work)
        except (BmcAmbiguousError, BmcUnreachableError):
            self._open = False
            raise
        self._used = self._clock.monotonic()
        return result

    async def _opened(self) -> bool:
        """Have a session; whether it was opened only now."""
        if self._open and self._clock.monotonic() - self._used <= IDLE:
            return False
        credentials = self._credentials()
        await self._check(credentials)
        if self._open and self._clock.monotonic() - self._used <= ENDED:
            self._open = False
            await self._threads.run(self._link.close)
        if not await self._is_there(await self._located()):
            message = f"{self.node}: nothing answers IPMI at {self.endpoint}"
            raise BmcUnreachableError(message, node=self.node)
        self._open = False
        try:
            await self._threads.run(partial(self._link.open, credentials))
        except BmcLoginError as error:
            raise await self._remembered(credentials, error) from error
        except asyncio.CancelledError:
            self._open = True  # it may have come to one; `close` will see to it
            raise
        self._open = True
        self.generation += 1
        self._used = self._clock.monotonic()
        return True

    async def _check(self, credentials: Credentials) -> None:
        """Raise where *credentials* must not be sent: they were refused, or cannot be an account's."""
        if self._refused is not None and self._refused[0] == credentials:
            raise self._refused[1]
        if (unfit := why_unfit(credentials)) is not None:
            advice = "Give this BMC an account that fits, and name it in the inventory ('ipmi_credentials')."
            raise BmcLoginError(f"{self.node}: {unfit}", node=self.node, advice=advice)
        if self._memory is not None and (why := await self._memory.why_not(credentials)) is not None:
            advice = (
                "Correct the credentials that the inventory refers to, or allow another try: "
                f"'rackwave readmit {self.node} --reason …'."
            )
            raise BmcLoginError(f"{self.node}: {why}", node=self.node, advice=advice)

    async def _remembered(self, credentials: Credentials, error: BmcLoginError) -> BmcLoginError:
        """Remember that *credentials* were refused; the error to raise."""
        more = ""
        if self._memory is not None:
            more = await self._memory.refused(credentials, str(error).removeprefix(f"{self.node}: "))
        refused = BmcLoginError(str(error), node=self.node, advice=more or error.advice)
        self._refused = (credentials, refused)
        return refused

    async def _located(self) -> Endpoint:
        """Look the host's name up, in our threads: asyncio would do it in those that everybody shares."""
        if self.endpoint.is_literal:
            return self.endpoint
        return await self._threads.run(partial(_look_up, self.node, self.endpoint))


def _look_up(node: str, endpoint: Endpoint) -> Endpoint:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
    except OSError as error:
        message = f"{node}: the name {endpoint.host} is not known: {error.strerror}"
        raise BmcUnreachableError(message, node=node) from error
    return Endpoint(str(found[0][4][0]), endpoint.port)
