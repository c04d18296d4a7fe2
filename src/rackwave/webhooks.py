"""Tells people's systems what happened, by HTTP: beside a rollout, never in its way.

Rules:
- What is told is decided in core/notice.py; here it is only sent, each hook by a task of its own, in order.
- At least once: what a hook took (a 2xx answer) is journalled; what it did not take is sent again by the next process
  that works on the rack, for a day. The body's ``id`` is the event's number, by which a receiver knows what it has.
- A hook that is down costs nobody anything: a few tries, one line in the log, and the next notice.
- Redirects are not followed: they would lead what is signed for one host to another.

With a secret, each try is signed: ``Rackwave-Signature: t=<epoch seconds>,v1=<hex>``, where v1 is the HMAC-SHA256 of
``<t>.<body>``. A receiver refuses what is older than some minutes, so that nobody can replay it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import ssl
from collections.abc import Callable, Sequence

import aiohttp
from attrs import frozen
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from .core.event import Notified, Recorded
from .core.notice import Notice
from .engine.logbook import Logbook
from .errors import RackwaveError, SecretError
from .inventory import Webhook
from .ports import Clock
from .secrets import Passphrases

SIGNATURE = "Rackwave-Signature"

_log = logging.getLogger(__name__)


@frozen
class Patience:
    """How often a hook is tried, and the real seconds between: up to *first*, doubled each time, at most *most*.

    *parting*: how long the end of a command waits for what is still to be told.
    """

    tries: int = 5
    first: float = 1.0
    most: float = 30.0
    parting: float = 10.0


class _NotTakenError(Exception):
    """The hook did not take it. *passes*: another try may help."""

    def __init__(self, what: str, *, passes: bool) -> None:
        super().__init__(what)
        self.passes = passes


def signed(body: bytes, secret: bytes, at: int) -> str:
    """Return the signature of *body* sent at *at* (epoch seconds)."""
    return f"t={at},v1={hmac.new(secret, b'%d.%s' % (at, body), hashlib.sha256).hexdigest()}"


class Webhooks:
    """Sends the notices of one journal; subscribe it to the logbook, and ``start`` it in the event loop."""

    def __init__(
        self,
        hooks: Sequence[Webhook],
        *,
        logbook: Logbook,
        clock: Clock,
        patience: Patience | None = None,
        passphrase: Callable[[str], Passphrases] = Passphrases,
    ) -> None:
        self._hooks = hooks
        self._logbook = logbook
        self._clock = clock
        self._patience = patience or Patience()
        self._passphrase = passphrase
        self._news: dict[str, asyncio.Event] = {hook.name: asyncio.Event() for hook in hooks}
        self._failed: dict[str, set[int]] = {hook.name: set() for hook in hooks}
        self._idle: dict[str, asyncio.Event] = {hook.name: asyncio.Event() for hook in hooks}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send, first what earlier processes did not."""
        self._tasks = [asyncio.ensure_future(self._serve(hook)) for hook in self._hooks]

    def __call__(self, recorded: Recorded) -> None:
        """Note that something was journalled."""
        if not isinstance(recorded.event, Notified):
            for name, news in self._news.items():
                if any(n.number == recorded.number for n in self._logbook.ledger.notices.untold(name, recorded.at)):
                    self._idle[name].clear()
                    news.set()

    async def close(self) -> None:
        """Wait a moment for what is still to be told, and stop."""
        waiting = [asyncio.ensure_future(idle.wait()) for idle in self._idle.values()]
        if self._tasks and waiting:
            await asyncio.wait(waiting, timeout=self._patience.parting)
        for task in (*waiting, *self._tasks):
            task.cancel()
        await asyncio.gather(*waiting, *self._tasks, return_exceptions=True)
        self._tasks = []
        for hook in self._hooks:
            if left := len(self._left(hook)):
                _log.warning("webhook not_told hook=%s notices=%d; the next command sends them", hook.name, left)

    # -- one hook --------------------------------------------------------------------------------

    def _left(self, hook: Webhook) -> list[Notice]:
        untold = self._logbook.ledger.notices.untold(hook.name, self._clock.now())
        return [notice for notice in untold if notice.occasion in hook.on]

    async def _serve(self, hook: Webhook) -> None:
        try:
            await self._serve_while_it_can(hook)
        except RackwaveError as error:  # the journal, say: whoever runs the rollout meets it, too
            _log.warning("webhook ended hook=%s problem=%s", hook.name, error.whole)
        except Exception as error:  # noqa: BLE001 - whatever ails a hook, the rollout goes on
            _log.error("webhook broke hook=%s problem=%s", hook.name, type(error).__name__)
        finally:
            self._idle[hook.name].set()

    async def _serve_while_it_can(self, hook: Webhook) -> None:
        failed = self._failed[hook.name]
        try:
            secret = self._passphrase(hook.secret)(f"webhook {hook.name}") if hook.secret else None
            tls = ssl.create_default_context(cafile=hook.ca)
        except (RackwaveError, OSError) as error:
            told = error.whole if isinstance(error, SecretError) else f"its 'ca' cannot be used: {error}"
            _log.warning("webhook unusable hook=%s problem=%s", hook.name, told)  # nothing goes out unsigned
            return
        timeout = aiohttp.ClientTimeout(total=hook.timeout)
        # Notices are rare: a connection that was kept between them would be dead when it is wanted.
        async with aiohttp.ClientSession(
            timeout=timeout,
            connector=aiohttp.TCPConnector(ssl=tls, limit=1, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            while True:
                for notice in [each for each in self._left(hook) if each.number not in failed]:
                    if await self._told(session, hook, notice, secret):
                        await self._logbook.record(Notified(notice.number, hook.name))
                    else:
                        failed.add(notice.number)
                if not [each for each in self._left(hook) if each.number not in failed]:
                    self._idle[hook.name].set()
                    await self._news[hook.name].wait()
                self._news[hook.name].clear()

    async def _told(self, session: aiohttp.ClientSession, hook: Webhook, notice: Notice, secret: bytes | None) -> bool:
        patience = self._patience
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _NotTakenError) and error.passes),
            wait=wait_random_exponential(multiplier=patience.first, max=patience.most),
            # One that was down a moment ago gets one try for each further notice: the log has told of it.
            stop=stop_after_attempt(1 if self._failed[hook.name] else patience.tries),
            reraise=True,
        )
        try:
            await retrying(self._send, session, hook, notice, secret)
        except _NotTakenError as error:
            if not self._failed[hook.name]:
                _log.warning("webhook failed hook=%s problem=%s", hook.name, error)
            return False
        self._failed[hook.name].clear()
        return True

    async def _send(self, session: aiohttp.ClientSession, hook: Webhook, notice: Notice, secret: bytes | None) -> None:
        body = json.dumps(notice.document(), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "rackwave"}
        if secret is not None:
            headers[SIGNATURE] = signed(body, secret, int(self._clock.now()))
        try:
            async with session.post(hook.url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
        except aiohttp.InvalidURL as error:
            raise _NotTakenError("its URL is none", passes=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The kind alone: the text of some of these shows the URL, which may grant access.
            raise _NotTakenError(type(error).__name__, passes=True) from error
        if not 200 <= status < 300:
            raise _NotTakenError(f"it answered {status}", passes=status in _PASSES or status >= 500)


_PASSES = (408, 425, 429)
"""Answers below 500 that may be another one the next time."""
