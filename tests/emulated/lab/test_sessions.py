"""Who may speak to a BMC of the lab."""

from __future__ import annotations

ROOT = "/redfish/v1"
SESSIONS = f"{ROOT}/SessionService/Sessions"


def test_the_service_root_is_open_and_the_rest_is_not(play, client):
    """Without credentials a BMC shows /redfish and its root, and answers 401 with a Redfish error to all else."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            told = [await bmc.ask("GET", path) for path in ("/redfish", ROOT, f"{ROOT}/", f"{ROOT}/Systems")]

            assert [200, 200, 200, 401] == [one.status for one in told]
            assert "Base.1.18.NoValidSession" == told[-1].body["error"]["@Message.ExtendedInfo"][0]["MessageId"]

    play(scenario)


def test_a_session_opens_and_closes(play, client):
    """A login answers 201 with token and Location; the token works until the session is deleted."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            login = await bmc.log_in()
            systems = await bmc.ask("GET", f"{ROOT}/Systems")
            listed = await bmc.get(SESSIONS)
            shown = await bmc.get(login.headers["Location"])
            opened = lab.truth()["totals"]["sessions_open"]
            gone = await bmc.ask("DELETE", login.headers["Location"])
            after = await bmc.ask("GET", f"{ROOT}/Systems")

            assert 201 == login.status
            assert 200 == systems.status
            assert [{"@odata.id": login.headers["Location"]}] == listed["Members"]
            assert "admin" == shown["UserName"]
            assert 1 == opened
            assert 204 == gone.status
            assert 401 == after.status
            assert 0 == lab.truth()["totals"]["sessions_open"]

    play(scenario)


def test_the_list_follows_logins_and_logouts(play, client):
    """Sessions lists those that are open now, not those that were when it was last read."""

    async def scenario(lab, clock):
        async with client(lab, basic="admin:password") as bmc:
            counts = []
            for _ in range(2):
                login = await bmc.ask("POST", SESSIONS, json={"UserName": "admin", "Password": "password"})
                counts.append((await bmc.get(SESSIONS))["Members@odata.count"])
            await bmc.ask("DELETE", login.headers["Location"])
            counts.append((await bmc.get(SESSIONS))["Members@odata.count"])

            assert [1, 2, 1] == counts

    play(scenario)


def test_wrong_credentials_are_refused(play, client):
    """A wrong password gets 401, by session and by Basic; nothing is opened."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            assert 401 == (await bmc.log_in(password="wrong")).status
            assert 401 == (await bmc.log_in(username="\ud800")).status
        async with client(lab, basic="admin:wrong") as bmc:
            assert 401 == (await bmc.ask("GET", f"{ROOT}/Systems")).status

        assert 0 == lab.truth()["totals"]["sessions_opened"]

    play(scenario)


def test_basic_authentication_works(play, client):
    """The right user and password are enough, without any session."""

    async def scenario(lab, clock):
        async with client(lab, basic="admin:password") as bmc:
            assert 200 == (await bmc.ask("GET", f"{ROOT}/Systems")).status

        assert 0 == lab.truth()["totals"]["sessions_opened"]

    play(scenario)


def test_a_bmc_runs_out_of_sessions(play, client):
    """The login after the last free session answers 503 with Retry-After (P26), until one expires."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            logins = [await bmc.log_in() for _ in range(3)]
            clock.advance(1801)
            late = await bmc.log_in()

            assert [201, 201, 503] == [login.status for login in logins]
            assert "Retry-After" in logins[-1].headers
            assert 201 == late.status
            assert 1 == lab.truth()["totals"]["sessions_open"]

    play(scenario, session_cap=2)


def test_a_session_lives_while_it_is_used(play, client):
    """The timeout counts from the last request, not from the login."""

    async def scenario(lab, clock):
        async with client(lab) as bmc:
            await bmc.log_in()
            statuses = []
            for pause in (1000, 1000, 1801):
                clock.advance(pause)
                statuses.append((await bmc.ask("GET", f"{ROOT}/Systems")).status)

            assert [200, 200, 401] == statuses

    play(scenario)
