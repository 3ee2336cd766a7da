"""What can be set, called or heard is documented."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config_service.routes import ROUTES
from config_service.settings import ServeSettings
from mqtt_shared import messages
from mqtt_shared.subjects import Subjects
from product_instance import InstanceSettings
from status_collector.settings import CollectorSettings

if TYPE_CHECKING:
    import msgspec

    from mqtt_shared.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("kind", [ServeSettings, CollectorSettings, InstanceSettings])
def test_every_setting_is_documented(kind: type[Settings]) -> None:
    text = page("reference/configuration.md")
    assert [name.upper() for name in kind.model_fields if f"`{name.upper()}`" not in text] == []


def test_every_route_is_documented() -> None:
    text = page("reference/rest.md")
    product, config = "/products/{product_id}", "/products/{product_id}/mqtt-config"
    for route in (each for each in ROUTES if not each.hidden):
        path = route.path.removeprefix("/api/v1")
        spellings = {path, path.replace(product, "..."), path.replace(config, "...")}
        assert any(each in text for each in spellings), path


def test_every_name_on_nats_is_documented() -> None:
    text, names = page("reference/events.md"), Subjects()
    for name in (names.bucket, names.heartbeat_stream, names.root + ".status", names.root + ".command"):
        assert name in text


@pytest.mark.parametrize("kind", [messages.Snapshot, messages.Heartbeat])
def test_every_field_of_a_message_is_documented(kind: type[msgspec.Struct]) -> None:
    text = page("reference/events.md")
    assert [field for field in kind.__struct_fields__ if f"`{field}`" not in text] == []
