"""The inventory: what is understood, and what is refused with which words."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwave.bmc.hook import HookCommand
from rackwave.core.access import AccessPolicy
from rackwave.core.identity import Lineage, NodeName
from rackwave.core.node import Selector
from rackwave.core.pin import Trust
from rackwave.core.watch_policy import WatchPolicy
from rackwave.errors import InventoryError, UsageError
from rackwave.inventory import Inventory, load_inventory, parse_inventory, select
from rackwave.inventory.ranges import LIMIT, count, expand

_PATH = Path("/lab/inventory.toml")
_RACKS = """
[defaults]
credentials = "env:LAB"
ca = "lab-ca.pem"
vendor = "Contoso"
labels = { site = "x" }

[[nodes]]
name = "r[1-4]n[01-16]"
bmc = "https://10.0.[1-4].[1-16]"
model = "R100"
labels = { rack = "r{1}", place = "{2}" }

[[nodes]]
name = "spare"
bmc = "http://127.0.0.9:8000/"
credentials = "file:spare.toml"
vendor = "Other"
insecure_http = true
ca = "/etc/ca.pem"

[lineages.A]
select = { vendor = "Contoso", model = "R*", labels = { rack = "r[12]" } }

[lineages.B.select]
nodes = ["r1n[01-02]", "spare"]

[serving]
listen = "0.0.0.0:8443"
cert = "images.pem"
key = "/etc/images.key"

[policy]
poll = 0.5
canary = 0
recovery = "prior-at-once"
"""


def _parse(text: str) -> Inventory:
    return parse_inventory(text, _PATH)


def _node(more: str = "", bmc: str = "https://10.0.0.1") -> str:
    return f'[[nodes]]\nname = "n1"\nbmc = "{bmc}"\ncredentials = "env:LAB"\n{more}\n'


def test_ranges_expand_in_step() -> None:
    """The n-th name has the n-th address, and labels know the name's ranges."""
    inventory = _parse(_RACKS)
    last = inventory.node(NodeName("r4n16"))

    assert 65 == len(inventory.nodes)
    assert ("r1n01", "https://10.0.1.1") == (inventory.nodes[0].name, inventory.nodes[0].bmc_url)
    assert ("https://10.0.4.16", "10.0.4.16") == (last.bmc_url, last.bmc_host)
    assert {"site": "x", "rack": "r4", "place": "16"} == dict(last.node.labels)


def test_defaults_and_what_overrides_them() -> None:
    """A node takes the defaults where it says nothing; paths start from the file's directory."""
    inventory = _parse(_RACKS)
    first, spare = inventory.nodes[0], inventory.nodes[-1]

    assert ("env:LAB", Path("/lab/lab-ca.pem"), "Contoso", False) == (
        first.credentials,
        first.ca,
        first.node.vendor,
        first.insecure_http,
    )
    assert ("file:/lab/spare.toml", Path("/etc/ca.pem"), "Other", True) == (
        spare.credentials,
        spare.ca,
        spare.node.vendor,
        spare.insecure_http,
    )
    assert "http://127.0.0.9:8000" == spare.bmc_url


def test_how_bmcs_are_believed_and_treated() -> None:
    """A node is verified unless it says "pin"; [access] is for all of them."""
    text = "[defaults]\nca = 'ca.pem'\n[access]\nin_flight = 7\nrepin = 'never'\n" + _node("tls = 'pin'\nca = ''")
    pinned = _parse(text)
    plain = _parse(_RACKS)

    assert (Trust.PIN, None) == (pinned.nodes[0].trust, pinned.nodes[0].ca)
    assert AccessPolicy(in_flight=7, repin="never") == pinned.access
    assert (Trust.CA, Trust.NOBODY) == (plain.nodes[0].trust, plain.nodes[-1].trust)
    assert ("x", AccessPolicy()) == (plain.nodes[0].site, plain.access)


def test_how_closely_the_fleet_is_watched() -> None:
    """[watch] changes what it names."""
    found = _parse("[watch]\nlatest = 600\ndrift = 'reassert'\nlisten = false\n" + _node()).watch

    assert WatchPolicy(latest=600, drift="reassert", listen=False) == found
    assert WatchPolicy() == _parse(_RACKS).watch


def test_lineages_become_selectors() -> None:
    """Every lineage has its selector; ``nodes`` names nodes as the command line does."""
    one, other = _parse(_RACKS).selectors

    assert Selector(Lineage("A"), "Contoso", "R*", {"rack": "r[12]"}) == one
    assert Selector(Lineage("B"), names=frozenset(map(NodeName, ("r1n01", "r1n02", "spare")))) == other


def test_serving_and_policy() -> None:
    """The image server's table and the policy's numbers are read."""
    inventory = _parse(_RACKS)

    assert ("0.0.0.0:8443", Path("/lab/images.pem"), Path("/etc/images.key")) == (
        inventory.serving.listen,
        inventory.serving.cert,
        inventory.serving.key,
    )
    assert {"poll": 0.5, "canary": 0, "recovery": "prior-at-once"} == dict(inventory.policy)


def test_template_instead_of_a_range() -> None:
    """An address may be made of the node's name."""
    inventory = _parse(
        '[[nodes]]\nname = "n[1,5-6]"\nbmc = "https://{name}-bmc.example:8{1}"\ncredentials = "env:LAB"\n'
    )

    assert ["https://n1-bmc.example:81", "https://n5-bmc.example:85", "https://n6-bmc.example:86"] == [
        managed.bmc_url for managed in inventory.nodes
    ]


def test_ipv6() -> None:
    """An IPv6 address in brackets is no range."""
    assert "2001:db8::1" == _parse(_node(bmc="https://[2001:db8::1]:443")).nodes[0].bmc_host


def test_a_second_way_in_step() -> None:
    """Where a BMC listens for IPMI expands as its address does, or is made of it; its login is the node's own."""
    nodes = _parse(
        '[defaults]\ncredentials = "env:LAB"\nipmi = "{host}"\n'
        '[[nodes]]\nname = "n[1-2]"\nbmc = "https://10.0.0.[1-2]:8443"\n'
        '[[nodes]]\nname = "m[1-2]"\nbmc = "https://{name}.example"\nipmi = "10.0.1.[1-2]:6230"\n'
        'ipmi_credentials = "file:ipmi.toml"\n'
        '[[nodes]]\nname = "v6"\nbmc = "https://[2001:db8::1]"\n'
        '[[nodes]]\nname = "none"\nbmc = "https://10.0.0.9"\nipmi = ""\n'
    ).nodes

    assert ["10.0.0.1:623", "10.0.0.2:623", "10.0.1.1:6230", "10.0.1.2:6230", "[2001:db8::1]:623", "None"] == [
        str(managed.ipmi) for managed in nodes
    ]
    assert ("env:LAB", "file:/lab/ipmi.toml") == (nodes[0].ipmi_credentials, nodes[2].ipmi_credentials)
    assert all(managed.has_redfish for managed in nodes)


def test_a_node_without_redfish() -> None:
    """An ipmi:// address says that there is no Redfish; its host is the BMC's all the same."""
    (managed,) = _parse(_node(bmc="ipmi://10.0.0.7:6230")).nodes

    assert not managed.has_redfish
    assert ("10.0.0.7", "10.0.0.7:6230") == (managed.bmc_host, str(managed.ipmi))


def test_commands_that_restart_a_bmc() -> None:
    """A command is a list of words, or a text that is cut into them; a program beside the file is found there."""
    inventory = _parse(
        _node()
        + '[outlet]\ncommand = ["bin/pdu", "{node}", "{action}"]\ntimeout = 30\n'
        + "[in_band]\ncommand = \"ssh 'root@{node}' ipmitool mc reset cold\"\n"
    )

    assert HookCommand(("/lab/bin/pdu", "{node}", "{action}"), 30.0) == inventory.outlet
    assert HookCommand(("ssh", "root@{node}", "ipmitool", "mc", "reset", "cold")) == inventory.in_band


_REFUSED = [
    (_node("ipmi = 'u:p@10.0.0.1'"), "'ipmi' has credentials in it", "ipmi_credentials"),
    (_node("ipmi = '10.0.0.1:x'"), "'ipmi' is '10.0.0.1:x'", "address:port"),
    (_node("ipmi = 'http://10.0.0.1'"), "'ipmi' is 'http://10.0.0.1'", "address:port"),
    (_node("ipmi = '10.0.0.[1-2]'"), "'ipmi' for 2 addresses", "in step"),
    (_node("ipmi_credentials = 'secret'"), "[[nodes]] 'n1'", "env:"),
    (_node("ipmi = '10.0.0.1'", bmc="ipmi://10.0.0.2"), "there is 'ipmi' too", "out"),
    (
        _node("ipmi = 'x'") + _node("ipmi = 'x'").replace("n1", "n2").replace("//", "//2"),
        "have one BMC, ipmi://x:623",
        "",
    ),
    (_node() + "[outlet]\n", "'command' is no command", "program"),
    (_node() + "[outlet]\ncommand = []\n", "'command' is no command", "program"),
    (_node() + "[outlet]\ncommand = 'pdu \"{node}'\n", "'command' is no command", "program"),
    (_node() + "[outlet]\ncommand = 'pdu {node} {rack}'\n", "{rack}", "Only {node}"),
    (_node() + "[outlet]\ncommand = 'pdu cycle'\n", "no {node}", "every node"),
    (_node() + "[outlet]\ncommand = 'pdu {node} --password=x'\n", "a secret in it", "file"),
    (_node() + "[outlet]\ncommand = 'pdu {node}'\ntimeout = 0\n", "'timeout'", "more than 0"),
    (_node() + "[in_band]\ncomand = 'x'\n", "unknown key 'comand'", "command"),
    ("nodes = 1", "no list of tables", "[[nodes]]"),
    ("", "there are no nodes", "[[nodes]]"),
    ("[[nodes]]\nname = 'n1'\n", "'bmc' is missing", "bmc address"),
    ("[[nodes]]\nbmc = 'https://x'\n", "'name' is missing", "name"),
    ("[[nodes]]\nname = 'n1'\nbmc = 'https://x'\n", "'credentials' is missing", "env:LAB"),
    (_node("vendr = 'x'"), "unknown key 'vendr'", "'vendor'"),
    (_node("qqq = 'x'"), "unknown key 'qqq'", "Known keys"),
    (_node() + "[defalts]\n", "unknown key 'defalts'", "'defaults'"),
    (_node() + "[defaults]\nname = 'x'\n", "unknown key 'name'", "Known keys"),
    (_node() + "[lineages.A]\nselct = {}\n", "unknown key 'selct'", "'select'"),
    (_node() + "[lineages.A]\nselect = { modl = 'x' }\n", "unknown key 'modl'", "'model'"),
    (_node() + "[lineages.'1 A']\nselect = {}\n", "not a lineage", "matches"),
    (_node() + "[lineages]\nA = 1\n", "no table", "select"),
    (_node() + "[lineages.A]\nselect = { nodes = 'n2' }\n", "Not in the inventory: n2", "n1"),
    (_node() + "[lineages.A]\nselect = { nodes = 2 }\n", "'nodes' is neither", "r[1-4]"),
    (_node() + "[serving]\nlisten = 'x'\n", "listen is 'x'", "address:port"),
    (_node() + "[serving]\nlifetime = true\n", "'lifetime'", "seconds"),
    (_node() + "[policy]\npol = 1\n", "unknown key 'pol'", "'poll'"),
    (_node() + "[policy]\npoll = -1\n", "poll is -1", "0 or more"),
    (_node() + "[policy]\nrecovery = 'pray'\n", "recovery is 'pray'", "resend-then-prior"),
    (_node() + "[policy]\nrecovery = []\n", "recovery is []", "resend-then-prior"),
    (_node("password = 'hunter2'"), "'password' does not belong", "env:LAB"),
    (_node("Username = 'root'"), "'Username' does not belong", "env:LAB"),
    (_node("labels = { a = 1 }"), "labels 'a' is a number", "texts"),
    (_node("labels = 'a'"), "'labels' is no table", "[labels]"),
    (_node("vendor = ['x']"), "'vendor' is a list", "quotation"),
    (_node("tls = 'none'"), "'tls' is 'none'", "nothing drops verification"),
    (_node("tls = true"), "'tls' is true or false", "quotation"),
    (_node("tls = 'pin'\nca = 'ca.pem'"), "exclude one another", "needs no pin"),
    ("[defaults]\nca = 'ca.pem'\n" + _node("tls = 'pin'"), "exclude one another", 'ca = ""'),
    (_node("tls = 'pin'\ninsecure_http = true"), "exclude one another", "Without TLS"),
    (_node() + "[access]\nin_fligt = 2\n", "unknown key 'in_fligt'", "'in_flight'"),
    (_node() + "[access]\nin_flight = 0\n", "in_flight is 0", "from 1"),
    (_node() + "[access]\nin_flight = true\n", "in_flight is True", "from 1"),
    (_node() + "[access]\nrepin = 'always'\n", "repin is 'always'", "never"),
    (_node() + "[access]\nrepin = []\n", "repin is []", "never"),
    (_node() + "[watch]\ndirft = 'report'\n", "unknown key 'dirft'", "'drift'"),
    (_node() + "[watch]\ndrift = 'mend'\n", "drift is 'mend'", "report, reassert"),
    (_node() + "[watch]\ndead = []\n", "dead is []", "recover, report"),
    (_node() + "[watch]\nlatest = 1e400\n", "latest is inf", "from 1 to 86400"),
    (_node() + "[watch]\nsoonest = 400\n", "latest is 300 and soonest 400", "not below"),
    (_node("insecure_http = 'yes'"), "'insecure_http' is a text", "true or false"),
    (_node(bmc="http://10.0.0.1"), "without TLS", "insecure_http"),
    (_node(bmc="10.0.0.1"), "'bmc' is '10.0.0.1'", "https://"),
    (_node(bmc="https://10.0.0.1/redfish"), "'bmc' is", "path"),
    (_node(bmc="https://bmc..example"), "'bmc' is 'https://bmc..example'", "https://"),
    (_node(bmc=f"https://{'x' * 64}.example"), "'bmc' is", "https://"),
    (_node(bmc="ipmi://bmc..example"), "'bmc' is 'ipmi://bmc..example'", "https://"),
    (_node("ipmi = 'bmc..example'"), "'ipmi' is 'bmc..example'", "address:port"),
    (_node(bmc="https://10.0.0.1:x"), "'bmc' is", "https://"),
    (_node(bmc="https://10.0.0.{1}"), "'bmc' is", "https://"),
    (_node(bmc="https://root:hunter2@10.0.0.1"), "credentials in it", "reference"),
    (_node(bmc="https://10.0.0.[1-2]"), "1 nodes and 'bmc' for 2 addresses", "in step"),
    (_node(bmc="https://10.0.0.[2-1]"), "which is empty", "lower number first"),
    (_node(bmc="https://10.0.0.[1"), "without its partner", "r[1-4]"),
    (_node() + _node(bmc="https://10.0.0.2"), "two nodes are called 'n1'", "own name"),
    (_node() + _node(bmc="https://10.0.0.1").replace("n1", "n2"), "n1 and n2 have one BMC", "own"),
    ("[[nodes]]\nname = 'a b'\nbmc = 'https://x'\ncredentials = 'env:LAB'\n", "not a node name", "matches"),
    ("[[nodes]]\nname = 'n[1-99999]'\nbmc = 'https://x{1}'\n", "more than 10000", "slip"),
    ("[[nodes]]\nname = 'n1'\nbmc = 'https://x'\ncredentials = 'hunter2'\n", "no reference", "env:PREFIX"),
    ("x = [" * 3, "is not TOML", ""),
    ("x = " + "[" * 5000, "is not TOML", ""),
]


@pytest.mark.parametrize(("text", "what", "advice"), _REFUSED)
def test_refused(text: str, what: str, advice: str) -> None:
    """What cannot be used is refused with the file, the place, what is wrong and what to do."""
    with pytest.raises(InventoryError) as caught:
        _parse(text)

    assert str(_PATH) in str(caught.value)
    assert what in str(caught.value)
    assert advice in caught.value.advice
    assert "hunter2" not in str(caught.value) + caught.value.advice


def test_message_names_the_table() -> None:
    """The table at fault is named, by the node's name where it has one."""
    with pytest.raises(InventoryError, match=r"\[\[nodes\]\] 'n1': 'vendor' is a number"):
        _parse(_node("vendor = 1"))


def test_load(tmp_path: Path) -> None:
    """A file is read, and one that cannot be is an inventory error."""
    path = tmp_path / "inventory.toml"
    path.write_text(_node())
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")

    assert "n1" == load_inventory(path).nodes[0].name
    with pytest.raises(InventoryError, match="No such file"):
        load_inventory(tmp_path / "none.toml")
    with pytest.raises(InventoryError, match="UTF-8"):
        load_inventory(tmp_path / "binary.toml")


_words = st.sampled_from(
    [
        "nodes",
        "defaults",
        "lineages",
        "serving",
        "policy",
        "name",
        "bmc",
        "labels",
        "select",
        "credentials",
        "A",
        "poll",
    ]
)
_values = st.recursive(
    st.sampled_from(
        [
            "1",
            "-1",
            "true",
            "1e400",
            "nan",
            "'n[1-3]'",
            "'https://x'",
            "'https://x[1-3]'",
            "'env:LAB'",
            "'['",
            "''",
            "1979-05-27",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda v: f"[{', '.join(v)}]")
        | st.dictionaries(_words, inner, max_size=3).map(
            lambda v: "{" + ", ".join(f"{key} = {value}" for key, value in v.items()) + "}"
        )
    ),
    max_leaves=5,
)
_lines = st.one_of(
    st.builds("{} = {}".format, _words, _values),
    st.builds("[{}]".format, _words),
    st.builds("[[{}]]".format, _words),
    st.builds("[lineages.{}]".format, _words),
)
_garbage = st.text(max_size=60) | st.lists(_lines, max_size=8).map("\n".join)


@settings(max_examples=250, deadline=None)
@given(_garbage)
def test_garbage(text: str) -> None:
    """Whatever stands in the file, it is an inventory or an InventoryError."""
    assert _parse_or_words(text)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(_words, st.text(max_size=8) | st.integers() | st.booleans(), max_size=5))
def test_garbage_in_a_good_inventory(more: dict[str, str | int | bool]) -> None:
    """A node with any keys of any type is read or refused in words."""
    text = "\n".join(f"{key} = {_toml(value)}" for key, value in more.items() if key not in ("name", "bmc"))

    assert _parse_or_words(_node(text.replace("credentials = ", "ca = ")))


def _parse_or_words(text: str) -> bool:
    """Whether *text* is an inventory with nodes, or refused by an error that names the file."""
    try:
        return bool(_parse(text).nodes)
    except InventoryError as error:
        return str(_PATH) in str(error)


def _toml(value: str | int | bool) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return (
                '"' + "".join(f"\\U{ord(letter):08x}" for letter in value if not 0xD800 <= ord(letter) < 0xE000) + '"'
            )


# -- ranges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n", ["n"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("n[3,1]", ["n3", "n1"]),
        ("r[1-2]n[1-2]x", ["r1n1x", "r1n2x", "r2n1x", "r2n2x"]),
        ("n[1-9/4]", ["n1", "n5", "n9"]),
        ("https://[fe80::1]/n[1]", ["https://[fe80::1]/n1"]),
    ],
)
def test_expand(text: str, expected: list[str]) -> None:
    """Ranges expand in the order in which they are written, the first slowest."""
    assert expected == [one.text for one in expand(text)]


@pytest.mark.parametrize("text", ["n[", "n]", "n[]", "n[a]", "n[1-]", "n[3-1]", "n[1-3/0]", "n[1][", "n[[1]]", "n[٣]"])
def test_malformed_ranges(text: str) -> None:
    """A malformed range is a usage error."""
    with pytest.raises(UsageError):
        list(expand(text))


def test_bounded() -> None:
    """A range of millions is refused without being expanded."""
    for text in ("n[1-99999999]", "n[1-999][1-999][1-999]", "n[1-9999,1-9999]"):
        with pytest.raises(UsageError, match="more than"):
            list(expand(text))


@given(st.text(alphabet="ab[]0123456789-,/:", max_size=25))
def test_any_range(text: str) -> None:
    """Any text expands to as many names as count() says, or is a usage error; names do not grow out of hand."""
    try:
        names = [one.text for one in expand(text)]
    except UsageError:
        return

    assert count(text) == len(names) <= LIMIT


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from(["", "0", "00"]))
def test_range_of_numbers(first: int, length: int, zeros: str) -> None:
    """A range holds every number from its first to its last, padded as the first is."""
    start = f"{zeros}{first}"
    width = len(start) if start.startswith("0") else 0

    assert [f"n{number:0{width}d}" for number in range(first, first + length + 1)] == [
        one.text for one in expand(f"n[{start}-{first + length}]")
    ]


# -- choosing nodes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("spare", ["spare"]),
        ("spare,r1n01", ["r1n01", "spare"]),
        ("r[1-2]n[01-02]", ["r1n01", "r1n02", "r2n01", "r2n02"]),
        ("r1n[01,03], r2n16", ["r1n01", "r1n03", "r2n16"]),
        ("r1n[01-03]!r1n02", ["r1n01", "r1n03"]),
        ("rack=r3&place=1[56]", ["r3n15", "r3n16"]),
        ("rack=r1&place=01,rack=r2&place=01", ["r1n01", "r2n01"]),
        ("r1n01,r1n01", ["r1n01"]),
    ],
)
def test_select(expression: str, expected: list[str]) -> None:
    """Names, ranges and labels choose nodes, each once, in the inventory's order."""
    assert expected == [node.name for node in select(_parse(_RACKS), expression)]


@pytest.mark.parametrize(("expression", "number"), [("@all", 65), ("rack=r1", 16), ("rack=r[12]", 32), ("site=x", 65)])
def test_select_many(expression: str, number: int) -> None:
    """@all is every node, and a label takes patterns."""
    assert number == len(select(_parse(_RACKS), expression))


@pytest.mark.parametrize(
    ("expression", "what", "advice"),
    [
        ("r1n99", "Not in the inventory: r1n99", "r1n09"),
        ("r1n[90-99]", "and 5 more", "r1n09"),
        ("zzzzzz", "Not in the inventory", "rackwave status"),
        ("rack=r9", "selects no node", "rack=r1"),
        ("", "selects no node", "@all"),
        (",", "selects no node", "@all"),
        ("@racks", "no group", "@all"),
        ("r1n[01-", "cannot be read", "r[1-4]"),
        ("r1n[x]", "range 'x'", "[1-4]"),
        ("r[1-99999999]", "more than", "slip"),
        ("r1n01!r1n01", "selects no node", "@all"),
        ("r1n01!", "cannot be read", "r[1-4]"),
    ],
)
def test_select_refused(expression: str, what: str, advice: str) -> None:
    """Unknown names, malformed expressions and empty choices are usage errors that say what to try."""
    with pytest.raises(UsageError) as caught:
        select(_parse(_RACKS), expression)

    assert what in str(caught.value)
    assert advice in caught.value.advice


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="rn10[]-,!&^@=/% ", max_size=20))
def test_select_anything(expression: str) -> None:
    """Any expression chooses nodes or is a usage error."""
    inventory = _parse(_RACKS)
    try:
        chosen = select(inventory, expression)
    except UsageError:
        return

    assert chosen
    assert {node.name for node in chosen} <= {managed.name for managed in inventory.nodes}


def test_unknown_node() -> None:
    """Asking for one node by a wrong name says what may have been meant."""
    with pytest.raises(UsageError) as caught:
        _parse(_RACKS).node(NodeName("spar"))

    assert "spare" in caught.value.advice


def test_windows_of_their_own_are_read_by_name_and_label(tmp_path: Path) -> None:
    """A node that several tables name has all of these windows; what is wrong is named by its table."""
    nodes = (
        '[[nodes]]\nname = "r1n[1-2]"\nbmc = "https://10.0.0.[1-2]"\ncredentials = "env:LAB"\n'
        'labels = { rack = "r1" }\n'
    )
    text = nodes + (
        '[[windows]]\nnodes = "rack=r1"\nwindow = "Sat 22:00-04:00 UTC"\n'
        '[[windows]]\nnodes = "r1n2"\nwindow = "23:00-01:00 UTC"\n'
    )
    found = parse_inventory(text, tmp_path / "rackwave.toml").windows

    assert {"r1n1": 1, "r1n2": 2} == {str(node): len(windows) for node, windows in found.items()}
    for wrong in (
        'nodes = "r9"\nwindow = "23:00-01:00 UTC"',
        'nodes = "r1n1"\nwindow = "noon"',
        'nodes = "r1n1"',
        "nodes = 3",
        "x = 1",
    ):
        with pytest.raises(InventoryError, match="number 1"):
            parse_inventory(f"{nodes}[[windows]]\n{wrong}", tmp_path / "rackwave.toml")
