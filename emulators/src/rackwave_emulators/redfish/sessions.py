"""Who may speak to one BMC: sessions with tokens, and Basic authentication."""

from __future__ import annotations

import base64
import binascii
import hmac
import random
from collections.abc import Iterator, Mapping

from attrs import define, field

from rackwave.ports import Clock

from ..access import Access
from ..access import Account as Account  # where others look for it
from ..refusal import LabRefusal
from .accounts import OWN, Accounts, UserAccount
from .answers import RefusalError

SESSIONS = "/redfish/v1/SessionService/Sessions"


@define
class Session:
    """One login. *used* is the monotonic time of its last request."""

    id: str
    token: str = field(repr=False)
    username: str
    opened: float
    used: float

    @property
    def uri(self) -> str:
        """Where a client finds, and ends, the session."""
        return f"{SESSIONS}/{self.id}"


class Sessions:
    """The sessions of one BMC: at most *cap* at a time (P26), forgotten *timeout* seconds after their last use.

    Tokens come from *chance*, so a lab with a seed repeats itself exactly; nothing here guards a secret.
    """

    def __init__(
        self, account: Account, clock: Clock, chance: random.Random, *, cap: int, timeout: float, access: Access
    ) -> None:
        self._configured = account
        self._access = access
        self._followed = (access.ended, access.crowds)
        self._clock = clock
        self._chance = chance
        self._by_token: dict[str, Session] = {}
        self.accounts = Accounts(_own(account))
        self._next = 1
        self.cap = cap
        self.timeout = timeout
        self.opened = 0
        self.closed = 0
        self.expired = 0

    def __iter__(self) -> Iterator[Session]:
        self._expire()
        return iter(tuple(self._by_token.values()))

    def __len__(self) -> int:
        self._expire()
        return len(self._by_token)

    @property
    def own(self) -> str:
        """The user name of the BMC's own account."""
        return self._account.username

    def open(self, username: str, password: str) -> Session:
        """Log in.

        Raises:
            RefusalError: wrong credentials (401) or no session left (503, P26).
        """
        try:
            self._access.judge(accepted=self._accepts(username, password) is not None)
        except LabRefusal as refusal:
            raise RefusalError(refusal.status, str(refusal), message_id=refusal.message_id) from refusal
        self.follow()
        self._expire()
        if len(self._by_token) >= self.cap:
            raise RefusalError(
                503,
                f"All {self.cap} sessions are in use.",
                message_id="SessionLimitExceeded",
                headers={"Retry-After": "30"},
            )
        session = self._enter(username)
        self.opened += 1
        return session

    def follow(self) -> None:
        """Do what has become of all sessions: they ended (P31), or strangers took those that were free (P26)."""
        ended, crowds = self._followed
        self._followed = (self._access.ended, self._access.crowds)
        if ended != self._access.ended:
            self.forget()
            if self._access.factory is not None:
                self.accounts.reset(_own(self._access.factory))  # P40
        if crowds != self._access.crowds:
            self._expire()
            while len(self._by_token) < self.cap:
                self._enter("stranger")

    def _enter(self, username: str) -> Session:
        now = self._clock.monotonic()
        session = Session(str(self._next), f"{self._chance.getrandbits(128):032x}", username, self._clock.now(), now)
        self._next += 1
        self._by_token[session.token] = session
        return session

    def close(self, session_id: str) -> bool:
        """End the session; False where there is none of that id."""
        for session in self:
            if session.id == session_id:
                del self._by_token[session.token]
                self.closed += 1
                return True
        return False

    def forget(self) -> None:
        """Drop every session, as a BMC does that restarts."""
        self.expired += len(self._by_token)
        self._by_token.clear()

    def get(self, session_id: str) -> Session | None:
        """Return the session of that id."""
        return next((session for session in self if session.id == session_id), None)

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """Return the name of who sends a request with *headers*; None: nobody. A session that is used lives on."""
        token = headers.get("X-Auth-Token")
        if token is not None:
            session = self._by_token.get(token)
            now = self._clock.monotonic()
            if session is None or now - session.used > self.timeout:
                return None
            session.used = now
            return session.username
        authorization = headers.get("Authorization")
        if authorization is None:
            return None
        username = self._accepts(*_parsed(authorization))
        try:
            self._access.judge(accepted=username is not None)
        except LabRefusal:
            return None
        return username

    def end_all_of(self, username: str) -> None:
        """End every session of an account that is no more."""
        for session in self:
            if session.username == username:
                self.close(session.id)

    @property
    def _account(self) -> Account:
        return self._access.factory or self._configured

    def _accepts(self, username: str, password: str) -> str | None:
        """Return the name of the account whose these are; None: nobody's."""
        own = self._account
        if hmac.compare_digest(_bytes(username), _bytes(own.username)) and hmac.compare_digest(
            _bytes(password), _bytes(own.password)
        ):
            return own.username
        made = self.accounts.accept(username, password)
        return None if made is None or made.id == OWN else made.username

    def _expire(self) -> None:
        limit = self._clock.monotonic() - self.timeout
        for token in [token for token, session in self._by_token.items() if session.used < limit]:
            del self._by_token[token]
            self.expired += 1


def _own(account: Account) -> UserAccount:
    return UserAccount(OWN, account.username, account.password, "Administrator")


def _parsed(authorization: str) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        username, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return username, password


def _bytes(text: str) -> bytes:
    # JSON can carry lone surrogates, which plain UTF-8 refuses; they must only not match.
    return text.encode("utf-8", "surrogatepass")
