"""What a host program sees of the library's log lines in its own format."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mqtt_shared import logs

if TYPE_CHECKING:
    import pytest


def test_the_values_stand_in_the_message_and_secrets_do_not(caplog: pytest.LogCaptureFixture) -> None:
    log = logs.get_logger("library")
    with caplog.at_level(logging.INFO):
        log.warning("cannot connect, 5 % of", reason="Connection refused", password="made-up")
        log.info("plain")
    assert [record.getMessage() for record in caplog.records] == [
        "cannot connect, 5 % of (reason: Connection refused, password: ***)",
        "plain",
    ]
    assert vars(caplog.records[0])["reason"] == "Connection refused"
