"""Secrets at rest and in snapshots: nothing altered, copied or replayed is believed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from mqtt_shared.messages import Broker, MalformedMessageError, Snapshot, Subscription, Topics, encode
from mqtt_shared.sealing import (
    InvalidKeyError,
    Keyring,
    Secrets,
    UnsealError,
    digest,
    key_id,
    most_bytes,
    new_key,
    open_snapshot,
    seal_snapshot,
)

KEY = new_key()
SNAPSHOT = Snapshot(
    product_id=7,
    revision=3,
    issued_at=datetime(2026, 1, 1, tzinfo=UTC),
    issued_by="somebody",
    broker=Broker(host="broker.example.com", username="user"),
    topics=Topics(),
    variables={"application_id": "app"},
    subscriptions=[Subscription(id=1, name="orders", topic="a/b", actions=[{"type": "x"}])],
)
SEALED = seal_snapshot(SNAPSHOT, Secrets(password="hidden"), KEY)


def test_what_is_sealed_opens_again() -> None:
    opened = open_snapshot(SEALED, KEY)
    assert opened.secrets.password == "hidden"
    assert structs.replace(opened.snapshot, sealed="") == SNAPSHOT
    assert opened.digest == digest(SEALED)
    assert b"hidden" not in SEALED
    assert "hidden" not in repr(opened)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    places = cast("dict[Any, Any]", value) if isinstance(value, dict) else dict[Any, Any]()
    if isinstance(value, list):
        places = dict(enumerate(cast("list[Any]", value)))
    return [below for name in places for below in _paths(places[name], (*path, name))] or [path]


CONTENT = [path for path in _paths(json.loads(SEALED)) if not str(path[0]).startswith(("sealed", "issued"))]


@pytest.mark.parametrize("path", CONTENT, ids=str)
def test_no_field_can_be_altered(path: tuple[Any, ...]) -> None:
    content = json.loads(SEALED)
    place = content
    for name in path[:-1]:
        place = place[name]
    old = place[path[-1]]
    place[path[-1]] = (
        (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old or ''}x"
    )
    with pytest.raises((UnsealError, MalformedMessageError)):
        open_snapshot(json.dumps(content).encode(), KEY)


@pytest.mark.parametrize("name", ["variables", "subscriptions", "topics", "broker"])
def test_no_field_can_be_taken_away(name: str) -> None:
    content = json.loads(SEALED)
    del content[name]
    with pytest.raises(UnsealError):
        open_snapshot(json.dumps(content).encode(), KEY)


def test_no_field_can_be_added() -> None:
    with pytest.raises(UnsealError):
        open_snapshot(json.dumps(json.loads(SEALED) | {"future": 1}).encode(), KEY)


@settings(max_examples=300)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_byte_altered_is_refused_or_changes_nothing(position: int, mask: int) -> None:
    raw = bytearray(SEALED)
    raw[position] ^= mask
    try:
        opened = open_snapshot(bytes(raw), KEY)
    except (UnsealError, MalformedMessageError):
        return
    # Only who issued it and when stands outside the seal, and the last bits of base64 mean nothing.
    assert opened.digest == digest(SEALED)
    assert opened.secrets.password == "hidden"


@pytest.mark.parametrize("changes", [{"product_id": 8}, {"revision": 4}])
def test_a_seal_cannot_be_replayed_onto_another_product_or_revision(changes: dict[str, int]) -> None:
    other = json.loads(seal_snapshot(structs.replace(SNAPSHOT, **changes), Secrets(), KEY))
    other["sealed"] = json.loads(SEALED)["sealed"]
    with pytest.raises(UnsealError, match="another product or revision"):
        open_snapshot(json.dumps(other).encode(), KEY)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(UnsealError):
        open_snapshot(SEALED, new_key())


def test_while_a_key_is_replaced_both_open_it() -> None:
    old, new = new_key(), new_key()
    sealed = seal_snapshot(SNAPSHOT, Secrets(password="p"), new, old)
    for key in (old, new):
        assert open_snapshot(sealed, key).secrets.password == "p"


def test_the_digest_covers_content_only() -> None:
    later = structs.replace(SNAPSHOT, issued_at=datetime(2027, 1, 1, tzinfo=UTC), issued_by="another")
    assert digest(seal_snapshot(later, Secrets(), new_key())) == digest(SEALED)
    shuffled = dict(reversed(json.loads(SEALED).items()))
    assert digest(json.dumps(shuffled, indent=3).encode()) == digest(SEALED)


@given(st.text(max_size=50), st.integers(1, 2**31), st.sampled_from(["password", "product-key"]))
def test_secrets_at_rest_open_in_their_place_only(secret: str, product_id: int, purpose: str) -> None:
    ring = Keyring([KEY])
    token = ring.encrypt(secret, purpose=purpose, product_id=product_id)
    assert ring.decrypt(token, purpose=purpose, product_id=product_id) == secret
    for place in ({"purpose": "other", "product_id": product_id}, {"purpose": purpose, "product_id": 0}):
        with pytest.raises(UnsealError):
            ring.decrypt(token, **place)  # pyright: ignore[reportArgumentType] - mixed values


def test_rotation() -> None:
    old, new = new_key(), new_key()
    token = Keyring([old]).encrypt("s", purpose="p", product_id=1)
    ring = Keyring([new, old])
    assert ring.decrypt(token, purpose="p", product_id=1) == "s"
    assert not ring.is_current(token)
    assert ring.is_current(ring.encrypt("s", purpose="p", product_id=1))
    with pytest.raises(UnsealError):
        Keyring([new]).decrypt(token, purpose="p", product_id=1)


@pytest.mark.parametrize("keys", [[], ["short"], ["ü" * 44], [KEY, "short"]])
def test_bad_keys_are_refused_without_being_told(keys: list[str]) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        Keyring(keys)
    assert "short" not in str(caught.value)


def test_the_id_of_a_key_tells_nothing_about_it() -> None:
    assert key_id(KEY) == key_id(KEY)
    assert len(key_id(KEY)) == 12
    assert key_id(KEY) not in KEY


@given(
    texts=st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True), st.text(max_size=300)),
    password=st.text(max_size=512),
    revision=st.integers(min_value=1, max_value=2**62),
)
def test_the_size_of_what_is_sealed_is_known_before(
    texts: dict[str, str], password: str, revision: int
) -> None:
    keyring = Keyring([new_key()])
    snapshot = structs.replace(SNAPSHOT, revision=revision)
    tokens = [
        keyring.encrypt(password, purpose="broker-password", product_id=7),
        *(
            keyring.encrypt(text, purpose=f"named-secret {name}", product_id=7)
            for name, text in texts.items()
        ),
    ]
    most = most_bytes(encode(snapshot), tokens)
    made = len(seal_snapshot(snapshot, Secrets(password=password, named=texts), KEY, new_key()))
    assert made <= most <= made + 1000 + 400 * len(tokens)
