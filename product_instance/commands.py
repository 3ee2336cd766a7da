"""Commands over NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from mqtt_shared.logs import get_logger
from mqtt_shared.messages import Command, CommandReply, MalformedMessageError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from .watcher import Bus

__all__ = ["Commands"]

log = get_logger(__name__)


class _Named(Struct):
    command: str


class Commands:
    """Carries out what arrives on the command subject, and answers each request."""

    def __init__(self, subject: str, instance_id: str, reconnect: Callable[[], str | None]) -> None:
        self._subject, self._instance_id = subject, instance_id
        self._reconnect = reconnect

    async def listen(self, nats: Bus) -> None:
        """Subscribe; nats-py does so again at each reconnect."""
        await nats.subscribe(self._subject, self._received)

    async def _received(self, message: Msg) -> None:
        reply = self._answer(message.data)
        if reply and message.reply:
            await message.respond(encode(reply))

    def _answer(self, data: bytes) -> CommandReply | None:
        """The one command so far is `reconnect`: accepted means that it is under way. Null: not for us."""
        try:
            # msgspec takes a message without a tag for the only struct that there is.
            decode(data, _Named)
            command = decode(data, Command)
        except MalformedMessageError as error:
            log.warning("command not understood", error=str(error))
            return self._reply(f"not understood: {error}")
        if command.instance_id not in (None, self._instance_id):
            return None
        error = self._reconnect()
        log.info("reconnect command", request_id=command.request_id, accepted=error is None)
        return self._reply(error)

    def _reply(self, error: str | None) -> CommandReply:
        return CommandReply(instance_id=self._instance_id, accepted=error is None, error=error)
