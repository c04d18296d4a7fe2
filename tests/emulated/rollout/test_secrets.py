"""Credentials are references: no password, token or grant is in anything that is written or said."""

from __future__ import annotations

from pathlib import Path

from processes import to_its_end
from workplace import PASSWORD, Workplace


def test_nothing_that_is_written_or_said_holds_a_secret(workplace: Workplace) -> None:
    """After a rollout with a failure, no file and no output has the password, a session token or an image grant."""
    workplace.make_bundles("A.1")
    tokens: set[str] = set()
    said = [workplace.run("deploy", "A.1")]
    workplace.publish("A.2")
    workplace.inject("r1n02", {"fault": "flash-fails"})
    process = workplace.start("deploy", "A.2")
    workplace.wait_until(lambda: bool(tokens.update(_tokens(workplace)) or process.poll() is not None))
    out, err = to_its_end(process)
    reading = (
        ("status", "--look", "--json"),
        ("history", "--json"),
        ("doctor", "--json"),
        ("plan", "A.2", "--json"),
    )
    said.extend(workplace.run(*words) for words in reading)
    grants = {
        write["image"].split("/images/")[1].split("/")[0]
        for node in workplace.truth()["nodes"].values()
        for write in node["writes"]
    }

    assert tokens, "the test saw no session"
    assert grants, "the test saw no grant"
    for secret in (PASSWORD, *tokens, *grants):
        assert [] == [path for path in _files(workplace.directory) if secret.encode() in path.read_bytes()]
        assert secret not in out + err
        assert not any(secret in done.out + done.err for done in said)


def _tokens(workplace: Workplace) -> set[str]:
    return {session.token for station in workplace.lab.stations for session in station.sessions}


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]
