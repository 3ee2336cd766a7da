"""The command `product-instance dead-letters`."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec import structs

from mqtt_shared.event import content
from mqtt_shared.messages import encode

from .errors import InstanceError
from .replay import Letters, Replay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .deadletters import StoredLetter
    from .settings import InstanceSettings, ProductSettings

__all__ = ["drop", "list_letters", "replay", "show"]


async def list_letters(
    settings: ProductSettings, subscription: str | None, limit: int, *, as_json: bool
) -> None:
    """Print the letters, oldest first."""
    shown = 0
    async with Letters(settings) as letters:
        async for stored in letters.letters.read(subscription):
            if shown == limit:
                click.echo(f"more than {limit}: raise --limit", err=True)
                break
            shown += 1
            click.echo(_json(stored) if as_json else _line(stored))
    if not shown and not as_json:
        click.echo("no dead letters")


async def show(settings: ProductSettings, sequence: int, *, as_json: bool) -> None:
    """Print one letter with all its fields."""
    async with Letters(settings) as letters:
        stored = await _get(letters, sequence)
        whole = structs.replace(stored, letter=await letters.letters.whole(stored.letter))
    click.echo(_json(whole) if as_json else _readable(whole))


async def drop(settings: ProductSettings, sequences: Sequence[int], subscription: str | None) -> None:
    """Take letters out of the stream, for good."""
    count = 0
    async with Letters(settings) as letters:
        async for stored in _chosen(letters, sequences, subscription):
            await letters.letters.remove(stored)
            count += 1
    click.echo(f"dropped: {count}")


async def replay(
    settings: InstanceSettings, sequences: Sequence[int], subscription: str | None, *, as_json: bool
) -> bool:
    """Run failed actions again, oldest first. True: all worked."""
    count = failed = 0
    async with Replay(settings) as again:
        async for stored in _chosen(again, sequences, subscription):
            count += 1
            error = await again.run(stored)
            failed += error is not None
            _tell(stored, error, as_json=as_json)
    if not as_json:
        click.echo(f"replayed: {count - failed}, failed: {failed}")
    return not failed


def _tell(stored: StoredLetter, error: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode({"sequence": stored.sequence, "error": error}).decode())
    elif error is not None:
        click.echo(f"{stored.sequence}: failed again: {error}", err=True)


async def _chosen(
    letters: Letters, sequences: Sequence[int], subscription: str | None
) -> AsyncIterator[StoredLetter]:
    for sequence in sequences:
        yield await _get(letters, sequence)
    if not sequences:
        # What fails again goes to the end of the stream, and is not to be met twice.
        async for stored in letters.letters.read(subscription, until=await letters.letters.last_sequence()):
            yield stored


async def _get(letters: Letters, sequence: int) -> StoredLetter:
    stored = await letters.letters.get(sequence)
    if stored is None:
        raise InstanceError(f"this product has no dead letter {sequence}")
    return stored


def _json(stored: StoredLetter) -> str:
    content = {"sequence": stored.sequence} | msgspec.json.decode(encode(stored.letter))
    return msgspec.json.encode(content).decode()


def _readable(stored: StoredLetter) -> str:
    letter = msgspec.json.decode(_json(stored))
    payload, payload_base64 = content(b64decode(letter["payload_base64"]))
    if payload_base64 is None:
        letter = {("payload" if key == "payload_base64" else key): value for key, value in letter.items()}
        letter["payload"] = payload
    return msgspec.json.format(msgspec.json.encode(letter), indent=2).decode()


def _line(stored: StoredLetter) -> str:
    letter = stored.letter
    at = letter.failed_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return (
        f"{stored.sequence}  {at}  {letter.subscription}  action {letter.action} {letter.action_type}  "
        f"attempts {letter.attempts}  {letter.topic}  {letter.error}"
    )
