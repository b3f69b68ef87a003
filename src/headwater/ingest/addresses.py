"""Which addresses of the network a source may reach: public ones, unless its declaration says otherwise.

Names are resolved once, every address is looked at, and the connection goes to an address that was looked at: a name
that answers differently the second time (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

from ..errors import InvalidInputError, RefusedError, UnavailableError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Place = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family, and what ``socket.connect`` takes."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
# Not public either, and counted otherwise by some versions of Python: protocol assignments, 6to4 relays, site-local.
_INSIDE = [ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10")]


def is_public(text: str) -> bool:
    """Tell whether an address, as the resolver gives it, belongs to the public network.

    Private, loopback, link-local, shared, multicast, reserved and unspecified addresses do not; nor does an IPv6
    address that carries such an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo).
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_alone_public(each) for each in (address, *_within(address)))


def _alone_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and next(_within(address), None) is not None:
        return not (address.is_loopback or address.is_unspecified)  # the address within decides
    return address.is_global and not address.is_multicast and not any(address in network for network in _INSIDE)


def _within(address: Address) -> Iterator[Address]:
    """Yield the IPv4 addresses that an IPv6 address carries."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif address in _NAT64 or address in _COMPATIBLE:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def places_of(host: str, port: int, *, private: bool) -> list[Place]:
    """Return where a host can be reached; with ``private``, also where that is not the public network.

    The host may be a name or an address in any spelling that the resolver takes (``2130706433``, ``0x7f.1``).

    Raises:
        RefusedError: one of its addresses is not public, and ``private`` is False.
        UnavailableError: the name cannot be resolved.
        InvalidInputError: it cannot be a name.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as error:  # not a name in any encoding, or one with NUL
        raise InvalidInputError(f"'{host}' cannot be the name of a host: {error}.", host=host) from error
    except OSError as error:
        raise UnavailableError(
            f"the host '{host}' cannot be found: {error.strerror or error}. Check the name, and that this machine "
            "has a network.",
            host=host,
        ) from error
    places: list[Place] = [(family, address) for family, _, _, _, address in found]
    hidden = sorted({str(address[0]) for _, address in places if not is_public(str(address[0]))})
    if hidden and not private:
        raise RefusedError(
            f"'{host}' was not asked: its address {', '.join(hidden)} is not on the public network. If the source is "
            "meant to read from there, say allow_private = true (or the list of its hosts) in its declaration.",
            host=host,
            addresses=hidden,
        )
    return places


def connected(host: str, port: int, *, private: bool, timeout_s: float) -> socket.socket:
    """Return a socket connected to the first address of a host that answers; raises as ``places_of``.

    Raises:
        UnavailableError: none answers.
    """
    last: OSError | None = None
    for family, address in places_of(host, port, private=private):
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(timeout_s)
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            opened.close()
            last = error
            continue
        return opened
    raise UnavailableError(f"{host}:{port} does not answer: {last}. Is it up, and the address right?", host=host)
