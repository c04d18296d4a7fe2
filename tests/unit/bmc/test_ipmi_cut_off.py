"""What was sent over IPMI stays sent, whatever becomes of the session afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from scripted_link import ScriptedLink, scripted_bmc

from rackwave.bmc.ipmi.bmc import IpmiBmc
from rackwave.bmc.ipmi.hpm import BLOCK, FINISH, INITIATE
from rackwave.bmc.ipmi.session import Command
from rackwave.bmc.ipmi.threads import Threads
from rackwave.core.identity import ComponentName, Digest
from rackwave.core.receipt import Accepted, Ambiguous, Receipt
from rackwave.errors import BmcAmbiguousError, BmcAnswerError, BmcLoginError
from rackwave.ports import Credentials, Image

GROUP = b"\0\0"
TOLD = {
    (0x06, 0x01): bytes(12),
    (0x06, 0x02): b"\0",
    (0x2C, 0x2E): GROUP + bytes([0, 0, 0, 0, 0, 0, 1]),
    (0x2C, 0x2F): GROUP + b"BIOS\0\0\0\0\0\0\0\0",
    (0x2C, 0x34): GROUP + bytes([INITIATE.number, 0]),
}


class Fickle(ScriptedLink):
    """A BMC that falls silent at the command *last* and lets nobody in from then on; Finish is the write itself."""

    def __init__(self, last: Command | None, *, long: bool = False) -> None:
        super().__init__(self._told)
        self.last = last
        self.long = long
        self.is_shut = False

    def open(self, credentials: Credentials) -> None:
        if self.is_shut:
            raise BmcLoginError("node1: RAKP 2 was refused", node="node1")
        super().open(credentials)

    def _told(self, netfn: int, command: int, data: bytes) -> bytes:
        if self.last is not None and (netfn, command) == (self.last.netfn, self.last.number):
            self.is_shut = True
            if self.long:
                return b"\x80\0"
        if self.is_shut:
            raise BmcAmbiguousError("node1: no answer", node="node1")
        return TOLD.get((netfn, command), GROUP)


def written(link: Fickle, folder: Path, done: list[str]) -> Receipt:
    """Write an image of a few bytes."""
    path = folder / "image"
    path.write_bytes(bytes(40))

    async def completing(*, held: bool = False) -> None:
        done.append("completing")

    async def run() -> Receipt:
        threads = Threads()
        bmc, _ = scripted_bmc(link.answer, threads)
        bmc.session._link = link
        image = Image(ComponentName("BIOS"), "2.0.0", Digest("sha256:" + "0" * 64), 40, path, "image")
        try:
            return await bmc.write(image, completing=completing)
        finally:
            threads.close()

    return asyncio.run(run())


def test_a_calm_one_takes_it(tmp_path: Path) -> None:
    """The script is a BMC that takes an image."""
    assert isinstance(written(Fickle(None), tmp_path, []), Accepted)


@pytest.mark.parametrize(("last", "is_whole"), [(BLOCK, True), (FINISH, True)])
def test_a_login_that_is_refused_amid_an_upload_takes_nothing_back(
    tmp_path: Path, last: Command, is_whole: bool
) -> None:
    """The session is lost at the last block or at Finish, and the account is gone: it is in doubt, not refused."""
    done: list[str] = []
    receipt = written(Fickle(last), tmp_path, done)

    assert isinstance(receipt, Ambiguous)
    assert is_whole is receipt.body_complete
    assert ["completing"] == done


def test_a_preparation_that_was_begun_is_not_called_refused(tmp_path: Path) -> None:
    """A BMC that began to prepare its flash and fell silent may have erased it: nobody says that nothing was done."""
    assert isinstance(written(Fickle(INITIATE, long=True), tmp_path, []), Ambiguous)


def test_a_restart_of_the_bmc_that_was_taken_is_not_called_refused() -> None:
    """It says yes, and then something that nobody can read: whether it restarted is not known."""
    told: list[bool] = []

    def answer(netfn: int, command: int, data: bytes) -> bytes:
        if (netfn, command) == (0x06, 0x02):
            told.append(True)
        elif told:
            raise BmcAnswerError("node1: nonsense", node="node1")
        return TOLD[netfn, command]

    async def run() -> Receipt:
        threads = Threads()
        bmc: IpmiBmc = scripted_bmc(answer, threads)[0]
        try:
            return await bmc.reset_bmc()
        finally:
            threads.close()

    assert isinstance(asyncio.run(run()), Ambiguous)
