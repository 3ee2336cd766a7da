"""Which addresses the connection test may not reach. Pure: no name is resolved here.

Whoever may test a connection makes this service open one to a host of their choice. The addresses denied by
default are those where an answer would be worth stealing: a cloud machine's metadata, and the link.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DEFAULT_DENIED", "SETTING", "InvalidNetworksError", "NetworkPolicy", "parse"]

SETTING = "TEST_DENIED_NETWORKS"
"""The setting that holds the denied networks, for messages that name it."""

DEFAULT_DENIED = ",".join(
    (
        "169.254.0.0/16",  # link-local, and the metadata services of most clouds (RFC 3927)
        "fe80::/10",
        "100.100.100.200/32",  # metadata services outside the link-local networks
        "192.0.0.192/32",
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "224.0.0.0/4",  # multicast and broadcast
        "255.255.255.255/32",
        "ff00::/8",
        "0.0.0.0/8",  # unspecified: the system would take this machine
        "::/128",
    )
)

# RFC 6052: the well-known prefix under which a NAT64 gateway reaches IPv4.
_NAT64 = IPv6Network("64:ff9b::/96")
_LOW_32_BITS = 2**32 - 1

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class InvalidNetworksError(ValueError):
    """The list of networks has entries that are none; the text names each."""


class NetworkPolicy(Struct, frozen=True):
    """The denied networks."""

    denied: tuple[Network, ...] = ()

    def denies(self, address: str) -> bool:
        """Is this IP address in a denied network, also as the IPv4 address inside an IPv6 one?

        Raises:
            ValueError: not an IP address.
        """
        return any(
            form in network for form in _forms(ipaddress.ip_address(address)) for network in self.denied
        )


def _forms(address: Address) -> Iterator[Address]:
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    # IPv4-compatible (RFC 4291, 2.5.5.1), but neither :: nor ::1.
    if address in _NAT64 or 1 < int(address) <= _LOW_32_BITS:
        yield IPv4Address(int(address) & _LOW_32_BITS)


def parse(text: str = DEFAULT_DENIED) -> NetworkPolicy:
    """The policy of a comma-separated list of networks and addresses; `none` denies nothing.

    Raises:
        InvalidNetworksError: names every entry that is no network.
    """
    if text.strip() == "none":
        return NetworkPolicy()
    networks, faults = list[Network](), list[str]()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError as error:
            faults.append(f"{entry!r} is no network like 10.0.0.0/8 or fd00::/8 ({error})")
    if faults:
        raise InvalidNetworksError("; ".join(faults))
    return NetworkPolicy(tuple(networks))
