"""Scrubbing of recordings: what names a machine, a person or a network becomes a pseudonym, secrets go.

1. Secrets (passwords, tokens, keys, certificates) are replaced by a word; nobody needs a pseudonym of them.
2. Serial numbers, UUIDs, MAC and IP addresses, host, user and place names are found by the property that
   holds them; UUIDs and MAC addresses by their form, wherever they stand.
3. Each found value becomes a pseudonym of its own form (letters stay letters, digits digits), made with a
   key. One value has one pseudonym in the whole recording, inside other texts and in URIs, too: a serial
   number in a host name, a MAC address in a port's name. So links lead where they led.
4. What tells the make or decides how a client acts stays: versions, models, part numbers, component types.

Example: ``{"SerialNumber": "MXQ302099S", "HostName": "ILOMXQ302099S"}`` may become ``{"SerialNumber":
"KQW771205B", "HostName": "ILOKQW771205B"}``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import string
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

SECRET = "scrubbed"  # noqa: S105 - the word that stands for one

_SECRETS = re.compile(
    r"(?i)(password|passphrase|secret|token|privatekey|publickey|authkey|encryptionkey|communitystring|keystring"
    r"|certificatestring|licensestring|licensekey|sessionkey|sshkey|fingerprint|hashvalue|signature)$"
)
_SERIALS = re.compile(r"(?i)(serial(number|no)?|servicetag|assettag|nodeid|expressservicecode)$")
_NAMES = re.compile(r"(?i)(hostname|fqdn|domainname|dnsname|serverfqdn|servername|certcommonname|commonname)$")
_PEOPLE = re.compile(r"(?i)(username|emailaddress|email|contactname|contact|creator|owner|createdby)$")
_PLACES = re.compile(r"(?i)(street|city|room|building|postalcode|landmark|placename|housenumber|rackname|rowname)$")
_ADDRESSES = re.compile(r"(?i)(^address|ipaddress|ipv[46]address|gateway|nameserver|dnsserver|ntpserver|server)s?\d*$")
_TYPES = re.compile(
    r"(?i)(deviceclass|targets|softwareid|devicetype|typeid|classid|guidtype|typeguid|notificationtype|sectiontype"
    r"|signatureowner)$"
)
_WHERE = re.compile(r"(?i)(addr|ip|gateway|dns|ntp|host|server|source|origin|ur[il]|message|arg|client|route|endpoint)")
_IPV4 = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_VERSIONS = re.compile(r"(?i)(version|firmware|revision|build|release)")
_UUID = re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])")
_MAC = re.compile(r"(?i)(?<![0-9a-f:-])(?:[0-9a-f]{2}[:-]){5,7}[0-9a-f]{2}(?![0-9a-f:-])")
_NOTHING = re.compile(
    r"(?i)^(|n/?a|none|null|unknown|not (available|specified|present|set)|default|localhost|(0|\.|:)+)$"
)
_POOLS = (string.digits, string.ascii_uppercase, string.ascii_lowercase)
_LEAST = 5  # letters and digits; a shorter value is replaced where it stands, not inside other texts
_LONG = 7  # one this long is replaced even within a longer word


class Scrubber:
    """Scrubs one recording. The same *key* makes the same pseudonyms; nobody without it can undo or repeat them."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def scrub(self, resources: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return *resources* without what names anyone or anything, under their scrubbed paths."""
        for path, document in resources.items():
            self._collect(path, document)
        self._compile()
        return {self._text(path): self._object(document) for path, document in resources.items()}

    def leaks(self, text: str) -> list[str]:
        """Return what was found in the recording and still stands in *text*; for a last look before it is written."""
        found = self._pattern.findall(text) if self._pattern is not None else []
        return sorted({value for value in found if self._known.get(value) != value})

    # -- finding --------------------------------------------------------------------------------

    def _collect(self, key: str, value: object) -> None:
        match value:
            case Mapping():
                for name, inner in value.items():
                    self._collect(str(name), inner)
            case list() | tuple():
                for inner in value:
                    self._collect(key, inner)
            case str():
                self._note(key, value)
        if key.startswith("/"):
            self._note_forms("", key)

    def _note(self, key: str, value: str) -> None:
        if _NOTHING.match(value.strip()) or _TYPES.search(key):
            return
        if _VERSIONS.search(key):
            pass
        elif _is_address(value):
            if _WHERE.search(key) or ip_address(value).is_private:
                self._known.setdefault(value, self._address(value))
        elif _SERIALS.search(key) or _PLACES.search(key):
            self._known.setdefault(value, self._alike(value))
        elif _NAMES.search(key):
            self._known.setdefault(value, self._name("host", value))
        elif _PEOPLE.search(key):
            self._known.setdefault(value, self._name("user", value))
        elif _ADDRESSES.search(key) and not value.startswith("/"):
            self._known.setdefault(value, self._name("host", value))
        self._note_forms(key, value)

    def _note_forms(self, key: str, value: str) -> None:
        if not _VERSIONS.search(key):
            for found in _IPV4.findall(value):
                if _is_address(found) and ip_address(found).is_private:
                    self._known.setdefault(found, self._address(found))
        for found in _UUID.findall(value):
            made = self._hexadecimal(found)
            self._known.setdefault(found, made)
            for case in (str.lower, str.upper):
                self._known.setdefault(case(found.replace("-", "")), case(made.replace("-", "")))
        for found in _MAC.findall(value):
            if len(set(re.sub("[^0-9a-fA-F]", "", found).lower())) > 1:  # neither all zeros nor broadcast
                self._known.setdefault(found, self._mac(found))
                bare = re.sub("[:-]", "", found)
                for spelling in (bare, bare.lower(), bare.upper()):
                    self._known.setdefault(spelling, re.sub("[:-]", "", self._mac(_cased(found, spelling))))

    def _compile(self) -> None:
        """Make one pattern of all that is to be found inside texts, the longest first."""
        inside = sorted((v for v in self._known if _is_telling(v)), key=lambda v: (-len(v), v))
        self._pattern = re.compile("|".join(map(_anywhere, inside))) if inside else None

    # -- replacing ------------------------------------------------------------------------------

    def _object(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {self._text(name): self._value(name, inner) for name, inner in value.items()}

    def _value(self, key: str, value: Any) -> Any:
        match value:
            case Mapping():
                return self._object(value)
            case list() | tuple():
                return [self._value(key, inner) for inner in value]
            case str() if value and _SECRETS.search(key):
                return SECRET
            case str() if _TYPES.search(key) or (_VERSIONS.search(key) and _is_address(value)):
                return value
            case str() if value in self._known and not _is_telling(value):
                # Such as "bmc" or "rack": it names this machine where it is called a name, and nothing elsewhere.
                return self._known[value] if _identifies(key) else value
            case str():
                return self._text(value)
            case _:
                return value

    def _text(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._known[found[0]], text)

    # -- pseudonyms -----------------------------------------------------------------------------

    def _stream(self, value: str) -> Iterator[int]:
        """Endless bytes that follow from the key and the value, whose case does not matter."""
        block = 0
        while True:
            text = f"{block}:{value.lower()}".encode("utf-8", "surrogatepass")
            yield from hmac.digest(self._key, text, hashlib.sha256)
            block += 1

    def _alike(self, value: str) -> str:
        """Another value of the same form."""
        chance = self._stream(value)
        made = []
        for character in value:
            pool = next((pool for pool in _POOLS if character in pool), "")
            made.append(pool[next(chance) % len(pool)] if pool else character)
        return "".join(made)

    def _name(self, kind: str, value: str) -> str:
        """A plain name; what is known of serial numbers in it is not kept."""
        chance = self._stream(value)
        return f"{kind}-{''.join(f'{next(chance):02x}' for _ in range(4))}"

    def _hexadecimal(self, value: str) -> str:
        chance = self._stream(value)
        pool = string.digits + ("ABCDEF" if value != value.lower() else "abcdef")
        return "".join(character if character == "-" else pool[next(chance) % 16] for character in value)

    def _mac(self, value: str) -> str:
        """A locally administered address (02:...) in the same spelling."""
        separator = value[2]
        chance = self._stream(re.sub("[:-]", "", value))
        made = ["02", *(f"{next(chance):02x}" for _ in range(value.count(separator)))]
        text = separator.join(made)
        return text.upper() if value != value.lower() else text

    def _address(self, value: str) -> str:
        """An address of the ranges that are kept for documentation (RFC 2544, 3849); masks and loopback stay."""
        chance = self._stream(value)
        if ":" in value:
            six = IPv6Address(value)
            if six.is_loopback or six.is_unspecified:
                return value
            return f"2001:db8::{next(chance) | 16:x}{next(chance):02x}:{next(chance) | 16:x}{next(chance):02x}"
        four = IPv4Address(value)
        is_mask = "01" not in f"{int(four):032b}"
        if is_mask or four.is_multicast or four.is_loopback:
            return value
        return f"198.{18 + next(chance) % 2}.{next(chance)}.{1 + next(chance) % 254}"


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _is_telling(value: str) -> bool:
    """Whether *value* is so particular that it means the same wherever it stands."""
    return sum(map(str.isalnum, value)) >= _LEAST and any(map(str.isdigit, value))


def _anywhere(value: str) -> str:
    """A pattern of *value* inside other texts: within words, too, where it is too long to be there by chance."""
    escaped = re.escape(value)
    return escaped if len(value) >= _LONG else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


def _identifies(key: str) -> bool:
    return any(pattern.search(key) for pattern in (_SERIALS, _NAMES, _PEOPLE, _PLACES, _ADDRESSES))


def _cased(value: str, like: str) -> str:
    if like == like.lower():
        return value.lower()
    return value.upper() if like == like.upper() else value
