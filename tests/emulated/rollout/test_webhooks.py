"""A rollout over the wire that tells a webhook of what people must know."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from hook_server import hook_server
from workplace import Workplace


@pytest.mark.lab(nodes=2)
def test_a_stop_and_an_approval_are_told_and_a_dead_hook_changes_nothing(workplace: Workplace) -> None:
    """One hook that listens and one that is not there: the rollout ends as it would without, and the log says so."""
    workplace.make_bundles("A.1")
    workplace.run("deploy", "A.1")
    workplace.publish("A.2")
    workplace.environment["HOOK"] = "s3cret"
    with hook_server() as server:
        workplace.inventory.write_text(
            f"{workplace.inventory.read_text()}\n"
            f'[[webhooks]]\nname = "chat"\nurl = "{server.url}"\nsecret = "env:HOOK"\n'
            '[[webhooks]]\nname = "dead"\nurl = "http://127.0.0.1:9/x"\n'
        )
        deploying = workplace.start("deploy", "A.2", "--approval", "after-canary")
        workplace.wait_until(lambda: len(server.got) == 1, process=deploying)
        asked = server.got[0].json
        workplace.inject("r1n02", {"fault": "flash-fails", "percent": 40})
        workplace.run(*asked["command"].split()[1:])
        _, complaint = deploying.communicate(timeout=90)
        schema = json.loads((files("rackwave.schemas") / "webhook.schema.json").read_text("utf-8"))

        assert 4 == deploying.returncode, complaint
        assert ["approval", "done"] == [asked["what"], workplace.run("rollout", "list", "--json").json[-1]["result"]]
        assert ["approval"] == [got.json["what"] for got in server.got]  # "done" was not asked for
        assert 1 == complaint.count("webhook failed hook=dead")
        assert "s3cret" not in complaint + workplace.run("history", "--json").out
        jsonschema.validate(asked, schema)
