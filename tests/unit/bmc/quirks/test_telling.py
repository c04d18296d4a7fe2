"""What people and programs are told of records."""

from __future__ import annotations

from rackwave.bmc.quirks import Facts, Roster
from rackwave.bmc.quirks.reader import parse_records
from rackwave.bmc.quirks.telling import concerns, record_document, selection_document

TEXT = """
[[quirk]]
id = "bios"
match = { vendor = "Acme*", firmware = { at_least = "2.0", form = "v*" } }
why = "it is"
since = "2.0"
source = "seen"
[quirk.differs]
targets = "never"
components.BIOS = { id = "Rom-*" }
post = { property = "Oem.Acme.Post", words = { Done = "complete" } }
"""


def test_a_record_is_told_as_it_was_written():
    """The document of a record holds what its file sets, and nothing that it leaves open."""
    (record,) = parse_records(TEXT, origin="acme.toml")

    assert {
        "id": "bios",
        "file": "acme.toml",
        "match": {"vendor": "Acme*", "firmware": {"at_least": "2.0", "form": "v*"}},
        "differs": {
            "components": {"BIOS": {"id": ["Rom-*"]}},
            "post": {"property": "Oem.Acme.Post", "words": {"Done": "complete"}},
            "targets": "never",
        },
        "why": "it is",
        "since": "2.0",
        "source": "seen",
    } == record_document(record)
    assert "vendor Acme*, firmware at least 2.0" == concerns(record.match)


def test_what_records_come_to_is_told_without_what_is_as_ever():
    """The sum of the records names only what differs; what fails by its firmware is told with the reason."""
    roster = Roster(parse_records(TEXT, origin="acme.toml"))

    holds = selection_document(roster.select(Facts(vendor=("Acme",), firmware="v2.1")))
    fails = selection_document(roster.select(Facts(vendor=("Acme",), firmware="v1.9")))

    assert ["bios"] == [record["id"] for record in holds["records"]]
    assert {"components", "post", "targets"} == set(holds["quirks"])
    assert ([], {}) == (fails["records"], fails["quirks"])
    assert [{"id": "bios", "file": "acme.toml", "but": "firmware 'v1.9' is not at least 2.0"}] == fails["near"]
