"""The configuration of a product: read, write, remove, try, move."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ..answers import ConfigurationImported, ConfigWritten, Removed, follow, outcome, removed, reply
from ..brokertest import TestResult, test_connection
from ..core.inputs import ConfigInput, TestInput
from ..core.model import ConfigAnswer
from ..preconditions import not_modified
from ..problem import BusyError
from ..routing import DRY_RUN, LIVE, Call, Route
from .paths import CONFIG

if TYPE_CHECKING:
    from ..core.model import Change, MqttConfig

__all__ = ["ROUTES", "written"]


async def read(call: Call) -> web.Response:
    live: bool = call.query["live"]
    answer = await call.usecases.get_config(call.product_id, live=live)
    if not live and answer.revision is not None and not_modified(call.request.headers, answer.revision):
        return web.Response(status=304, headers={"ETag": f'"{answer.revision}"'})
    return reply(answer, revision=answer.revision)


async def put(call: Call) -> web.Response:
    change = await call.usecases.put_config(call.product_id, call.body, await call.write())
    return await written(call, change, "MQTT configuration updated successfully")


async def written(call: Call, change: Change[MqttConfig], message: str) -> web.Response:
    """The answer of endpoint 2."""
    more, headers = await follow(call, change.revision)
    if call.query["dry_run"]:
        message = "Nothing was written: this was a dry run"
    answer = ConfigWritten(message=message, mqtt_config=change.value, **outcome(call, change), **more)
    return reply(answer, revision=change.revision, headers=headers)


async def delete(call: Call) -> web.Response:
    change = await call.usecases.delete_config(call.product_id, await call.write())
    return await removed(call, change, "MQTT configuration removed successfully")


async def test(call: Call) -> web.Response:
    wanted = await call.usecases.settings_to_test(call.product_id, call.body)
    settings, slots = call.service.settings, call.service.tests
    try:
        async with asyncio.timeout(settings.test_timeout_seconds):
            await slots.acquire()
    except TimeoutError:
        raise BusyError(f"{settings.test_concurrency} connection tests are running: try again soon") from None
    try:
        result = await test_connection(
            wanted.broker,
            wanted.secrets,
            wanted.filters,
            policy=settings.test_policy,
            timeout_seconds=settings.test_timeout_seconds,
        )
    finally:
        slots.release()
    return reply(result)


async def export(call: Call) -> web.Response:
    return reply(await call.usecases.export_config(call.product_id))


async def import_(call: Call) -> web.Response:
    change = await call.usecases.import_config(call.product_id, call.body, await call.write())
    more, headers = await follow(call, change.revision)
    answer = ConfigurationImported(
        message="Nothing was imported: this was a dry run"
        if call.query["dry_run"]
        else "Imported successfully",
        product_id=call.product_id,
        mqtt_config=change.value.mqtt_config,
        subscriptions=change.value.subscriptions,
        **outcome(call, change),
        **more,
    )
    return reply(answer, revision=change.revision, headers=headers)


_TAG = "Configuration"
EXAMPLE: dict[str, Any] = {
    "broker": {
        "host": "broker.example.com",
        "port": 8883,
        "use_tls": True,
        "username": "events",
        "password": "a-made-up-password",
    },
    "topics": {
        "prefix": "/v3/applications",
        "pattern": "{application_id}/business-events",
        "use_shared": True,
        "shared_group": "bre",
        "qos": 1,
    },
}
_LEGACY_EXAMPLE: dict[str, Any] = {
    "configuration": {
        "qos": 1,
        "clean_session": True,
        "shared_subscription": True,
        "shared_group_prefix": "$share/bre/",
    },
    "events": [
        {
            "name": "invoice_paid",
            "description": "An invoice was paid",
            "topic": "/v3/applications/shop/business-events/invoice-paid",
            "enabled": True,
            "actions": [{"name": "mail", "type": "conditional_email", "conditions": {}, "email": {}}],
        }
    ],
}

ROUTES = (
    Route(
        method="GET",
        path=CONFIG,
        name="get_config",
        tag=_TAG,
        summary="Config, subscriptions and status",
        handler=read,
        role="viewer",
        answers={200: ConfigAnswer},
        query=(LIVE,),
        etag=True,
        if_none_match=True,
    ),
    Route(
        method="PUT",
        path=CONFIG,
        name="put_config",
        tag=_TAG,
        summary="Create or update broker and topic settings",
        description="Optional fields that are absent keep their stored value. `password` and `client_key`: "
        "absent, empty or `***` keeps the stored one, null removes it.",
        handler=put,
        role="operator",
        answers={200: ConfigWritten},
        query=(DRY_RUN,),
        body=ConfigInput,
        example=EXAMPLE,
        etag=True,
        if_match=True,
        prefer=True,
    ),
    Route(
        method="DELETE",
        path=CONFIG,
        name="delete_config",
        tag=_TAG,
        summary="Remove the config; running instances stop consuming",
        handler=delete,
        role="operator",
        answers={200: Removed},
        query=(DRY_RUN,),
        problems=(409,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
    Route(
        method="POST",
        path=f"{CONFIG}/test",
        name="test_config",
        tag=_TAG,
        summary="Try a real connection without saving",
        description="Fields left out come from the stored config; a masked or absent password or client key "
        "means the stored one, for the stored host and port only. 200 whenever the test ran.",
        handler=test,
        role="operator",
        answers={200: TestResult},
        body=TestInput,
        body_optional=True,
        example={"broker": {"host": "broker.example.com", "port": 1883}},
        problems=(409,),
    ),
    Route(
        method="GET",
        path=f"{CONFIG}/export",
        name="export_config",
        tag=_TAG,
        summary="The whole config as JSON, without secrets",
        handler=export,
        role="viewer",
        answers={200: dict[str, Any]},
        problems=(409,),
    ),
    Route(
        method="POST",
        path=f"{CONFIG}/import",
        name="import_config",
        tag=_TAG,
        summary="Import an export, or a legacy mqtt_events.json",
        handler=import_,
        role="operator",
        answers={200: ConfigurationImported},
        query=(DRY_RUN,),
        body=dict[str, Any],
        example=_LEGACY_EXAMPLE,
        problems=(409,),
        etag=True,
        if_match=True,
        prefer=True,
    ),
)
