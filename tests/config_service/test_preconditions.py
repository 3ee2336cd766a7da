"""`If-Match`, `If-None-Match` and `Prefer`, as their RFCs write them."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from config_service.core.errors import InvalidInputError, RevisionMismatchError
from config_service.preconditions import Preconditions, not_modified, wait_seconds


def headers(**given: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in given.items()}))


async def revision(current: int | None, **given: str) -> int | None:
    async def now() -> int | None:
        return current

    return (await Preconditions(headers(**given)).write("me", dry_run=False, current=now)).if_match


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ('"7"', 7),
        (' "7" ', 7),
        ("*", None),
        ('"6", "7"', 7),
        ('"6","5"', 6),
        ('W/"7"', -1),
        ('"abc"', -1),
        ('"07"', -1),
    ],
)
async def test_if_match(tag: str, wanted: int | None) -> None:
    assert await revision(7, If_Match=tag) == wanted


async def test_without_a_header_any_revision_will_do() -> None:
    assert await revision(7) is None


async def test_a_star_needs_a_configuration() -> None:
    with pytest.raises(RevisionMismatchError):
        await revision(None, If_Match="*")


@pytest.mark.parametrize("tag", ["7", '"7', '""7"', "", '"7" "8"', '"7",', "**", "w/7"])
@pytest.mark.parametrize("name", ["If_Match", "If_None_Match"])
async def test_a_malformed_tag_is_told(tag: str, name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await revision(7, **{name: tag})
    assert caught.value.faults[0].loc == ["header", name.replace("_", "-")]


@pytest.mark.parametrize("tag", ["*", '"7"', 'W/"7"', '"6", "7"'])
async def test_if_none_match_of_a_write_refuses_what_is_there(tag: str) -> None:
    with pytest.raises(RevisionMismatchError):
        await revision(7, If_None_Match=tag)
    assert await revision(None, If_None_Match=tag) is None


@pytest.mark.parametrize(
    ("tag", "same"),
    [('"7"', True), ('W/"7"', True), ("*", True), ('"1", "7"', True), ('"77"', False), ("7", False)],
)
def test_not_modified(tag: str, same: bool) -> None:
    assert not_modified(headers(If_None_Match=tag), 7) is same


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (["wait=5"], 5),
        (["respond-async, wait=5"], 5),
        (["respond-async", "WAIT = 5"], 5),
        (['wait="5"'], 5),
        (["wait=5; x=y"], 5),
        (["wait=0"], 0),
        (["wait=3600"], 60),
        (["wait=-1"], None),
        (["wait=a"], None),
        (["wait"], None),
        (["wait=1.5"], None),
        ([], None),
    ],
)
def test_prefer_wait(prefer: list[str], seconds: int | None) -> None:
    assert wait_seconds(prefer) == seconds
