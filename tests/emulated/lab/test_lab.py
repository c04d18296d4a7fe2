"""The lab as a whole: its files, its certificates, its control interface, its command."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import time
import tomllib
import urllib.request

import aiohttp
import attrs
import pytest
from click.testing import CliRunner

from processes import said_until, to_its_end
from rackwave.errors import UsageError
from rackwave_emulators.cli import lab as lab_command
from rackwave_emulators.images import read_image
from rackwave_emulators.lab import Lab, Place
from rackwave_emulators.personality import load_personality

ROOT = "/redfish/v1"


async def control(lab, method, path, **options):
    """Ask the control interface; return status and JSON."""
    async with aiohttp.ClientSession(lab.control.url) as session, session.request(method, path, **options) as answer:
        return answer.status, await answer.json()


def test_the_files_tell_where_everything_is(play, tmp_path):
    """Inventory, credentials, node list and lab.json agree with the lab; secrets are readable by their owner alone."""

    async def scenario(lab, clock):
        inventory = tomllib.loads((lab.directory / "inventory.toml").read_text())
        credentials = tomllib.loads((lab.directory / "credentials.toml").read_text())
        nodes = json.loads((lab.directory / "nodes.json").read_text())
        about = json.loads((lab.directory / "lab.json").read_text())
        private = [lab.directory / name for name in ("credentials.toml", "server.key")]

        assert lab.urls == {node["name"]: node["bmc"] for node in inventory["nodes"]}
        assert lab.urls == {node["name"]: node["url"] for node in nodes}
        assert ["r1", "r2"] == [inventory["nodes"][index]["labels"]["rack"] for index in (0, 16)]
        assert f"file:{lab.directory}/credentials.toml" == inventory["defaults"]["credentials"]
        assert str(lab.ca) == inventory["defaults"]["ca"]
        assert {"username": "admin", "password": "password"} == credentials
        assert (lab.control.url, os.getpid()) == (about["control"], about["pid"])
        assert [0o600, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in private]

    play(scenario, nodes=17)


def test_every_bmc_has_a_name_and_an_address_of_its_own():
    """A thousand places have a thousand names and a thousand addresses of loopback."""
    places = [Place.of(index) for index in range(1000)]

    assert 1000 == len({place.name for place in places}) == len({place.address for place in places})
    assert ("r63n08", "127.1.62.8") == (places[-1].name, places[-1].address)


def test_certificates_are_verified_and_are_each_their_own(play, client):
    """The lab's CA makes a BMC trusted; without it, or for another BMC's address, the handshake fails."""

    async def scenario(lab, clock):
        async with client(lab, "r1n02") as bmc:
            assert 200 == (await bmc.ask("GET", ROOT)).status
        trusting = ssl.create_default_context(cafile=str(lab.ca))
        station = lab["r1n01"]
        for url, context, name in (
            (station.url, ssl.create_default_context(), None),
            (station.url, trusting, lab["r1n02"].address),
        ):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await session.get(url + ROOT, server_hostname=name)

    play(scenario, nodes=2)


def test_plain_http_needs_no_certificate(play, client):
    """With plain_http the URLs are http, and there is no CA."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            assert bmc.station.url.startswith("http://")
            assert 201 == (await bmc.log_in()).status
        assert lab.ca is None

    play(scenario, plain_http=True)


def test_collections_come_in_pages_where_the_make_says_so(play, client):
    """A BMC with a page size of 2 hands out three components in two pages (P47)."""
    plain = load_personality("plain")

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            path, pages = f"{ROOT}/UpdateService/FirmwareInventory", []
            while path:
                pages.append(await bmc.get(path))
                path = pages[-1].get("Members@odata.nextLink")

            assert [2, 1] == [len(page["Members"]) for page in pages]
            assert [3, 3] == [page["Members@odata.count"] for page in pages]

    play(scenario, personality=attrs.evolve(plain, rules=attrs.evolve(plain.rules, page_size=2)))


def test_skip_and_top_choose_members(play, client):
    """$skip and $top cut a collection as the specification says; a client that asked for few gets no next page."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            told = [
                await bmc.get(f"{ROOT}/UpdateService/FirmwareInventory?{query}")
                for query in ("$top=2", "$skip=2", "$top=0", "$skip=1&$top=1", "$skip=9")
            ]

            assert [2, 1, 0, 1, 0] == [len(page["Members"]) for page in told]
            assert not any("Members@odata.nextLink" in page for page in told)

    play(scenario)


def test_one_seed_is_one_rack(tmp_path):
    """The same seed gives the same serial numbers and ids, another seed others."""
    serials = [
        [station.machine.serial for station in Lab(3, seed=seed, directory=tmp_path).stations] for seed in (1, 1, 2)
    ]

    assert serials[0] == serials[1]
    assert not set(serials[0]) & set(serials[2])


def test_versions_are_set_at_the_start(tmp_path):
    """A component starts with the version that was asked for, and one that does not exist is refused."""
    station = Lab(1, versions={"BIOS": "7.0.0"}, directory=tmp_path).stations[0]

    assert "7.0.0" == station.bios_version()
    with pytest.raises(UsageError, match="NoSuch"):
        Lab(1, versions={"NoSuch": "1"}, directory=tmp_path)


def test_control_tells_the_truth(play, client):
    """The truth holds every node, its sums, and what the lab itself cost."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            status, truth = await control(lab, "GET", "/truth")
            _, node = await control(lab, "GET", "/nodes/r1n01")
            await control(lab, "POST", "/reset-counters")
            _, after = await control(lab, "GET", "/truth")

            assert 200 == status
            assert {
                "nodes": 2,
                "flashes": 0,
                "double_flashes": 0,
                "sessions_open": 1,
                "sessions_opened": 1,
                "requests": 1,
                "connections": 1,
            } == truth["totals"]
            assert truth["nodes"]["r1n01"] == node
            assert truth["lab"]["cpu_seconds"] > 0
            assert (0, 1) == (after["totals"]["requests"], after["totals"]["sessions_open"])

    play(scenario, nodes=2)


def test_control_injects_and_clears_faults(play):
    """A fault that is posted is armed on its node alone; DELETE disarms it; the catalogue knows it."""

    async def scenario(lab, clock):
        armed = await control(
            lab, "POST", "/nodes/r1n02/faults", json={"fault": "flash-fails", "percent": 70, "leaves": "corrupt"}
        )
        other = await control(lab, "GET", "/nodes/r1n01/faults")
        cleared = await control(lab, "DELETE", "/nodes/r1n02/faults?fault=flash-fails")
        _, known = await control(lab, "GET", "/faults")

        assert 201 == armed[0]
        assert ("flash-fails", 70, "corrupt") == tuple(armed[1][0][key] for key in ("fault", "percent", "leaves"))
        assert (200, []) == other == cleared
        assert {"flash-fails", "answer-lost", "task-vanishes", "host-dead"} <= {entry["fault"] for entry in known}

    play(scenario, nodes=2)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/nodes/nowhere/faults", '{"fault": "flash-fails"}', 404),
        ("/nodes/r1n01/faults", '{"fault": "gremlins"}', 400),
        ("/nodes/r1n01/faults", '{"fault": "flash-fails", "percent": "many"}', 400),
        ("/nodes/r1n01/faults", '{"fault": "flash-fails", "percent": 101}', 400),
        ("/nodes/r1n01/faults", '{"fault": "flash-fails", "colour": 1}', 400),
        ("/nodes/r1n01/faults", "[5]", 400),
        ("/nodes/r1n01/faults", "{", 400),
        ("/nodes/r1n01/reset-host", '{"ResetType": 5}', 400),
        ("/nodes/r1n01/reset-host", '{"ResetType": "Explode"}', 400),
        ("/nonsense", "{}", 404),
    ],
)
def test_control_refuses_what_it_does_not_understand(play, path, body, status):
    """Bad input gets 400 or 404 with the reason, and arms nothing."""

    async def scenario(lab, clock):
        told = await control(lab, "POST", path, data=body)

        assert status == told[0]
        assert told[1]["error"]
        assert () == lab["r1n01"].faults()

    play(scenario)


def test_control_reaches_the_power_button(play):
    """reset-host and reset-bmc act as a person in front of the machine would."""

    async def scenario(lab, clock):
        _, off = await control(lab, "POST", "/nodes/r1n01/reset-host", json={"ResetType": "ForceOff"})
        _, away = await control(lab, "POST", "/nodes/r1n01/reset-bmc")

        assert "PoweringOff" == off["power"]
        assert away["bmc_alive"] is False

    play(scenario)


def test_the_command_ends_with_its_parent(tmp_path):
    """``lab up --with-parent`` says when it is ready and ends by itself when its standard input closes."""
    arguments = ["up", "--nodes", "2", "--directory", str(tmp_path), "--time-scale", "5", "--with-parent"]
    process = start(arguments)
    told = read_until_ready(process)
    about = json.loads((tmp_path / "lab.json").read_text())
    with urllib.request.urlopen(f"{about['control']}/truth", timeout=10) as answer:  # noqa: S310 - the lab's own URL
        truth = json.load(answer)
    rest, _ = to_its_end(process, 30)  # which closes its standard input first

    assert "ready: 2 BMCs\n" == told
    assert 2 == truth["totals"]["nodes"]
    assert (0, "") == (process.returncode, rest)


def test_the_command_ends_on_a_signal(tmp_path):
    """SIGTERM ends the lab quietly, with exit code 0."""
    process = start(["up", "--nodes", "1", "--directory", str(tmp_path)])
    read_until_ready(process)
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(10)
    process.stdin.close()
    process.stdout.close()


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """Start the lab command in a process of its own."""
    code = "from rackwave_emulators.cli import lab; lab()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def read_until_ready(process: subprocess.Popen[str]) -> str:
    """Return the ready line."""
    return said_until(process, lambda line: line.startswith("ready"))[-1]


def test_the_command_makes_images(tmp_path):
    """``lab image`` writes an image that the lab's BMCs verify."""
    path = tmp_path / "new.img"
    result = CliRunner().invoke(
        lab_command, ["image", str(path), "--component", "NIC", "--version", "9.9", "--size", "4096"]
    )
    facts = read_image(path)

    assert 0 == result.exit_code
    assert ("NIC", "9.9", 4096) == (facts.component, facts.version, facts.size)


def test_the_command_lists_faults():
    """``lab faults`` names each fault, and --json has every parameter with its default."""
    plain = CliRunner().invoke(lab_command, ["faults"])
    told = CliRunner().invoke(lab_command, ["faults", "--json"])
    by_name = {entry["fault"]: entry for entry in json.loads(told.output)["faults"]}

    assert "flash-fails" in plain.output
    assert 50 == len(json.loads(told.output)["pathologies"])
    assert 40 == by_name["flash-fails"]["parameters"]["percent"]


def test_a_part_of_the_rack_is_slow(play, client):
    """The last nodes take the time they were given for each request, and the others theirs."""

    async def scenario(lab, clock):
        took = []
        for name in ("r1n01", "r1n02"):
            async with client(lab, name) as bmc:
                await bmc.ask("GET", ROOT)
                start = time.monotonic()
                await bmc.ask("GET", ROOT)
                took.append(time.monotonic() - start)

        assert took[0] < 0.3 <= took[1]

    play(scenario, nodes=2, slow=(1, 0.3))
