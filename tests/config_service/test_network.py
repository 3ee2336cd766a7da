from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_service.core.network import InvalidNetworksError, NetworkPolicy, parse

METADATA = "169.254.169.254"


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "169.254.170.2",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "168.63.129.16",
        "192.0.0.192",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "0.0.0.0",
        "::",
        "::ffff:0.0.0.0",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_denied_by_default(address: str) -> None:
    assert parse().denies(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.1", "192.0.2.7", "2001:db8::1", "::ffff:10.0.0.1", "169.253.0.1"]
)
def test_allowed_by_default(address: str) -> None:
    assert not parse().denies(address)


def test_a_list_takes_the_place_of_the_default() -> None:
    policy = parse(" 10.0.0.0/8 , 2001:db8::/32, 192.0.2.7,")
    assert [policy.denies(a) for a in ("10.1.2.3", "2001:db8::5", "192.0.2.7", "::ffff:10.0.0.1")] == [
        True
    ] * 4
    assert not policy.denies(METADATA)


def test_none_denies_nothing() -> None:
    assert parse("none") == NetworkPolicy()
    assert not parse("none").denies(METADATA)


def test_every_entry_that_is_no_network_is_named() -> None:
    with pytest.raises(InvalidNetworksError) as caught:
        parse("10.0.0.0/8, here, 10.0.0.1/8, 300.0.0.0/8")
    text = str(caught.value)
    assert all(repr(entry) in text for entry in ("here", "10.0.0.1/8", "300.0.0.0/8"))
    assert "'10.0.0.0/8'" not in text


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_ipv6_form(address: ipaddress.IPv4Address) -> None:
    policy, number = parse(), int(address)
    forms = (f"::ffff:{address}", str(ipaddress.IPv6Address((0x64FF9B << 96) | number)))
    if policy.denies(str(address)):
        assert all(policy.denies(form) for form in forms)
    else:
        assert not any(policy.denies(form) for form in forms)
