"""Settings: URLs are checked at the start, and what they hold is not shown."""

from __future__ import annotations

import pytest

from mqtt_shared.settings import InvalidSettingsError, NatsSettings, load


@pytest.mark.parametrize(
    "url", ["foo", "http://h:4222", "nats://", "nats://h:abc", "nats://h:99999", "nats://a b"]
)
def test_a_bad_nats_url_is_named(url: str) -> None:
    with pytest.raises(InvalidSettingsError, match="NATS_URL"):
        load(NatsSettings, {"nats_url": url})


def test_a_bad_url_does_not_show_its_password() -> None:
    with pytest.raises(InvalidSettingsError) as refused:
        load(NatsSettings, {"nats_url": "nats://somebody:made-up-secret@h:abc"})
    assert "made-up-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["nats://h", "nats://u:p@h:4222, tls://other.example.com:4222", "ws://[::1]:80"]
)
def test_good_nats_urls(url: str) -> None:
    assert load(NatsSettings, {"nats_url": url}).nats_url == url
