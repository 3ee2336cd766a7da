"""Sample events for the demo."""

from __future__ import annotations

import asyncio
import itertools
import json
import os

import aiomqtt

__all__ = ["NAMES", "PREFIX", "publish"]

PREFIX = "/v3/applications/demo/business-events"
NAMES = ("order-created", "payment-received", "healthcheck")
_PAUSE_SECONDS = 0.2


async def publish() -> None:
    """Send five events a second to the broker at MQTT_HOST and MQTT_PORT, for ever."""
    host, port = os.environ["MQTT_HOST"], int(os.environ["MQTT_PORT"])
    while True:
        try:
            async with aiomqtt.Client(host, port) as client:
                await _send(client)
        except aiomqtt.MqttError as error:
            print(f"broker away: {error}", flush=True)
            await asyncio.sleep(1)


async def _send(client: aiomqtt.Client) -> None:
    for number, name in zip(itertools.count(1), itertools.cycle(NAMES), strict=False):
        body = {"number": number, "event": name, "amount": number % 100}
        await client.publish(f"{PREFIX}/{name}", json.dumps(body), qos=1)
        await asyncio.sleep(_PAUSE_SECONDS)
