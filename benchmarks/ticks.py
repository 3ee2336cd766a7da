"""A publisher that sends one small message every so many seconds until ended."""

from __future__ import annotations

import asyncio
import sys
import time

import aiomqtt


async def main(port: int, topic: str, period_seconds: float) -> None:
    """Publish for ever at QoS 0; late ticks are made up for."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        due = time.perf_counter()
        while True:
            await client.publish(topic, b"tick", qos=0)
            due += period_seconds
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
