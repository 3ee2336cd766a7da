"""Conditional requests (RFC 9110, 13) and preferences (RFC 7240). The entity tag is the revision: `"7"`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .core.errors import Fault, InvalidInputError, RevisionMismatchError
from .core.model import Write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from multidict import CIMultiDictProxy

__all__ = ["MAX_WAIT_SECONDS", "Preconditions", "etag", "not_modified", "wait_seconds"]

MAX_WAIT_SECONDS = 60
_NO_REVISION = -1
# RFC 9110, 8.8.3.
_TAG = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_TAGS = re.compile(
    rf"\s*{_TAG.pattern}\s*(?:,\s*{_TAG.pattern.replace('?P<weak>', '').replace('?P<opaque>', '')}\s*)*"
)
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;.*)?', re.IGNORECASE | re.ASCII)


def etag(revision: int) -> str:
    """The entity tag of a revision."""
    return f'"{revision}"'


class Preconditions:
    """What `If-Match` and `If-None-Match` of a write ask for."""

    def __init__(self, headers: CIMultiDictProxy[str]) -> None:
        self._if_match = headers.getall("If-Match", None)
        self._if_none_match = headers.getall("If-None-Match", None)

    async def write(
        self, actor: str, *, dry_run: bool, current: Callable[[], Awaitable[int | None]]
    ) -> Write:
        """How the write is to be done; `current` reads the revision, None when there is no configuration.

        Raises:
            RevisionMismatchError: the headers already forbid it.
            InvalidInputError: a header is malformed.
        """
        await self._check_none_match(current)
        return Write(actor=actor, if_match=await self._revision(current), dry_run=dry_run)

    async def _revision(self, current: Callable[[], Awaitable[int | None]]) -> int | None:
        if self._if_match is None:
            return None
        text = ",".join(self._if_match).strip()
        if text == "*":
            # Any will do, but there must be one.
            if await current() is None:
                raise RevisionMismatchError(0)
            return None
        # A weak tag never matches here (RFC 9110, 8.8.3.2), nor does one that this service did not make.
        revisions = [_revision(opaque) for weak, opaque in _tags("If-Match", text) if not weak]
        if len(revisions) > 1 and (now := await current()) in revisions:
            return now
        return revisions[0] if revisions else _NO_REVISION

    async def _check_none_match(self, current: Callable[[], Awaitable[int | None]]) -> None:
        if self._if_none_match is None:
            return
        text = ",".join(self._if_none_match).strip()
        tags = None if text == "*" else [_revision(opaque) for _, opaque in _tags("If-None-Match", text)]
        now = await current()
        if now is not None and (tags is None or now in tags):
            raise RevisionMismatchError(now)


def not_modified(headers: CIMultiDictProxy[str], revision: int) -> bool:
    """Does `If-None-Match` of a GET name this revision? A malformed header is as good as none."""
    text = ",".join(headers.getall("If-None-Match", ())).strip()
    if not text:
        return False
    return text == "*" or any(opaque == str(revision) for _, opaque in _TAG.findall(text))


def _tags(header: str, text: str) -> list[tuple[str, str]]:
    if not _TAGS.fullmatch(text):
        msg = 'must be * or the ETag of an answer, in its quotes, such as "7"'
        raise InvalidInputError([Fault(loc=["header", header], msg=msg, type="malformed_entity_tag")])
    return _TAG.findall(text)


def _revision(opaque: str) -> int:
    return int(opaque) if re.fullmatch(r"0|[1-9][0-9]{0,17}", opaque, re.ASCII) else _NO_REVISION


def wait_seconds(headers: Iterable[str]) -> int | None:
    """N of `Prefer: wait=N`, at most `MAX_WAIT_SECONDS`; other and malformed preferences are ignored."""
    for preference in ",".join(headers).split(","):
        if found := _WAIT.fullmatch(preference):
            return min(int(found[1]), MAX_WAIT_SECONDS)
    return None
