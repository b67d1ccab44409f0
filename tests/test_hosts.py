"""Who is let in by the names that a request says?"""

import pytest

from proxy.errors import GatewayError
from proxy.hosts import Hosts

OURS = ["localhost", "localhost:7455", "LOCALHOST", "127.0.0.1:7455", "[::1]:7455", "[::1]", "10.1.2.3:80", "pillion:1"]
STRANGE = ["evil.example", "evil.example:7455", "localhost.evil.example", "127.0.0.1.nip.io", "localhost@evil", "a, b"]
FOREIGN = ["https://evil.example", "http://localhost.evil.example:7455", "null", "http://93.184.216.34", ""]


@pytest.mark.parametrize("host", OURS)
def test_our_names_and_bare_addresses_are_let_in(host: str) -> None:
    hosts = Hosts(["pillion"])
    hosts.check({"host": host})
    hosts.check({"host": host})  # remembered now


@pytest.mark.parametrize("host", STRANGE)
def test_a_name_that_is_not_ours_is_refused_every_time(host: str) -> None:
    hosts = Hosts()
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            hosts.check({"host": host})
        assert (caught.value.status, caught.value.code) == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["", ":80", "[]"])
def test_a_host_that_names_nobody_is_a_bad_request(host: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Hosts().check({"host": host})
    assert caught.value.status == 400


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_is_refused(origin: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Hosts().check({"host": "localhost", "origin": origin})
    assert (caught.value.status, caught.value.code) == (403, "origin_not_allowed")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080", "http://app:80"])
def test_a_page_of_this_machine_is_not(origin: str) -> None:
    Hosts(["app"]).check({"host": "localhost", "origin": origin})


def test_the_names_that_are_remembered_are_bounded() -> None:
    hosts = Hosts()
    for port in range(1000):
        hosts.check({"host": f"localhost:{port}"})
    assert len(hosts._met) == 100
