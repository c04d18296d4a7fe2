"""The inventory: which nodes there are, how their BMCs are reached, and which lineage is for which.

[defaults]                               # every key of [[nodes]] but name and bmc may stand here
credentials = "env:LAB"                  # a reference, never a password
ca = "lab-ca.pem"                        # paths are relative to this file

[[nodes]]
name = "r[1-4]n[01-16]"                  # one name, or a range
bmc = "https://10.0.[1-4].[1-16]"        # expands in step; {name}, {1}, {2} stand for the name and its ranges
ipmi = "{host}"                          # the second way, and where: {host} is the host part of bmc
vendor = "Contoso"
model = "R100"
labels = { rack = "r{1}" }

[lineages.A]
select = { vendor = "Contoso", labels = { rack = "r[12]" } }   # shell-style patterns

[outlet]                                 # what restarts a BMC that nothing else restarts; see inventory/hooks.py
command = ["/usr/local/bin/pdu", "{node}", "{action}"]

[access]                                 # see core/access.py
[serving]                                # see serving/config.py
[drain]                                  # see drain.py
[[webhooks]]                             # see webhooks.py
[[windows]]                              # see windows.py
[gate]                                   # see gate.py
[policy]                                 # see core/policy.py
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import attrs

from ..bmc.hook import HookCommand
from ..bmc.ipmi.endpoint import Endpoint
from ..core.access import AccessPolicy
from ..core.identity import Lineage, NodeName
from ..core.node import Node, Selector
from ..core.policy import Policy
from ..core.recovery import POLICIES
from ..core.watch_policy import WatchPolicy
from ..drain import SCHEDULERS, DrainConfig
from ..errors import InventoryError, SecretError, UsageError
from ..secrets import absolute_reference
from ..serving.config import ServingConfig
from .gate import read_gate
from .hooks import read_hook
from .ranges import LIMIT, Expanded, expand
from .selection import select
from .values import IPMI, Inventory, ManagedNode
from .webhooks import read_webhooks
from .windows import read_own_windows

Table: TypeAlias = Mapping[str, Any]
K = TypeVar("K", AccessPolicy, WatchPolicy)

_TOP = (
    "defaults",
    "nodes",
    "lineages",
    "access",
    "outlet",
    "in_band",
    "serving",
    "drain",
    "policy",
    "watch",
    "webhooks",
    "windows",
    "gate",
)
_DEFAULTS = (
    "vendor",
    "model",
    "labels",
    "credentials",
    "ca",
    "tls",
    "insecure_http",
    "ipmi",
    "ipmi_credentials",
)
_NODE = ("name", "bmc", *_DEFAULTS)
_SELECT = ("vendor", "model", "labels", "nodes")
_TLS = ("verify", "pin")
_SERVING = tuple(attribute.name for attribute in attrs.fields(ServingConfig))
_DRAIN = tuple(attribute.name for attribute in attrs.fields(DrainConfig))
_POLICY = tuple(attribute.name for attribute in attrs.fields(Policy))
_SECRET_KEYS = frozenset(("password", "passwd", "pass", "pwd", "secret", "token", "username", "user", "login"))


def load_inventory(path: Path) -> Inventory:
    """Read and check the inventory at *path*.

    Raises:
        InventoryError: it cannot be used; the message names file, table and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InventoryError(
            f"The inventory {path} cannot be read: {error.strerror}.", advice="Name another with --inventory."
        ) from error
    except UnicodeDecodeError as error:
        raise InventoryError(f"The inventory {path} is not UTF-8 text.") from error
    return parse_inventory(text, path)


def parse_inventory(text: str, path: Path) -> Inventory:
    """Check the inventory *text*; *path* is named in messages, and its directory is what paths start from.

    Raises:
        InventoryError: it cannot be used.
    """
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise InventoryError(f"{path} is not TOML: {error}.") from error
    except RecursionError as error:
        raise InventoryError(f"{path} is not TOML that can be read: it is nested too deeply.") from error
    return _Reader(path).inventory(document)


class _Reader:
    """Reads one file's document; knows its path for messages and for relative paths."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def inventory(self, document: Table) -> Inventory:
        self._known(document, _TOP, "the top level")
        defaults = self._table(document, "defaults", "the top level")
        self._known(defaults, _DEFAULTS, "[defaults]")
        nodes = tuple(self._nodes(document, defaults))
        self._refuse_duplicates(nodes)
        inventory = Inventory(
            nodes,
            serving=self._serving(document),
            drain=self._drain(document),
            access=self._knobs(document, "access", AccessPolicy),
            watch=self._knobs(document, "watch", WatchPolicy),
            policy=self._policy(document),
            outlet=self._hook(document, "outlet"),
            in_band=self._hook(document, "in_band"),
            webhooks=read_webhooks(document, self._path),
            gate=read_gate(document, self._path),
        )
        return attrs.evolve(
            inventory,
            selectors=tuple(self._selectors(document, inventory)),
            windows=read_own_windows(document, inventory, self._path),
        )

    def _nodes(self, document: Table, defaults: Table) -> Iterator[ManagedNode]:
        tables = document.get("nodes", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._error("the top level", "'nodes' is no list of tables", "Write [[nodes]] before each node.")
        if not tables:
            raise self._error("the top level", "there are no nodes", "Add a [[nodes]] table with 'name' and 'bmc'.")
        total = 0
        for number, table in enumerate(tables, 1):
            where = f"[[nodes]] number {number}"
            self._known(table, _NODE, where)
            for managed in self._expanded(table, defaults, where):
                total += 1
                if total > LIMIT:
                    raise self._error(where, f"there are more than {LIMIT} nodes", "Split the inventory.")
                yield managed

    def _expanded(self, table: Table, defaults: Table, where: str) -> Iterator[ManagedNode]:
        name, bmc = self._text(table, "name", where), self._text(table, "bmc", where)
        for key, text in (("name", name), ("bmc", bmc)):
            if not text:
                raise self._error(where, f"{key!r} is missing", "Every node needs a name and a bmc address.")
        where = f"[[nodes]] {name!r}"
        if "@" in bmc:  # before anything shows it
            raise self._error(where, "'bmc' has credentials in it", "Take them out; name a reference in 'credentials'.")
        merged = {**defaults, **table}
        try:
            names = list(expand(name))
        except UsageError as error:
            raise self._error(where, str(error).rstrip("."), error.advice) from error
        urls = self._in_step(bmc, "bmc", names, where)
        ends = self._in_step(self._text(merged, "ipmi", where), "ipmi", names, where)
        for one, url, end in zip(names, urls, ends, strict=True):
            yield self._managed(merged, self._labels(table, defaults, where), one, url, end, where)

    def _in_step(self, text: str, key: str, names: list[Expanded], where: str) -> list[str]:
        """Expand the addresses of *names* in step with them."""
        try:
            found = list(expand(text))
        except UsageError as error:
            raise self._error(where, str(error).rstrip("."), error.advice) from error
        if len(found) not in (1, len(names)) or (len(found) == 1 and len(names) > 1 and text and "{" not in text):
            raise self._error(
                where,
                f"'name' stands for {len(names)} nodes and {key!r} for {len(found)} addresses",
                f"They expand in step: give both the same ranges, or write {{1}}, {{2}} or {{name}} in {key!r}.",
            )
        every = found * len(names) if len(found) == 1 else found
        return [_filled(address.text, one) for address, one in zip(every, names, strict=True)]

    def _managed(self, table: Table, labels: Table, one: Expanded, bmc: str, ipmi: str, where: str) -> ManagedNode:
        try:
            name = NodeName(one.text)
        except UsageError as error:
            raise self._error(where, str(error).rstrip("."), error.advice) from error
        insecure = self._flag(table, "insecure_http", where)
        reference = self._reference(table, "credentials", where)
        if not reference:
            raise self._error(where, "'credentials' is missing", 'Write a reference, for example "env:LAB".')
        node = Node(
            name,
            vendor=self._text(table, "vendor", where),
            model=self._text(table, "model", where),
            labels={key: _filled(value, one) for key, value in labels.items()},
        )
        ca = self._file(table, "ca", where)
        url = self._url(bmc, insecure, where)
        parts = urlsplit(url)
        if parts.scheme == IPMI:
            if ipmi:
                raise self._error(where, "'bmc' is an ipmi:// address, and there is 'ipmi' too", "Leave 'ipmi' out.")
            ipmi = parts.netloc
        endpoint = self._endpoint(ipmi.replace("{host}", _bracketed(parts.hostname or "")), where)
        ipmi_reference = self._reference(table, "ipmi_credentials", where) or reference
        pinned = self._is_pinned(table, where)
        return ManagedNode(node, url, reference, ca, insecure, pinned, endpoint, ipmi_reference)

    def _reference(self, table: Table, key: str, where: str) -> str:
        """Return the reference to credentials under *key*, its paths made absolute; empty where there is none."""
        text = self._text(table, key, where)
        try:
            return absolute_reference(text, self._path.parent) if text else ""
        except SecretError as error:
            raise self._error(where, str(error).rstrip("."), error.advice) from error

    def _endpoint(self, text: str, where: str) -> Endpoint | None:
        if not text:
            return None
        if "@" in text:  # before anything shows it
            raise self._error(where, "'ipmi' has credentials in it", "Name a reference in 'ipmi_credentials'.")
        advice = "Write address or address:port."
        try:
            endpoint = Endpoint.parse(text)
        except UsageError as error:
            raise self._error(where, f"'ipmi' is {text!r}", advice) from error
        if any(c.isspace() or c in "{}[]/?#" for c in endpoint.host):
            raise self._error(where, f"'ipmi' is {text!r}", advice)
        return endpoint

    def _hook(self, document: Table, key: str) -> HookCommand | None:
        if key not in document:
            return None
        return read_hook(self._table(document, key, "the top level"), self._path, f"[{key}]")

    def _is_pinned(self, table: Table, where: str) -> bool:
        tls = self._text(table, "tls", where) or "verify"
        if tls not in _TLS:
            raise self._error(
                where, f"'tls' is {tls!r}", f"Choose one of {', '.join(_TLS)}; nothing drops verification."
            )
        if tls == "pin" and table.get("ca"):
            raise self._error(
                where,
                "'ca' and tls = \"pin\" exclude one another",
                'What a CA vouches for needs no pin; ca = "" unsets it.',
            )
        if tls == "pin" and self._flag(table, "insecure_http", where):
            raise self._error(
                where, "'insecure_http' and tls = \"pin\" exclude one another", "Without TLS there is no key."
            )
        return tls == "pin"

    def _url(self, url: str, insecure: bool, where: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
            (host or "").encode("idna")  # what no resolver would look up ("a..b") is told here, by name
        except ValueError as error:
            raise self._error(where, f"'bmc' is {url!r}", "Write https://address or https://address:port.") from error
        if parts.scheme == "http" and not insecure:
            raise self._error(
                where, f"'bmc' is {url!r}, without TLS", "Write https://, or allow it by insecure_http = true."
            )
        if parts.scheme not in ("http", "https", IPMI) or not host or any(c.isspace() or c in "{}[]" for c in host):
            raise self._error(where, f"'bmc' is {url!r}", "Write https://address or https://address:port.")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise self._error(where, f"'bmc' is {url!r}", "Leave the path out: the BMC tells it.")
        return url.rstrip("/")

    def _selectors(self, document: Table, inventory: Inventory) -> Iterator[Selector]:
        for lineage, table in self._table(document, "lineages", "the top level").items():
            where = f"[lineages.{lineage}]"
            if not isinstance(table, dict):
                raise self._error(where, "it is no table", "Write select = { … } below it.")
            self._known(table, ("select",), where)
            chosen = self._table(table, "select", where)
            self._known(chosen, _SELECT, f"{where} select")
            try:
                yield Selector(
                    Lineage(lineage),
                    vendor=self._text(chosen, "vendor", where) or "*",
                    model=self._text(chosen, "model", where) or "*",
                    labels=self._texts(chosen, "labels", where),
                    names=self._chosen_names(chosen, inventory, where),
                )
            except UsageError as error:
                raise self._error(where, str(error).rstrip("."), error.advice) from error

    def _chosen_names(self, table: Table, inventory: Inventory, where: str) -> frozenset[NodeName] | None:
        if "nodes" not in table:
            return None
        given = table["nodes"]
        names = given if isinstance(given, list) else [given]
        if not all(isinstance(name, str) for name in names):
            raise self._error(where, "'nodes' is neither text nor a list of texts", 'Write "r[1-4]n[01-16]".')
        return frozenset(node.name for node in select(inventory, ",".join(names)))

    def _serving(self, document: Table) -> ServingConfig:
        where = "[serving]"
        table = self._table(document, "serving", "the top level")
        self._known(table, _SERVING, where)
        try:
            return ServingConfig(
                listen=self._text(table, "listen", where),
                advertise=self._text(table, "advertise", where),
                cert=self._file(table, "cert", where),
                key=self._file(table, "key", where),
                plain_http=self._flag(table, "plain_http", where),
                lifetime=self._number(table, "lifetime", where, ServingConfig().lifetime),
                events=self._flag(table, "events", where) if "events" in table else ServingConfig().events,
            )
        except InventoryError as error:
            if str(self._path) in str(error):
                raise
            raise InventoryError(f"{self._path}: {error}", advice=error.advice) from error

    def _drain(self, document: Table) -> DrainConfig:
        where = "[drain]"
        table = self._table(document, "drain", "the top level")
        if not table:
            return DrainConfig()
        self._known(table, _DRAIN, where)
        hook, command = self._text(table, "hook", where), table.get("command", [])
        if not isinstance(command, list) or not all(isinstance(word, str) and word for word in command):
            raise self._error(where, "'command' is no list of texts", 'Write ["/path/to/program", "{name}"].')
        if bool(hook) == bool(command):
            raise self._error(where, "it needs a hook or a command, and not both", f"Hooks: {', '.join(SCHEDULERS)}.")
        if hook and hook not in SCHEDULERS:
            raise self._error(where, f"there is no hook {hook!r}", f"There are: {', '.join(SCHEDULERS)}; or a command.")
        timeout = self._number(table, "timeout", where, DrainConfig().timeout)
        return DrainConfig(hook, command, self._text(table, "name", where) or DrainConfig().name, timeout)

    def _knobs(self, document: Table, key: str, kind: type[K]) -> K:
        """Return the table *key* as the value of *kind*, which checks itself."""
        table = self._table(document, key, "the top level")
        self._known(table, tuple(attribute.name for attribute in attrs.fields(kind)), f"[{key}]")
        try:
            return kind(**table)
        except UsageError as error:
            raise self._error(f"[{key}]", str(error).rstrip("."), error.advice) from error

    def _policy(self, document: Table) -> Mapping[str, int | float | str]:
        table = self._table(document, "policy", "the top level")
        self._known(table, _POLICY, "[policy]")
        try:
            policy = Policy(**table)
        except UsageError as error:
            raise self._error("[policy]", str(error).rstrip("."), error.advice) from error
        if not isinstance(policy.recovery, str) or policy.recovery not in POLICIES:
            raise self._error("[policy]", f"recovery is {policy.recovery!r}", f"Choose one of {', '.join(POLICIES)}.")
        return table

    # -- one key -----------------------------------------------------------------------------

    def _labels(self, table: Table, defaults: Table, where: str) -> dict[str, str]:
        return self._texts(defaults, "labels", "[defaults]") | self._texts(table, "labels", where)

    def _table(self, table: Table, key: str, where: str) -> Table:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise self._error(where, f"{key!r} is no table", f"Write [{key}] and its keys below.")
        return value

    def _texts(self, table: Table, key: str, where: str) -> dict[str, str]:
        value = self._table(table, key, where)
        for name, text in value.items():
            if not isinstance(text, str):
                raise self._error(where, f"{key} {name!r} is {_kind(text)}", "Labels are texts.")
        return dict(value)

    def _text(self, table: Table, key: str, where: str) -> str:
        value = table.get(key, "")
        if not isinstance(value, str):
            raise self._error(where, f"{key!r} is {_kind(value)}", "It takes a text in quotation marks.")
        return value

    def _flag(self, table: Table, key: str, where: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self._error(where, f"{key!r} is {_kind(value)}", "It takes true or false.")
        return value

    def _number(self, table: Table, key: str, where: str, default: float) -> float:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise self._error(where, f"{key!r} is {value!r}", "It takes a number of seconds.")
        return float(value)

    def _file(self, table: Table, key: str, where: str) -> Path | None:
        text = self._text(table, key, where)
        if "\0" in text:
            raise self._error(where, f"{key!r} is no path", "")
        return self._path.parent / text if text else None

    def _known(self, table: Table, known: tuple[str, ...], where: str) -> None:
        for key in table:
            if key in known:
                continue
            if key.lower() in _SECRET_KEYS:
                raise self._error(
                    where,
                    f"{key!r} does not belong in an inventory",
                    'Keep it outside and name it: credentials = "env:LAB" reads LAB_USERNAME and LAB_PASSWORD, '
                    '"file:lab.toml" reads a file that only you can read.',
                )
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Known keys are {', '.join(known)}."
            raise self._error(where, f"unknown key {key!r}", advice)

    def _refuse_duplicates(self, nodes: tuple[ManagedNode, ...]) -> None:
        names: dict[str, str] = {}
        addresses: dict[str, str] = {}
        for managed in nodes:
            if managed.name in names:
                raise self._error("[[nodes]]", f"two nodes are called {managed.name!r}", "Give each its own name.")
            names[managed.name] = managed.bmc_url
            ipmi = f"{IPMI}://{managed.ipmi}" if managed.ipmi is not None else managed.bmc_url
            for address in dict.fromkeys((managed.bmc_url, ipmi)):
                other = addresses.setdefault(address, managed.name)
                if other != managed.name:
                    raise self._error(
                        "[[nodes]]", f"{other} and {managed.name} have one BMC, {address}", "Give each its own."
                    )

    def _error(self, where: str, what: str, advice: str) -> InventoryError:
        return InventoryError(f"{self._path}, {where}: {what}.", advice=advice)


def _filled(text: str, one: Expanded) -> str:
    """Put the name and the values of its ranges into *text*."""
    for number, value in enumerate(one.values, 1):
        text = text.replace(f"{{{number}}}", value)
    return text.replace("{name}", one.text)


def _bracketed(host: str) -> str:
    """Return *host* as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _kind(value: object) -> str:
    """Say what *value* is without showing it: it may be a secret in the wrong place."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date"
