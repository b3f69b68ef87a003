from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import RefusedError, UnavailableError
from headwater.ingest.addresses import connected, is_public, places_of

INSIDE = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip
NETWORKS = [ipaddress.ip_network(text) for text in INSIDE]
inside = st.sampled_from(NETWORKS).flatmap(
    lambda net: st.integers(int(net.network_address), int(net.broadcast_address)).map(ipaddress.IPv4Address)
)


def spellings(address: ipaddress.IPv4Address) -> list[str]:
    """Return the ways in which the resolver lets one write an IPv4 address."""
    number = int(address)
    a, b, c, d = address.packed
    return [
        str(address),
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{b}.{(c << 8) | d}",
        f"{a}.{(b << 16) | (c << 8) | d}",
        f"0x{a:x}.0{b:o}.{c}.{d:#x}",
        f"::ffff:{address}",
        f"::ffff:{a:x}{b:02x}:{c:x}{d:02x}",
    ]


@given(inside)
def test_an_address_inside_is_refused_however_it_is_spelled(address: ipaddress.IPv4Address) -> None:
    for spelled in spellings(address):
        try:
            found = {str(place[0]) for *_, place in socket.getaddrinfo(spelled, 80, type=socket.SOCK_STREAM)}
        except OSError:
            continue  # a spelling that this resolver does not take leads nowhere
        assert not any(is_public(each) for each in found), spelled
        with pytest.raises(RefusedError):
            places_of(spelled, 80, private=False)


@given(inside)
def test_an_ipv6_address_that_carries_one_inside_is_inside(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    carriers = [
        ipaddress.IPv6Address((0xFFFF << 32) | number),  # mapped
        ipaddress.IPv6Address(number),  # compatible
        ipaddress.IPv6Address((0x64FF9B << 96) | number),  # NAT64
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),  # 6to4
        ipaddress.IPv6Address((0x2001 << 112) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF)),  # Teredo's client
    ]

    assert not any(is_public(str(each)) for each in carriers)


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_address_outside_all_blocks_is_public_and_no_other(address: ipaddress.IPv4Address) -> None:
    if any(address in network for network in NETWORKS):
        return

    assert is_public(str(address))
    assert is_public(f"::ffff:{address}")


@pytest.mark.parametrize(
    "text",
    ["::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "x"],
)  # fmt: skip
def test_ipv6_addresses_inside_are_not_public(text: str) -> None:
    assert not is_public(text)


def test_public_addresses_are() -> None:
    assert all(is_public(text) for text in ("8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"))


def test_a_name_that_answers_otherwise_the_second_time_is_connected_to_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["93.184.215.14", "127.0.0.1", "127.0.0.1"])
    asked: list[Any] = []

    def resolver(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(self: socket.socket, address: Any) -> None:
        asked.append(address)
        raise OSError("no route")

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr("headwater.ingest.addresses.socket.socket.connect", connect)
    with pytest.raises(UnavailableError):
        connected("rebinding.example", 80, private=False, timeout_s=1)

    assert asked == [("93.184.215.14", 80)]


def test_a_name_with_one_address_inside_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolver(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("8.8.8.8", "10.1.2.3")]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)

    with pytest.raises(RefusedError, match=r"10\.1\.2\.3 is not on the public network.*allow_private"):
        places_of("mixed.example", 443, private=False)
