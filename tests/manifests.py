"""Manifests as documents, one that uses every field and any that is right, for tests of readers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rackwave.core.version import SCHEMES

DIGEST = "sha256:" + "a" * 64


def document() -> dict[str, Any]:
    """A manifest that uses every field."""
    return {
        "lineage": "A",
        "seq": 2,
        "purpose": "BIOS 2.0.0",
        "applies_to": {"vendor": "Lab*", "model": "*"},
        "elements": [
            {
                "name": "bios",
                "kind": "bios-image",
                "component": "BIOS",
                "version": "2.0.0",
                "payload": "bios.bin",
                "activation": "host-reset",
                "reversibility": "reflash",
                "scheme": "dotted",
                "applies_to": {"vendor": "Lab", "model": "R7*"},
                "accepts": ["1.*"],
                "via": ["1.8.0", "bundle:A.1"],
                "time_limit": 900,
                "checks": ["installed-version", "post", "log"],
                "executor": "bmc",
            },
            {
                "name": "settings",
                "kind": "bios-settings",
                "activation": "host-reset",
                "reversibility": "reflash",
                "attributes": {"BootMode": "Uefi", "AcPwrRcvryDelay": 60, "QuietBoot": True},
                "after": ["bios"],
            },
        ],
        "payloads": [{"name": "bios.bin", "role": "data", "digest": DIGEST, "size": 7}],
        "image": {"digest": DIGEST, "size": 500},
    }


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
EXTRAS = st.dictionaries(TEXTS.map(lambda text: "x-" + text), JSON, max_size=3)


FRACTIONS = st.floats(0.5, 1799.5).filter(lambda value: not value.is_integer())
"""Whole numbers are written without a fraction, so 30.0 is no document of ours."""


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Any manifest that is right, with fields that we do not know anywhere."""
    elements: list[dict[str, Any]] = []
    payloads: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 4))):
        element: dict[str, Any] = {
            "name": f"e{index}",
            "activation": draw(st.sampled_from(["immediate", "host-reset", "bmc-reset"])),
            "reversibility": draw(st.sampled_from(["bank-switch", "reflash", "ac-cycle", "one-way"])),
            **draw(EXTRAS),
        }
        if draw(st.booleans()):
            name = f"p{index}-{draw(NAMES)}"
            size = draw(st.integers(1, 2**40))
            payloads.append({"name": name, "role": "data", "digest": DIGEST, "size": size, **draw(EXTRAS)})
            kind = draw(st.sampled_from(["bios-image", "bmc-firmware", "device-firmware"]))
            version = draw(st.from_regex(r"[A-Za-z0-9]{1,6}", fullmatch=True))
            component = f"C{index}{draw(st.sampled_from(['', '.*', '.?']))}"
            element |= {"kind": kind, "component": component, "version": version, "payload": name}
            if draw(st.booleans()):
                element |= {"scheme": draw(st.sampled_from(sorted(SCHEMES))), "via": ["1", "bundle:A.1"]}
        else:
            values = st.none() | st.booleans() | st.integers(-100, 100) | TEXTS
            attributes = draw(st.dictionaries(NAMES, values, min_size=1, max_size=3))
            own = {f"{index}{name}": value for name, value in attributes.items()}
            element |= {"kind": "bios-settings", "attributes": own}
        if draw(st.booleans()):
            element |= {"checks": ["post", "in-band"], "executor": "bmc", "applies_to": {"vendor": "*", "model": "R"}}
            element["applies_to"] |= draw(EXTRAS)
        if draw(st.booleans()):
            element["time_limit"] = draw(st.integers(1, 1799) | FRACTIONS)
        if index and draw(st.booleans()):
            element["after"] = [f"e{draw(st.integers(0, index - 1))}"]
        elements.append(element)
    made = {
        "lineage": draw(st.from_regex(r"[A-Z][A-Za-z0-9_-]{0,4}", fullmatch=True)),
        "seq": draw(st.integers(0, 10**9)),
        "purpose": draw(TEXTS),
        "applies_to": {"vendor": "*", "model": "R7*", **draw(EXTRAS)},
        "elements": elements,
        **draw(EXTRAS),
    }
    made |= draw(st.sampled_from([{}, {"enforce_by": "2026-12-01T06:00+01:00"}]))
    return {**made, "payloads": payloads} if payloads else made
