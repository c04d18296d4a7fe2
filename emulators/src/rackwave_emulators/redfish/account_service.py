"""The AccountService: its resources, what may be done to them, and what each role may do anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import attrs

from . import paths
from .accounts import OWN, PASSWORD_LENGTH, ROLES, Accounts, UserAccount
from .answers import Answer, RefusalError, extended, text_property

_READS = ("GET", "HEAD")
_PROPERTIES = {"UserName": "username", "Password": "password", "RoleId": "role"}
_FLAGS = {"Enabled": "enabled", "PasswordChangeRequired": "change_required"}


def service() -> dict[str, Any]:
    """The AccountService."""
    shortest, longest = PASSWORD_LENGTH
    return {
        "@odata.id": paths.ACCOUNT_SERVICE,
        "@odata.type": "#AccountService.v1_13_0.AccountService",
        "Id": "AccountService",
        "Name": "Account Service",
        "ServiceEnabled": True,
        "MinPasswordLength": shortest,
        "MaxPasswordLength": longest,
        "Accounts": {"@odata.id": paths.ACCOUNTS},
        "Roles": {"@odata.id": paths.ROLES},
        "Status": {"State": "Enabled", "Health": "OK"},
    }


def account(of: UserAccount) -> dict[str, Any]:
    """One account; its password is never told."""
    return {
        "@odata.id": f"{paths.ACCOUNTS}/{of.id}",
        "@odata.type": "#ManagerAccount.v1_10_0.ManagerAccount",
        "@odata.etag": of.etag,
        "Id": of.id,
        "Name": "User Account",
        "UserName": of.username,
        "Password": None,
        "RoleId": of.role,
        "Enabled": of.enabled,
        "Locked": False,
        "PasswordChangeRequired": of.change_required,
        "AccountTypes": ["Redfish"],
        "Links": {"Role": {"@odata.id": f"{paths.ROLES}/{of.role}"}},
    }


def role(name: str) -> dict[str, Any]:
    """One of the standard roles."""
    return {
        "@odata.id": f"{paths.ROLES}/{name}",
        "@odata.type": "#Role.v1_3_1.Role",
        "Id": name,
        "Name": f"{name} Role",
        "IsPredefined": True,
        "RoleId": name,
        "AssignedPrivileges": list(ROLES[name]),
        "OemPrivileges": [],
    }


def make(accounts: Accounts, body: Mapping[str, Any]) -> Answer:
    """Create an account.

    Raises:
        RefusalError: a property is missing, of a wrong type or not allowed (400).
    """
    given = {name: text_property(body, name) for name in _PROPERTIES}
    enabled = body.get("Enabled", True)
    if not isinstance(enabled, bool):
        raise RefusalError(400, "Enabled must be true or false.", message_id="PropertyValueTypeError")
    made = accounts.add(given["UserName"], given["Password"], given["RoleId"], enabled=enabled)
    where = {"Location": f"{paths.ACCOUNTS}/{made.id}", "ETag": made.etag}
    return Answer.of(account(made), HTTPStatus.CREATED, where)


def change(accounts: Accounts, of: UserAccount, body: Mapping[str, Any], if_match: str | None) -> Answer:
    """Change an account; what cannot be changed is told beside what was (DSP0266, "PATCH").

    Raises:
        RefusalError: the account has changed since it was read (412), nothing in *body* can be changed, or a
            value is not allowed (400).
    """
    if if_match is not None and not {"*", of.etag} & {tag.strip().removeprefix("W/") for tag in if_match.split(",")}:
        raise RefusalError(412, "The account has changed since it was read.")
    asked = {name: value for name, value in body.items() if not name.startswith("@odata.")}
    if not asked:
        raise RefusalError(400, "The request changes nothing.", message_id="NoOperation")
    known = {name: value for name, value in asked.items() if name in _PROPERTIES or name in _FLAGS}
    unknown = sorted(asked.keys() - known.keys())
    if not known:
        raise RefusalError(400, f"{', '.join(unknown)} cannot be changed.", message_id="PropertyUnknown")
    changed = accounts.change(attrs.evolve(of, **_values(known)))
    told = account(changed)
    if unknown:
        told["@Message.ExtendedInfo"] = [
            extended("PropertyUnknown", f"The property {name} is unknown.") for name in unknown
        ]
    return Answer.of(told, HTTPStatus.OK, {"ETag": changed.etag})


def check(of: UserAccount, method: str, path: str, body_keys: frozenset[str] | None = None) -> None:
    """Refuse what the role of *of* does not allow, and all but a new password to one who must change it.

    *body_keys*: what a PATCH of the own account changes; None: not read yet, which passes.

    Raises:
        RefusalError: 403.
    """
    own = path == f"{paths.ACCOUNTS}/{of.id}"
    own_password = own and method == "PATCH" and (body_keys is None or body_keys <= {"Password"})
    if of.change_required and not (own and method in _READS) and not own_password:
        raise RefusalError(403, "The password must be changed first.", message_id="PasswordChangeRequired")
    if of.id == OWN or of.role == "Administrator":
        return
    if path.startswith(paths.ACCOUNTS) and not (own and (method in _READS or own_password)):
        raise _lacks("ConfigureUsers")
    if method in _READS or own_password or path.startswith(paths.SESSIONS):
        return
    if "ConfigureComponents" not in ROLES[of.role]:
        raise _lacks("ConfigureComponents")
    if path.startswith((paths.ACCOUNT_SERVICE, paths.SESSION_SERVICE, paths.MANAGERS)):
        raise _lacks("ConfigureManager")


def _lacks(privilege: str) -> RefusalError:
    return RefusalError(403, f"This needs the privilege {privilege}.", message_id="InsufficientPrivilege")


def _values(known: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in known.items():
        if name in _FLAGS:
            if not isinstance(value, bool):
                raise RefusalError(400, f"{name} must be true or false.", message_id="PropertyValueTypeError")
            values[_FLAGS[name]] = value
        else:
            values[_PROPERTIES[name]] = text_property(cast("dict[str, Any]", known), name)
    if "password" in values and "change_required" not in values:
        values["change_required"] = False  # a new password is what was required
    return values
