"""What a file of quirk records may hold, and what is said of one that holds something else."""

from __future__ import annotations

import pytest

from rackwave.bmc.quirks import Naming, TargetsSent, UpdateWay
from rackwave.bmc.quirks.reader import parse_records
from rackwave.core.observation import Post
from rackwave.errors import QuirkError

HEAD = '[[quirk]]\nid = "acme-odd"\nwhy = "it is"\nsince = "1.0"\nsource = "a person"\n'


def test_a_record():
    """A record tells whom it concerns, what differs, why, since when and who says so."""
    (record,) = parse_records(
        HEAD
        + """
match = { vendor = "Acme*", firmware = { at_least = "2.0" } }
[quirk.differs]
update_way = "MultipartHttpPush"
targets = "never"
[quirk.differs.components.BIOS]
id = ["Installed-*__BIOS", "BIOS-*"]
staged = "Pending-*"
[quirk.differs.post]
property = "Oem.Acme.Post"
words = { Done = "complete" }
""",
        origin="acme.toml",
    )

    assert ("acme-odd", "acme.toml", "it is", "1.0", "a person") == (
        record.id,
        record.origin,
        record.why,
        record.since,
        record.source,
    )
    assert ("components", "post", "update_way", "targets") == record.keys
    assert (UpdateWay.MULTIPART, TargetsSent.NEVER) == (record.differs.update_way, record.differs.targets)
    assert Naming(id=("Installed-*__BIOS", "BIOS-*"), staged=("Pending-*",)) == record.differs.components["BIOS"]
    assert record.differs.post is not None
    assert {"Done": Post.COMPLETE} == record.differs.post.words


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not toml", "acme.toml is no TOML"),
        ("", "acme.toml holds something else than [[quirk]] tables"),
        ("[[quirks]]\nid = 'x'", "acme.toml holds something else than [[quirk]] tables"),
        ("quirk = 1", "acme.toml holds something else than [[quirk]] tables"),
        ("[[quirk]]\nwhy = 'x'", "acme.toml, quirk 1: it has no 'id'"),
        (HEAD, "acme.toml, quirk 'acme-odd': it has no 'match'"),
        (HEAD + "when = 1\nmatch = {}\ndiffers = {}", "unknown key 'when'"),
        (HEAD + "match = {}\ndiffers = { start_update = true }", "'match' is no table with something in it"),
        (HEAD + "match = { vendor = '' }\ndiffers = { start_update = true }", "'match' is empty"),
        (HEAD + "match = { vendor = 'A' }\ndiffers = {}", "'differs' is no table with something in it"),
        (HEAD + "match = { vendor = 'A' }\ndiffers = { colour = 1 }", "unknown key 'colour' @ differs"),
        (HEAD + "match = { vendor = 7 }\ndiffers = { start_update = true }", "7 is no str @ match.vendor"),
        (HEAD + "match = { vendor = 'A' }\ndiffers = { start_update = 1 }", "1 is no bool @ differs.start_update"),
        (
            HEAD + "match = { vendor = 'A' }\ndiffers = { update_way = 'carrier pigeon' }",
            "'carrier pigeon' is none of auto, SimpleUpdate, MultipartHttpPush, HttpPush @ differs.update_way",
        ),
        (
            HEAD + "match = { vendor = 'A' }\ndiffers = { apply_time = 'Tomorrow' }",
            "'Tomorrow' is none of Immediate, OnReset",
        ),
        (
            HEAD + "match = { vendor = 'A' }\ndiffers = { components = { BIOS = { id = [1] } } }",
            "[1] is no list of texts @ differs.components['BIOS'].id",
        ),
        (HEAD + "match = { vendor = 'A' }\ndiffers = { post = { words = {} } }", "it has no 'property'"),
        (
            HEAD + "match = { vendor = 'A', firmware = { below = 'v2' } }\ndiffers = { start_update = true }",
            "match.firmware: 'v2' is no dotted number",
        ),
        (
            HEAD + "match = { vendor = 'A', firmware = { form = 'v*' } }\ndiffers = { start_update = true }",
            "match.firmware needs at_least or below",
        ),
    ],
)
def test_a_wrong_record_is_named(text: str, told: str):
    """What is wrong is told with the file, the record and the key, and where to read what is right."""
    with pytest.raises(QuirkError) as raised:
        parse_records(text, origin="acme.toml")

    assert told in str(raised.value)
    assert "acme.toml" in str(raised.value)
    assert "docs/quirks.md" in raised.value.advice
