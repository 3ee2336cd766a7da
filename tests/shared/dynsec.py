"""Mosquitto's dynamic security: the one way to have it refuse a SUBSCRIBE."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.servers import miss

if TYPE_CHECKING:
    from collections.abc import Iterable

USER, PASSWORD = "instance", "secret-of-the-instance"
_ITERATIONS = 101
_PLACES = ("/usr/lib/*/mosquitto_dynamic_security.so", "/usr/lib/mosquitto_dynamic_security.so")


def dynamic_security(directory: Path, patterns: Iterable[str]) -> list[str]:
    """Lines of a configuration that lets `USER` subscribe to `patterns` only (`$share/...` counts)."""
    plugin = next((found for place in _PLACES for found in Path("/").glob(place.lstrip("/"))), None)
    if plugin is None:
        miss("mosquitto has no dynamic security plugin here")
    file = directory / "dynamic-security.json"
    file.write_text(json.dumps(_rules(patterns)))
    return ["per_listener_settings false", f"plugin {plugin}", f"plugin_opt_config_file {file}"]


def _rules(patterns: Iterable[str]) -> dict[str, object]:
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, _ITERATIONS)
    acls = [
        {"acltype": "subscribePattern", "topic": pattern, "priority": 0, "allow": True}
        for pattern in patterns
    ]
    return {
        "defaultACLAccess": {
            "publishClientSend": True,
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [
            {
                "username": USER,
                "password": base64.b64encode(digest).decode(),
                "salt": base64.b64encode(salt).decode(),
                "iterations": _ITERATIONS,
                "roles": [{"rolename": "role"}],
            }
        ],
        "groups": [],
        "roles": [{"rolename": "role", "acls": acls}],
    }
