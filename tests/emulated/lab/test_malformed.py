"""What a BMC of the lab does with requests that make no sense: it says so, and stays."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import ssl

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rackwave_emulators.clock import VirtualClock
from rackwave_emulators.lab import Lab

ROOT = "/redfish/v1"
UPDATE_SERVICE = f"{ROOT}/UpdateService"
SIMPLE_UPDATE = f"{UPDATE_SERVICE}/Actions/UpdateService.SimpleUpdate"

DOORS = [
    ("POST", f"{ROOT}/SessionService/Sessions"),
    ("POST", SIMPLE_UPDATE),
    ("POST", f"{UPDATE_SERVICE}/update-multipart"),
    ("PATCH", UPDATE_SERVICE),
    ("POST", f"{ROOT}/Systems/1/Actions/ComputerSystem.Reset"),
    ("POST", f"{ROOT}/Managers/BMC/Actions/Manager.Reset"),
    ("PATCH", f"{ROOT}/Systems/1"),
    ("PATCH", f"{ROOT}/Managers/BMC"),
    ("PATCH", f"{ROOT}/Systems/1/Bios/Settings"),
    ("PATCH", f"{ROOT}/Systems/1/BIOS/Settings"),
    ("PATCH", f"{ROOT}/Systems/1/SecureBoot"),
    ("PATCH", f"{ROOT}/Systems/1/VirtualMedia/Cd"),
    ("POST", f"{ROOT}/Systems/1/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia"),
    ("POST", f"{ROOT}/CertificateService/Actions/CertificateService.ReplaceCertificate"),
]
WORDS = [
    "Attributes", "Boot", "BootSourceOverrideTarget", "CertificateString", "DateTime", "Image", "ImageURI",
    "IndicatorLED", "Password", "ResetType", "SecureBootEnable", "Targets", "TransferProtocol", "UserName",
    "VerifyCertificate", "VerifyRemoteServerCertificate",
]  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)
bodies = (
    st.dictionaries(st.sampled_from(WORDS), values, max_size=4).map(lambda body: json.dumps(body).encode())
    | values.map(lambda body: json.dumps(body).encode())
    | st.binary(max_size=64)
)


def is_redfish_error(body: object) -> bool:
    """Whether *body* is the error body that the specification asks for."""
    return isinstance(body, dict) and bool(body["error"]["@Message.ExtendedInfo"][0]["MessageId"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", SIMPLE_UPDATE, b"{", 400),
        ("POST", SIMPLE_UPDATE, b"[]", 400),
        ("POST", SIMPLE_UPDATE, b"{}", 400),
        ("POST", SIMPLE_UPDATE, b'{"ImageURI": 5}', 400),
        ("POST", SIMPLE_UPDATE, b'{"ImageURI": "tftp://h/x"}', 400),
        ("POST", SIMPLE_UPDATE, b'{"ImageURI": "http://h:port/x"}', 400),
        ("POST", SIMPLE_UPDATE, b'{"ImageURI": "http://h/x", "Targets": "BIOS"}', 400),
        ("POST", SIMPLE_UPDATE, b'{"ImageURI": "http://h/x", "Targets": ["/redfish/v1/Nothing"]}', 400),
        ("POST", SIMPLE_UPDATE, b'{"ImageURI": "http://h/x", "TransferProtocol": "TFTP"}', 400),
        ("POST", SIMPLE_UPDATE, b"[" * 100_000, 400),
        ("POST", SIMPLE_UPDATE, b'{"ImageURI": "' + b"x" * (1 << 20) + b'"}', 413),
        ("POST", f"{ROOT}/Systems/1/Actions/ComputerSystem.Reset", b"x" * (2 << 20), 413),
        ("POST", f"{UPDATE_SERVICE}/update-multipart", b"{}", 415),
        ("PATCH", f"{ROOT}/Systems/1", b'{"Boot": 5}', 400),
        ("PATCH", f"{ROOT}/Systems/1", b'{"IndicatorLED": "Green"}', 400),
        ("GET", f"{ROOT}/Chassis/nowhere", b"", 404),
        ("GET", f"{ROOT}/Systems/%ff%00", b"", 404),
        ("GET", f"{ROOT}/UpdateService/FirmwareInventory/NoSuch", b"", 404),
        ("GET", f"{ROOT}/UpdateService/FirmwareInventory?$skip=-1", b"", 400),
        ("DELETE", f"{ROOT}/SessionService/Sessions/77", b"", 404),
        ("DELETE", f"{ROOT}/UpdateService", b"", 405),
        ("POST", f"{ROOT}/TaskService/Tasks", b"{}", 405),
    ],
)
def test_nonsense_is_refused_in_redfish_words(play, client, method, path, body, status):
    """A malformed request gets the status that says what is wrong, with a Redfish error body, and begins nothing."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            data = io.BytesIO(body) if body else None
            told = await bmc.ask(method, path, data=data, headers={"Content-Type": "application/json"})

            assert (status, True) == (told.status, is_redfish_error(told.body))
            assert [] == lab.truth()["nodes"]["r1n01"]["writes"]

    play(scenario)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"--b\r\n\r\n--b--\r\n", 400),
        (b'--b\r\nContent-Disposition: form-data; name="UpdateParameters"\r\n\r\n[]\r\n--b--\r\n', 400),
        (b'--b\r\nContent-Disposition: form-data; name="UpdateParameters"\r\n\r\n{}\r\n--b--\r\n', 400),
        (b'--b\r\nContent-Disposition: form-data; name="UpdateFile"; filename="x"\r\n\r\nimage\r\n--b--\r\n', 400),
        (b'--b\r\nContent-Disposition: form-data; name="UpdateFile"; filename="x"\r\n\r\nimage that never ends', 400),
        (b'--b\r\nContent-Disposition: form-data; name="UpdateParameters"\r\n\r\n' + b" " * 70_000 + b"\r\n--b--", 413),
        (b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n--c--\r\n--b--\r\n", 400),
    ],
)
def test_a_broken_multipart_body_is_refused(play, client, tmp_path, body, status):
    """A multipart push whose body is broken gets 400 or 413 and leaves no file and no write behind."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            told = await bmc.ask(
                "POST",
                f"{UPDATE_SERVICE}/update-multipart",
                data=body,
                headers={"Content-Type": "multipart/form-data; boundary=b"},
            )

            assert (status, True) == (told.status, is_redfish_error(told.body))
            assert [] == list((tmp_path / "lab" / "inbox").glob("*"))
            assert [] == lab.truth()["nodes"]["r1n01"]["writes"]

    play(scenario)


def test_no_body_brings_a_bmc_down(client, tmp_path):
    """Whatever is sent to whichever door, the answer is never a 5xx but for a BMC that says it is busy."""
    with asyncio.Runner() as runner:
        clock = VirtualClock()
        lab = Lab(1, clock=clock, directory=tmp_path)
        runner.run(lab.__aenter__())

        async def send(door: tuple[str, str], body: bytes) -> int:
            clock.advance(200)  # a BMC or host that the last body restarted is back
            lab["r1n01"].sessions.forget()
            async with client(lab, basic="admin:password") as bmc:
                return int((await bmc.ask(*door, data=body, headers={"Content-Type": "application/json"})).status)

        @settings(
            max_examples=60,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(st.sampled_from(DOORS), bodies)
        def fuzz(door: tuple[str, str], body: bytes) -> None:
            assert runner.run(send(door, body)) in (200, 201, 202, 204, 400, 401, 404, 405, 409, 413, 415, 501, 502)

        try:
            fuzz()
        finally:
            runner.run(lab.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x00", b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x" * 70_000, b"\0" * 99]
)
def test_garbage_on_the_socket_does_no_harm(play, client, garbage):
    """A peer that speaks no HTTP, inside TLS or without it, is dropped, and the BMC goes on."""

    async def scenario(lab, clock):
        def talk(trust: ssl.SSLContext | None) -> None:
            station = lab["r1n01"]
            with socket.create_connection((station.address, station.port), timeout=5) as plain:
                peer = trust.wrap_socket(plain, server_hostname=station.address) if trust else plain
                with peer:
                    peer.sendall(garbage)
                    peer.shutdown(socket.SHUT_WR)
                    while peer.recv(4096):
                        pass

        for trust in (None, ssl.create_default_context(cafile=str(lab.ca))):
            with contextlib.suppress(OSError):  # a reset is a fair answer to garbage
                await asyncio.get_running_loop().run_in_executor(None, talk, trust)
        async with client(lab) as bmc:
            assert 201 == (await bmc.log_in()).status

    play(scenario)
