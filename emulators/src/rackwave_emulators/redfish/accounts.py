"""The accounts of one BMC beside its own: made, changed and removed by clients, with DSP0266's standard roles.

The BMC's own account, which the lab's inventory names, is number 1 and cannot be changed here: every face of
the BMC and every other client of the lab logs in with it.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Iterator

import attrs
from attrs import field, frozen

from .answers import RefusalError

ROLES: dict[str, tuple[str, ...]] = {
    "Administrator": ("Login", "ConfigureManager", "ConfigureUsers", "ConfigureSelf", "ConfigureComponents"),
    "Operator": ("Login", "ConfigureSelf", "ConfigureComponents"),
    "ReadOnly": ("Login", "ConfigureSelf"),
}
"""The standard roles and their privileges (DSP0266, "Roles"); they cannot be changed."""

PASSWORD_LENGTH = (8, 64)
OWN = "1"
_MOST = 16  # what iDRAC has room for


@frozen
class UserAccount:
    """One account."""

    id: str
    username: str
    password: str = field(repr=False)
    role: str
    enabled: bool = True
    change_required: bool = False

    @property
    def etag(self) -> str:
        """Another value for every other content, the password included."""
        return f'"{zlib.crc32(repr(attrs.astuple(self)).encode("utf-8", "surrogatepass")):08x}"'


class Accounts:
    """Every account of one BMC, by id."""

    def __init__(self, own: UserAccount) -> None:
        self.revision = 0
        """Grows with every change."""
        self.reset(own)

    def reset(self, own: UserAccount) -> None:
        """Forget every account but *own*."""
        self._by_id = {own.id: own}
        self._next = int(own.id) + 1
        self.revision += 1

    def __iter__(self) -> Iterator[UserAccount]:
        return iter(tuple(self._by_id.values()))

    def get(self, account_id: str) -> UserAccount | None:
        """Return the account of that id."""
        return self._by_id.get(account_id)

    def named(self, username: str) -> UserAccount | None:
        """Return the account with that user name."""
        return next((account for account in self._by_id.values() if account.username == username), None)

    def accept(self, username: str, password: str) -> UserAccount | None:
        """Return the enabled account that this name and password are of."""
        account = self.named(username)
        given = password.encode("utf-8", "surrogatepass")
        if account is None or not account.enabled:
            return None
        return account if hmac.compare_digest(account.password.encode("utf-8", "surrogatepass"), given) else None

    def add(self, username: str, password: str, role: str, *, enabled: bool) -> UserAccount:
        """Make an account.

        Raises:
            RefusalError: a value is not allowed, the name is taken, or there is no room (400).
        """
        if len(self._by_id) >= _MOST:
            raise RefusalError(400, f"There is room for {_MOST} accounts.", message_id="CreateLimitReachedForResource")
        account = UserAccount(str(self._next), username, password, role, enabled)
        self._check(account)
        self._next += 1
        return self._keep(account)

    def change(self, account: UserAccount) -> UserAccount:
        """Put *account* in the place of the one with its id.

        Raises:
            RefusalError: a value is not allowed, the name is taken (400), or it is the BMC's own account (403).
        """
        if account.id == OWN:
            raise RefusalError(403, "The BMC's own account cannot be changed.", message_id="InsufficientPrivilege")
        self._check(account)
        return self._keep(account)

    def remove(self, account_id: str) -> None:
        """Remove an account.

        Raises:
            RefusalError: it is the BMC's own (403).
        """
        if account_id == OWN:
            raise RefusalError(403, "The BMC's own account cannot be removed.", message_id="InsufficientPrivilege")
        del self._by_id[account_id]
        self.revision += 1

    def _keep(self, account: UserAccount) -> UserAccount:
        self._by_id[account.id] = account
        self.revision += 1
        return account

    def _check(self, account: UserAccount) -> None:
        shortest, longest = PASSWORD_LENGTH
        if not account.username or len(account.username) > longest:
            raise RefusalError(400, "UserName is empty or too long.", message_id="PropertyValueFormatError")
        if not shortest <= len(account.password) <= longest:
            raise RefusalError(
                400,
                f"Password must have {shortest} to {longest} characters.",
                message_id="PropertyValueFormatError",
            )
        if account.role not in ROLES:
            raise RefusalError(400, f"RoleId must be one of {', '.join(ROLES)}.", message_id="PropertyValueNotInList")
        other = self.named(account.username)
        if other is not None and other.id != account.id:
            raise RefusalError(400, "There is an account of this name.", message_id="ResourceAlreadyExists")
