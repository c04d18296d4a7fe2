"""What signed metadata lists as a way back stays in the archive, unless somebody says otherwise."""

from __future__ import annotations

from pathlib import Path

from rackwave.automation import Automation
from rackwave.core.retention import Retention
from rackwave.repository.examples import prepare_example
from rackwave.repository.keys import generate_key
from rackwave.repository.metadata.ceremony import Setup
from rackwave.repository.open_trust import PUBLISHER_KEY, TRUST
from rackwave.repository.trust import KeyringTrust


def test_what_signed_metadata_lists_stays(tmp_path: Path) -> None:
    """A.1 is listed as a way back: it goes only with beyond_signed, and A.2 is still sound then."""
    state = tmp_path / "state"
    state.mkdir()
    KeyringTrust(()).with_key(generate_key(state / PUBLISHER_KEY).public_key, lineages=("*",)).save(state / TRUST)
    sources = prepare_example("lab-bios", tmp_path / "source")[:2]
    manager = Automation(None, state).manager
    for source in sources:
        manager.publish(manager.build(source, tmp_path / source.name))
    Automation(None, state, passphrases=lambda _: b"a passphrase").stock.init_trust(Setup())
    automation = Automation(None, state)
    first, second = automation.stock.prune(Retention(last=0), automation.logbook).verdicts

    assert ("signed metadata lists it as a way back",) == first.reasons
    assert ("current", "signed metadata lists it as a way back") == second.reasons

    done = automation.stock.prune(Retention(last=0), automation.logbook, beyond_signed=True)

    assert [False, True] == [verdict.stays for verdict in done.verdicts]
    assert all(check.is_sound for check in automation.repository.verify())
    automation.records.close()
