"""Is an address what it seems, and does a provider that is ourselves never pass for another?"""

import socket
from pathlib import Path

import pytest

from proxy.config import address as config_address
from proxy.config import load
from proxy.config.address import clash, is_base, is_proxy, leads_to
from proxy.edge.address import Address, address
from proxy.errors import ConfigError

OWN_NAME = socket.gethostname()


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:0",
        "[::1]:80",
        "localhost:65535",
        "a-b.c_d:1",
        "unix:/run/pillion/s.sock",
        "unix:/" + "é" * 53,
        "0.0.0.0:7455",
    ],
)
def test_an_address_is_spelled_as_it_was(text: str) -> None:
    assert str(address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", ":80", "h", "h:", "h:x", "h:65536", "h:-1", "h:٣", "h :80", "http://h:80", "::1:80", "[h]:80", "h/x:80",
        "unix:", "unix:relative", "unix:/a\nb", "unix:/" + "x" * 107, "unix:/" + "é" * 54,
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert address(text) is None


@pytest.mark.parametrize("url", ["http://h", "https://h:1/v1/", "http://[::1]:80/x", "HTTP://H"])
def test_a_base_url(url: str) -> None:
    assert is_base(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "ftp://h",
        "http://",
        "http://u@h",
        "http://h?q",
        "http://h#f",
        "http://h:0",
        "http://h é",
        "http://h\n",
        "http://h\\x/v1",
    ],
)
def test_what_is_no_base_url(url: str) -> None:
    assert not is_base(url)


def test_a_proxy_may_have_a_user_and_no_path() -> None:
    assert [is_proxy(url) for url in ("http://h:1", "http://u:p@h:1/", "https://u:p%40@h:1")] == [True, True, True]
    assert [is_proxy(url) for url in ("http://h:1/x", "http://u:p@", "h:1", "http://u:p@h?x")] == [False] * 4
    assert [is_proxy(f"http://u:p{special}@h:1") for special in "/?#[]\\"] == [False] * 6


OURS = [
    ("127.0.0.1:7455", "http://127.0.0.1:7455/v1"),
    ("127.0.0.1:7455", "https://127.0.0.1:7455"),
    ("127.0.0.1:7455", "http://localhost:7455"),
    ("127.0.0.1:7455", "http://LOCALHOST.:7455"),
    ("127.0.0.1:7455", "http://api.localhost:7455"),
    ("127.0.0.1:7455", "http://0.0.0.0:7455"),
    ("127.0.0.1:7455", "http://127.1:7455"),
    ("127.0.0.1:7455", "http://2130706433:7455"),
    ("127.0.0.1:7455", "http://0x7f000001:7455"),
    ("127.0.0.1:7455", "http://[::ffff:127.0.0.1]:7455"),
    ("localhost:7455", "http://127.0.0.1:7455"),
    ("localhost:7455", "http://[::1]:7455"),
    ("[::1]:7455", "http://localhost:7455"),
    ("127.0.0.1:80", "http://127.0.0.1"),
    ("127.0.0.1:443", "https://localhost/v1"),
    ("0.0.0.0:7455", "http://127.0.0.1:7455"),
    ("0.0.0.0:7455", "http://127.9.9.9:7455"),
    ("0.0.0.0:7455", "http://0.0.0.0:7455"),
    ("[::]:7455", "http://[::1]:7455"),
    ("[::]:7455", "http://localhost:7455"),
    ("0.0.0.0:7455", f"http://{OWN_NAME}:7455"),
    ("192.0.2.7:7455", "http://192.0.2.7:7455"),
    ("192.0.2.7:7455", f"http://{OWN_NAME}:7455"),
    ("pillion.example:7455", "http://Pillion.Example:7455"),
]


@pytest.mark.parametrize(("listen", "url"), OURS)
def test_what_leads_to_ourselves(listen: str, url: str) -> None:
    where = address(listen)
    assert where is not None
    assert leads_to(url, where)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:7455", "http://127.0.0.1:7456"),
        ("127.0.0.1:7455", "http://127.0.0.2:7455"),
        ("127.0.0.1:7455", "http://192.0.2.7:7455"),
        ("127.0.0.1:7455", f"http://{OWN_NAME}.example:7455"),
        ("127.0.0.1:0", "http://127.0.0.1:7455"),
        ("0.0.0.0:7455", "http://192.0.2.7:7455"),
        ("0.0.0.0:7455", "http://elsewhere.example:7455"),
        ("192.0.2.7:7455", "http://127.0.0.1:7455"),
        ("unix:/run/s", "http://127.0.0.1:7455"),
    ],
)
def test_what_leads_elsewhere(listen: str, url: str) -> None:
    where = address(listen)
    assert where is not None
    assert not leads_to(url, where)


NAMES = """
127.0.0.1  localhost
127.0.0.1	VM.example vm  # elsewhere
::1        six
192.0.2.9  far
no-address odd
"""


@pytest.mark.parametrize(
    ("listen", "url", "leads"),
    [
        ("127.0.0.1:7455", "http://vm:7455", True),
        ("127.0.0.1:7455", "http://VM.Example.:7455/v1", True),
        ("localhost:7455", "http://six:7455", True),
        ("0.0.0.0:7455", "http://vm:7455", True),
        ("vm:7455", "http://127.0.0.1:7455", True),
        ("far:7455", "http://192.0.2.9:7455", True),
        ("127.0.0.1:7455", "http://six:7455", False),
        ("127.0.0.1:7455", "http://far:7455", False),
        ("127.0.0.1:7455", "http://elsewhere:7455", False),
        ("127.0.0.1:7455", "http://odd:7455", False),
        ("127.0.0.1:7455", "http://vm:7456", False),
    ],
)
def test_a_name_in_this_machines_own_table_is_as_good_as_its_address(
    listen: str, url: str, leads: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts").write_text(NAMES)
    monkeypatch.setattr(config_address, "_HOSTS", tmp_path / "hosts")
    where = address(listen)
    assert where is not None
    assert leads_to(url, where) == leads


def test_a_machine_without_such_a_table_knows_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_address, "_HOSTS", tmp_path / "none")
    assert not leads_to("http://vm:7455", Address("127.0.0.1", 7455))


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", False),
        ("127.0.0.1:1", "0.0.0.0:1", False),
        ("127.0.0.1:1", "localhost:1", False),
        ("[::1]:1", "localhost:1", False),
        ("[::]:1", "[::1]:1", False),
        ("0.0.0.0:1", "192.0.2.7:1", False),
        ("0.0.0.0:1", "pillion.example:1", False),
        ("unix:/run/s", "unix:/run/s", False),
        ("127.0.0.1:1", "127.0.0.1:2", True),
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("127.0.0.1:1", "127.0.0.2:1", True),
        ("127.0.0.1:1", "[::1]:1", True),
        ("0.0.0.0:1", "[::]:1", True),
        ("127.0.0.1:1", "pillion.example:1", True),
        ("unix:/run/s", "unix:/run/t", True),
    ],
)
def test_which_listeners_can_be_had_together(one: str, other: str, together: bool) -> None:
    first, second = address(one), address(other)
    assert first
    assert second
    assert (clash(first, second), clash(second, first)) == (not together, not together)


def test_an_address_of_this_machine_is_ours_when_we_listen_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether 192.0.2.7 is one is asked of the kernel, by a bind that here succeeds."""
    monkeypatch.setattr(socket.socket, "bind", lambda *_: None)
    assert leads_to("http://192.0.2.7:7455", Address("0.0.0.0", 7455))


@pytest.mark.parametrize("path", ["/chat/completions", "/responses/", "/v1/messages", "/api/chat", "/v2/chat"])
def test_a_base_url_that_goes_on_to_an_endpoint_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=f"must end before {path.rstrip('/')}, which pillion adds itself"):
        load(environ={"GROQ_API_KEY": "k", "PILLION_GROQ_BASE_URL": f"https://llm.example{path}"})


def test_a_provider_that_is_ourselves_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ={"PILLION_OPENAI_BASE_URL": "http://localhost:7455/v1"})
    assert str(caught.value) == (
        "environment PILLION_OPENAI_BASE_URL: providers.openai.base_url: "
        "localhost:7455 is pillion's own address: it would call itself"
    )
    file = tmp_path / "config.yaml"
    file.write_text("listen: 127.0.0.1:11434\nproviders:\n  ollama:\n")
    with pytest.raises(
        ConfigError, match=r":3: providers\.ollama\.base_url: 127\.0\.0\.1:11434 is pillion's own address"
    ):
        load(file, {})
