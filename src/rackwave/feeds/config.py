"""``feeds.toml``: which feeds a station reads, for which lineage, and how much happens without a person.

::

    [[feeds]]
    name = "nic-drops"
    kind = "folder"                     # folder, lvfs, catalogue or oci
    where = "drops"                     # a URL, oci://host:port/name, or a path relative to this file
    lineage = "A"
    policy = "draft"                    # or automatic
    component = "NIC.1"                 # what the BMC calls what is written, where the package does not say
    vendor = "Contoso*"                 # patterns of what is announced
    model = "*"
    guids = ["230c8b18-…"]              # lvfs: the devices
    tag = "stable"                      # oci: the tag that is followed
    floor = "high"                      # from which severity on a release with CVEs becomes a security floor
    every = 3600                        # seconds between two looks
    ca = "mirror-ca.pem"                # absent: the CAs of the operating system
    credentials = "env:MIRROR"          # oci: a reference, never a password
    insecure_http = false
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..core.announcement import Severity
from ..core.feed import EVERY, LONGEST_EVERY, NAME, SHORTEST_EVERY, Feed, FeedKind, FeedPolicy
from ..core.identity import ComponentName, Lineage
from ..errors import SecretError, UsageError
from ..repository.address import RegistryAddress
from ..secrets import absolute_reference

FEEDS = "feeds.toml"
_MAX_FILE = 256 * 1024
_FIELDS = (
    "name", "kind", "where", "lineage", "policy", "component", "vendor", "model", "guids", "tag", "floor", "every",
    "ca", "credentials", "insecure_http",
)  # fmt: skip
_Word = TypeVar("_Word", FeedKind, FeedPolicy, Severity)


def load_feeds(path: Path) -> tuple[Feed, ...]:
    """Read the feeds that the file at *path* names; none where there is no such file.

    Raises:
        UsageError: it cannot be used; the message names the feed and the field.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE + 1)
        if len(text) > _MAX_FILE:
            raise UsageError(f"{path} is larger than {_MAX_FILE} bytes")
        document = tomllib.loads(text.decode())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError) as error:  # TOML and UTF-8 that are none are ValueErrors
        raise UsageError(f"{path} cannot be read: {error}") from None
    _check_known(document, ("feeds",), f"{path}")
    tables = document.get("feeds", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: feeds is written as [[feeds]] with fields below it")
    found: dict[str, Feed] = {}
    for number, table in enumerate(tables, 1):
        feed = _Reader(path.absolute().parent, f"{path}, feed {table.get('name') or number}").feed(table)
        if feed.name in found:
            raise UsageError(f"{path}: two feeds are called {feed.name}", advice="Give each its own name.")
        found[feed.name] = feed
    return tuple(found.values())


class _Reader:
    """Reads one table; *place* is where paths start from, *where* stands in messages."""

    def __init__(self, place: Path, where: str) -> None:
        self._place = place
        self._where = where

    def feed(self, table: Mapping[str, Any]) -> Feed:
        _check_known(table, _FIELDS, self._where)
        name, where = self._needed(table, "name"), self._needed(table, "where")
        if not NAME.fullmatch(name):
            raise self._error(f"{name!r} is no name", "Letters, digits, '.', '_' and '-', at most 63.")
        kind = self._word(FeedKind, self._needed(table, "kind"), "kind")
        insecure = table.get("insecure_http", False)
        if not isinstance(insecure, bool):
            raise self._error("insecure_http takes true or false", "")
        floor = self._text(table, "floor")
        feed = Feed(
            name,
            kind,
            self._address(kind, where, insecure=insecure),
            Lineage(self._needed(table, "lineage")),
            policy=self._word(FeedPolicy, self._text(table, "policy") or FeedPolicy.DRAFT.value, "policy"),
            component=ComponentName(component) if (component := self._text(table, "component")) else None,
            guids=self._guids(table),
            vendor=self._text(table, "vendor") or "*",
            model=self._text(table, "model") or "*",
            floor=self._word(Severity, floor, "floor") if floor else None,
            every=self._every(table),
            ca=str(self._place / ca) if (ca := self._text(table, "ca")) else "",
            insecure_http=insecure,
            tag=self._text(table, "tag"),
            credentials=self._reference(table),
        )
        if kind is FeedKind.LVFS and not feed.guids:
            raise self._error("it chooses no devices", 'An LVFS catalogue lists all firmware: guids = ["…"].')
        if (kind is FeedKind.OCI) != bool(feed.tag):
            raise self._error("a feed of kind oci follows one tag, no other kind has one", 'Write tag = "stable".')
        return feed

    def _address(self, kind: FeedKind, where: str, *, insecure: bool) -> str:
        if "\0" in where or "@" in where.partition("://")[2].partition("/")[0]:
            raise self._error(
                "'where' has something before an '@' (it is not shown, since it may be a password)",
                'Take it out. A registry\'s credentials are named by credentials = "env:PREFIX".',
            )
        if kind is FeedKind.OCI:
            return str(RegistryAddress.parse(where, plain=insecure))
        if "://" not in where:
            return str(self._place / where)
        if kind is FeedKind.FOLDER:
            raise self._error("a feed of kind folder is a folder of this machine", "Name a path.")
        if not where.startswith(("https://", "http://") if insecure else "https://"):
            raise self._error(f"{where} is not reached by TLS", "Use https, or allow it with insecure_http = true.")
        return where

    def _guids(self, table: Mapping[str, Any]) -> tuple[str, ...]:
        guids = table.get("guids", [])
        if not isinstance(guids, list) or not all(isinstance(guid, str) and guid for guid in guids):
            raise self._error("guids is a list of texts", "")
        return tuple(guid.lower() for guid in guids)

    def _every(self, table: Mapping[str, Any]) -> float:
        every = table.get("every", EVERY)
        if isinstance(every, bool) or not isinstance(every, int | float):
            raise self._error("every takes a number of seconds", "")
        if not SHORTEST_EVERY <= every <= LONGEST_EVERY:
            raise self._error(f"every is {every} s", f"It goes from {SHORTEST_EVERY:.0f} to {LONGEST_EVERY:.0f} s.")
        return float(every)

    def _reference(self, table: Mapping[str, Any]) -> str:
        text = self._text(table, "credentials")
        try:
            return absolute_reference(text, self._place) if text else ""
        except SecretError as error:
            raise self._error(str(error), error.advice) from None

    def _needed(self, table: Mapping[str, Any], key: str) -> str:
        text = self._text(table, key)
        if not text:
            raise self._error(f"{key} is missing", "Every feed has a name, a kind, a where and a lineage.")
        return text

    def _text(self, table: Mapping[str, Any], key: str) -> str:
        text = table.get(key, "")
        if not isinstance(text, str):
            raise self._error(f"{key} takes a text in quotation marks", "")
        return text

    def _word(self, words: type[_Word], text: str, key: str) -> _Word:
        try:
            return words(text)
        except ValueError:
            raise self._error(f"{key} is {text!r}", f"One of {', '.join(words)}.") from None

    def _error(self, what: str, advice: str) -> UsageError:
        return UsageError(f"{self._where}: {what}", advice=advice)


def _check_known(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
            raise UsageError(f"{where}: {key} is not a field here", advice=advice)
