"""Ansible: what ``ansible-inventory --list`` prints, which has every format of it resolved.

Where a BMC's address stands is a convention of each site. These variables are looked for, in this order:
``bmc_address``, ``bmc_host``, ``bmc``, ``oob_address``, ``ipmi_address``, ``ipmi_host``, ``ilo_address``,
``idrac_ip``, ``baseuri`` (the option of community.general's Redfish modules).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import InventoryError
from .node import ForeignNode

VARIABLES = (
    "bmc_address",
    "bmc_host",
    "bmc",
    "oob_address",
    "ipmi_address",
    "ipmi_host",
    "ilo_address",
    "idrac_ip",
    "baseuri",
)

_GROUPS_OF_ANSIBLE = frozenset({"all", "ungrouped", "_meta"})


def read_ansible(text: str, *, variables: Sequence[str] = VARIABLES) -> tuple[tuple[ForeignNode, ...], tuple[str, ...]]:
    """Return the hosts that have a BMC's address, and a line for each that was left out.

    A host's groups become labels (``group-web = "yes"``), so that ``--nodes group-web=yes`` finds them.

    Raises:
        InventoryError: it is not what ``ansible-inventory --list`` prints.
    """
    try:
        document = json.loads(text)
        hosts = {str(name): values for name, values in document["_meta"]["hostvars"].items()}
        groups = {name: members for name, members in document.items() if name not in _GROUPS_OF_ANSIBLE}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InventoryError(
            "That is not what 'ansible-inventory --list' prints.",
            advice="Run 'ansible-inventory -i YOURS --list > hosts.json', whatever form YOURS has, and import that.",
        ) from error
    for name in (host for members in document.values() for host in _strings(members, "hosts")):
        hosts.setdefault(name, {})
    nodes, left_out = [], []
    for name, values in hosts.items():
        address = next((found for variable in variables if (found := _word(values, variable))), "")
        if not address:
            left_out.append(f"{name}: none of {', '.join(variables)}")
            continue
        labels = {f"group-{group}": "yes" for group in _groups_of(name, groups)}
        url = address if "://" in address else f"https://{address}"
        nodes.append(ForeignNode(name, url.rstrip("/"), _word(values, "vendor"), _word(values, "model"), labels=labels))
    return tuple(nodes), tuple(left_out)


def _groups_of(host: str, groups: Mapping[str, Any]) -> Iterator[str]:
    """The groups that hold *host*, also through their children."""
    holding = {name for name, members in groups.items() if host in _strings(members, "hosts")}
    while more := {name for name, members in groups.items() if holding & set(_strings(members, "children"))} - holding:
        holding |= more
    yield from sorted(holding)


def _strings(value: Any, key: str) -> tuple[str, ...]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list) else ()


def _word(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found.strip() if isinstance(found, str) else ""
