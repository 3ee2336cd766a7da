"""The pure core: fold and merge against a grow-only counter, liveness, aggregation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mqtt_shared.messages import (
    Heartbeat,
    InstanceCounts,
    Latency,
    MalformedMessageError,
    encode,
)
from status_collector.core.aggregate import aggregate, count, progress, recount, state
from status_collector.core.check import ForeignHeartbeatError, check
from status_collector.core.fold import fold
from status_collector.core.history import buckets, happened, minute_of
from status_collector.core.liveness import Attention, liveness
from status_collector.core.merge import add, as_instance, merge, without
from status_collector.core.model import (
    BootKey,
    Counters,
    Desired,
    Happened,
    Heard,
    Instance,
    InstanceKey,
    Live,
    State,
    Status,
    StoredBoot,
    Total,
)
from status_collector.core.tally import NOTHING, Sums, Tally, dump, gained, highest, load, plus, tally

from .support import EPOCH, hear, heartbeat

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

KEY = InstanceKey(1, "i1")
NOW = EPOCH + timedelta(hours=1)


def seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


class Stored:
    """What the database would hold of one instance."""

    def __init__(self) -> None:
        self.instance: Instance | None = None
        self.boots: dict[str, StoredBoot] = {}
        self.totals: dict[int, Counters] = {}
        self.total = Total()

    def flush(self, heard: Sequence[Heard], now: datetime = NOW, clock: float = 0) -> None:
        change = merge(KEY, self.instance, self.boots, list(fold(heard).values()), now, clock)
        self.boots |= change.boots
        self.instance = change.after
        self.total = add(self.total, change.total)
        for gain in change.gained:
            for key, more in gain.counters().items():
                self.totals[key] = plus(self.totals.get(key, Counters()), more)


counted = st.integers(0, 1000)
beats = st.builds(
    heartbeat,
    st.dictionaries(st.integers(1, 4), counted, max_size=4),
    seq=st.integers(1, 6),
    boot=st.sampled_from(["b1", "b2", "b3"]),
    stopping=st.booleans(),
)
heards = st.lists(st.builds(hear, beats, st.sampled_from([0.0, 1.0, 2.0])), max_size=12)


@given(heards, st.randoms())
def test_fold_knows_no_order_and_no_repeats(heard: list[Heard], choose: random.Random) -> None:
    mixed = heard + choose.sample(heard, len(heard) // 2)
    choose.shuffle(mixed)
    assert fold(mixed) == fold(heard)


@given(heards, st.integers(0, 12))
def test_fold_of_folds_is_the_fold(heard: list[Heard], cut: int) -> None:
    halves = [*fold(heard[:cut]).values(), *fold(heard[cut:]).values()]
    assert fold(halves) == fold(heard)


@given(st.lists(heards, max_size=5), st.randoms())
def test_totals_are_the_sum_of_maxima_however_batches_fall(
    batches: list[list[Heard]], choose: random.Random
) -> None:
    reference: dict[tuple[str, int], int] = {}
    for heard in (each for batch in batches for each in batch):
        for key, counted in heard.tally.counters().items():
            place = (heard.heartbeat.boot_id, key)
            reference[place] = max(reference.get(place, 0), counted.messages_received)
    stored = Stored()
    again = choose.sample(batches, len(batches) // 2)
    for batch in batches + again:
        before = stored.total.messages_received
        stored.flush(batch)
        assert stored.total.messages_received >= before
    wanted = {sub: sum(n for (_, key), n in reference.items() if key == sub) for sub in range(1, 5)}
    assert {sub: stored.totals.get(sub, Counters()).messages_received for sub in range(1, 5)} == wanted
    assert stored.total.messages_received == sum(wanted.values())


@given(heards, heards)
def test_a_batch_that_was_stored_changes_nothing_more(first: list[Heard], second: list[Heard]) -> None:
    stored = Stored()
    stored.flush(first)
    stored.flush(second)
    change = merge(KEY, stored.instance, stored.boots, list(fold(first + second).values()), NOW, 0)
    assert (change.boots, change.gained, change.current, change.after) == ({}, [], None, stored.instance)


_numbers = st.integers(0, 5) | st.sampled_from([2**31 - 1, 2**31, 2**32, 2**53])
_times = st.none() | st.datetimes(timezones=st.just(UTC)).filter(
    lambda at: at != datetime.min.replace(tzinfo=UTC)
)
_counters = st.builds(
    Counters,
    messages_received=_numbers,
    actions_executed=_numbers,
    actions_failed=_numbers,
    last_message_at=_times,
    latency=st.just([]) | st.lists(_numbers, min_size=14, max_size=14).map(lambda some: [*some, 1]),
)
several = st.dictionaries(st.integers(1, 3) | st.just(2**31 - 1), _counters, max_size=4)
tallies = several.map(tally)


@given(several)
def test_a_tally_keeps_all_that_was_counted(counters: dict[int, Counters]) -> None:
    packed = tally(counters)
    assert packed.counters() == counters
    assert load(dump(packed)) == packed
    assert packed.total.messages_received == sum(each.messages_received for each in counters.values())
    times = [each.last_message_at for each in counters.values() if each.last_message_at]
    assert packed.total.last_message_at == max(times, default=None)


@given(several)
def test_what_an_older_version_stored_is_read(counters: dict[int, Counters]) -> None:
    older = {key: structs.astuple(each) for key, each in counters.items()}
    assert load(msgspec.msgpack.encode(older)) == tally(counters)


@given(tallies, tallies)
def test_the_maximum_covers_both_and_no_more(a: Tally, b: Tally) -> None:
    both = highest(a, b)
    assert highest(b, a) == both
    assert highest(both, a) == both == highest(both, both)
    assert both.covers(a)
    assert both.covers(b)
    assert a.covers(b) == (both == a)
    assert highest(a, NOTHING) == a


@given(st.lists(st.tuples(st.integers(1, 2), tallies, tallies), max_size=6))
def test_sums_are_what_adding_one_by_one_gives(pairs: list[tuple[int, Tally, Tally]]) -> None:
    sums, wanted = Sums(), dict[tuple[int, int], Counters]()
    for product, before, other in pairs:
        after = highest(before, other)
        gain = gained(before, after)
        assert gain is not None
        sums.add(product, gain)
        assert gain.total.messages_received == (
            after.total.messages_received - before.total.messages_received
        )
        known = before.counters()
        for key, counted in after.counters().items():
            earlier = known.get(key, Counters())
            if counted != earlier:
                wanted[product, key] = plus(wanted.get((product, key), Counters()), risen(earlier, counted))
    found = {
        (product, key): each
        for product, all_of_it in sums.counters().items()
        for key, each in all_of_it.items()
    }
    assert {key: structs.replace(each, last_message_at=None) for key, each in found.items()} == {
        key: structs.replace(each, last_message_at=None) for key, each in wanted.items()
    }
    for key, each in wanted.items():
        # Of one that has not moved it may name a time that was told before.
        assert each.last_message_at is None or (found[key].last_message_at or EPOCH) >= each.last_message_at


def risen(before: Counters, after: Counters) -> Counters:
    """What a counter has risen by."""
    latency = (
        [b - a for a, b in zip(before.latency or [0] * 15, after.latency, strict=True)]
        if after.latency
        else []
    )
    return Counters(
        messages_received=after.messages_received - before.messages_received,
        actions_executed=after.actions_executed - before.actions_executed,
        actions_failed=after.actions_failed - before.actions_failed,
        last_message_at=after.last_message_at,
        latency=latency if any(latency) else [],
    )


def at(boot: str, seq: int, received: float = 0, **changes: Any) -> list[Heard]:
    return [hear(heartbeat(boot=boot, seq=seq, interval=5, **changes), received)]


def current(stored: Stored) -> tuple[str, str]:
    assert stored.instance is not None
    return stored.instance.boot_id, stored.instance.state


def test_a_later_boot_takes_over_and_an_earlier_one_does_not() -> None:
    stored = Stored()
    stored.flush(at("b1", 9))
    stored.flush(at("b2", 1))
    stored.flush(at("b1", 10))
    assert current(stored) == ("b2", "live")


@pytest.mark.parametrize(
    ("after", "goodbye", "wanted"), [(14, False, "b9"), (16, False, "b1"), (1, True, "b1")]
)
def test_a_boot_whose_clock_went_back_waits_until_the_stored_one_is_not_live(
    after: float, goodbye: bool, wanted: str
) -> None:
    stored = Stored()
    stored.flush(at("b9", 1, stopping=goodbye))
    stored.flush(at("b1", 1), NOW + seconds(1) if goodbye else NOW + seconds(after), clock=0)
    assert current(stored)[0] == wanted


def test_its_state_waits_but_its_counts_do_not() -> None:
    stored = Stored()
    stored.flush([hear(heartbeat({1: 5}, boot="b9"), 0)])
    stored.flush([hear(heartbeat({1: 7}, boot="b1"), 0)])
    assert current(stored) == ("b9", "live")
    assert stored.totals[1].messages_received == 12


def test_a_repeat_is_no_sign_of_life_and_a_later_heartbeat_revives() -> None:
    stored = Stored()
    stored.flush(at("b1", 1, stopping=True))
    stored.flush(at("b1", 1), NOW + seconds(60), clock=60)
    assert current(stored) == ("b1", "stopped")
    stored.flush(at("b1", 2, received=60), NOW + seconds(60), clock=60)
    assert current(stored) == ("b1", "live")


def test_time_in_the_buffer_counts_as_silence() -> None:
    stored = Stored()
    stored.flush(at("b1", 1, received=10), NOW, clock=40)
    assert stored.instance is not None
    assert stored.instance.last_heartbeat_at == NOW - seconds(30)


def test_counters_of_other_products_are_left_out() -> None:
    heard = hear(heartbeat({1: 5, 2: 6}), 0)
    assert without(heard, [2]).tally.counters().keys() == {1}
    assert without(heard, [3]) is heard


@pytest.mark.parametrize(
    ("state", "silent", "listened", "wanted"),
    [
        ("live", 14.9, 100, "live"),
        ("live", 15.0, 100, "live"),
        ("live", 15.1, 100, "stale"),
        ("live", 3600, 14.9, "live"),
        ("live", 3600, 15.1, "stale"),
        ("stale", 3600, 100, "stale"),
        ("stopped", 3600, 100, "stopped"),
    ],
)
def test_live_until_three_intervals_pass_in_which_somebody_listened(
    state: State, silent: float, listened: float, wanted: str
) -> None:
    assert liveness(state, NOW - seconds(silent), 5, NOW, NOW - seconds(listened)) == wanted


def test_attention_begins_anew_after_every_gap() -> None:
    attention = Attention(5)
    assert attention.observe(hearing=False, now=NOW) is None
    assert attention.observe(hearing=True, now=NOW + seconds(1)) == NOW + seconds(1)
    assert attention.observe(hearing=True, now=NOW + seconds(2)) == NOW + seconds(1)
    assert attention.observe(hearing=True, now=NOW + seconds(60)) == NOW + seconds(60), "the process slept"
    assert attention.observe(hearing=False, now=NOW + seconds(61)) is None
    assert attention.observe(hearing=True, now=NOW + seconds(62)) == NOW + seconds(62)
    attention.lose()
    assert attention.observe(hearing=True, now=NOW + seconds(63)) == NOW + seconds(63)
    back = NOW - seconds(3600)
    assert attention.observe(hearing=True, now=back) == back, "the clock was put back"
    assert attention.observe(hearing=True, now=back + seconds(1)) == back


def instance(**changes: Any) -> Instance:
    """A live, connected instance that has applied revision 7."""
    plain = as_instance(hear(heartbeat(applied_revision=7, applied_digest="d7"), 0), NOW, Total())
    return structs.replace(plain, **changes)


DESIRED = Desired(7, "d7")


def test_status_follows_the_live_instances() -> None:
    one, two = InstanceCounts(live=1, connected=1, applied=1), InstanceCounts(live=2, connected=1, applied=2)
    up = aggregate(Status(), one, Live(subscribed_topics_count=3, client_id="c"), EPOCH)
    assert (up.connected, up.last_connected_at, up.last_disconnected_at) == (True, EPOCH, None)
    assert (up.subscribed_topics_count, up.client_id, up.state) == (3, "c", "healthy")
    more = aggregate(up, two, Live(client_id="c", connection_error="refused"), NOW)
    assert (more.last_connected_at, more.connection_error, more.state) == (EPOCH, "refused", "degraded")
    assert aggregate(more, two, None, NOW) == more
    down = aggregate(more, InstanceCounts(live=1), Live(client_id="c", subscribed_topics_count=3), NOW)
    assert (down.connected, down.last_connected_at, down.last_disconnected_at) == (False, EPOCH, NOW)
    assert (down.subscribed_topics_count, down.client_id, down.connection_error) == (0, None, None)
    assert aggregate(down, InstanceCounts(), Live(), NOW + seconds(5)).last_disconnected_at == NOW


def test_a_rollout_settles_once_nobody_is_pending() -> None:
    waiting = aggregate(Status(), InstanceCounts(live=2, pending=1), None, EPOCH)
    assert waiting.settled_at is None
    settled = aggregate(waiting, InstanceCounts(live=2, applied=1, rejected=1), None, NOW)
    assert settled.settled_at == NOW
    joined = aggregate(settled, InstanceCounts(live=3, pending=1), None, NOW + seconds(9))
    assert joined.settled_at == NOW


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "applied"),
        ({"applied_digest": None}, "applied"),
        ({"applied_digest": "other"}, "drifted"),
        ({"applied_revision": 8}, "drifted"),
        ({"applied_revision": 6}, "pending"),
        ({"applied_revision": None}, "pending"),
        ({"applied_revision": 6, "rejected_revision": 7}, "rejected"),
        ({"applied_revision": 6, "rejected_revision": 6}, "pending"),
        ({"rejected_revision": 7}, "applied"),
    ],
)
def test_progress_is_one_of_four(changes: dict[str, Any], wanted: str) -> None:
    assert progress(instance(**changes), DESIRED) == wanted


def test_without_a_configuration_whatever_runs_is_applied() -> None:
    assert progress(instance(), Desired()) == "applied"


def test_partial_trouble_is_counted_and_not_folded_into_a_boolean() -> None:
    fleet = [
        instance(),
        instance(connected=False),
        instance(applied_revision=6, rejected_revision=7),
        instance(applied_digest="other"),
        instance(state="stale"),
        instance(state="stopped"),
    ]
    counts = recount(InstanceCounts(), ((None, each) for each in fleet), DESIRED)
    wanted = InstanceCounts(live=4, stale=1, stopped=1, connected=3, applied=2, rejected=1, drifted=1)
    assert counts == wanted
    assert recount(counts, ((each, None) for each in fleet), DESIRED) == InstanceCounts()
    assert recount(counts, [(fleet[1], fleet[0])], DESIRED).connected == 4


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        (InstanceCounts(), "no_instances"),
        (InstanceCounts(stopped=3), "no_instances"),
        (InstanceCounts(stale=1), "disconnected"),
        (InstanceCounts(live=1), "disconnected"),
        (InstanceCounts(live=2, connected=1, applied=2), "degraded"),
        (InstanceCounts(live=1, connected=1, applied=1, stale=1), "degraded"),
        (InstanceCounts(live=1, connected=1, rejected=1), "degraded"),
        (InstanceCounts(live=1, connected=1, drifted=1), "degraded"),
        (InstanceCounts(live=2, connected=2, applied=1, pending=1), "healthy"),
        (InstanceCounts(live=2, connected=2, applied=2, stopped=4), "healthy"),
    ],
)
def test_the_state_follows_from_the_counts(counts: InstanceCounts, wanted: str) -> None:
    assert state(counts) == wanted


def test_status_counts_up() -> None:
    before = Status(total=Total(messages_received=5, actions_failed=1, last_message_at=NOW))
    total = count(before, Total(messages_received=2, actions_executed=3)).total
    assert (total.messages_received, total.actions_executed, total.actions_failed) == (7, 3, 1)
    assert total.last_message_at == NOW


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (None, {}, ["started", "connected", "applied"]),
        (None, {"connected": False, "applied_revision": None}, ["started"]),
        (None, {"state": "stopped"}, ["stopped"]),
        ({}, {}, []),
        ({}, {"state": "stopped", "connected": False}, ["stopped"]),
        ({"state": "stopped"}, {"state": "stopped"}, []),
        ({"state": "stopped", "connected": False}, {}, ["started", "connected"]),
        ({}, {"state": "stale"}, ["stale"]),
        ({"state": "stale"}, {}, ["live"]),
        ({"state": "stale"}, {"connected": False}, ["live", "disconnected"]),
        ({}, {"connected": False}, ["disconnected"]),
        ({"connected": False}, {}, ["connected"]),
        ({"boot_id": "b0"}, {"applied_revision": 8}, ["started", "connected", "applied"]),
        ({}, {"rejected_revision": 8}, ["rejected"]),
        ({"rejected_revision": 8}, {"rejected_revision": 8}, []),
        ({"rejected_revision": 8}, {"applied_revision": 9}, ["applied"]),
        ({"state": "stale"}, None, ["gone"]),
        (None, None, []),
    ],
)
def test_transitions(before: dict[str, Any] | None, after: dict[str, Any] | None, wanted: list[str]) -> None:
    first = None if before is None else instance(**before)
    second = None if after is None else instance(**after)
    assert [each.kind for each in happened(first, second)] == wanted


def test_a_transition_tells_why() -> None:
    lost = happened(instance(), instance(connected=False, connection_error="refused"))
    assert lost == [Happened("disconnected", detail="refused")]
    rejected = happened(instance(), instance(rejected_revision=8, rejected_error="no such host"))
    assert rejected == [Happened("rejected", 8, "no such host")]


histograms = st.lists(st.integers(0, 50), min_size=15, max_size=15)


@given(st.lists(histograms, max_size=5), st.randoms())
def test_histograms_add_up_however_heartbeats_fall(rises: list[list[int]], choose: random.Random) -> None:
    grown = [[0] * 15]
    for rise in rises:
        grown.append([a + b for a, b in zip(grown[-1], rise, strict=True)])
    sent = [
        hear(heartbeat(counters={"1": Counters(latency=list(accumulate(plain)))}, seq=seq), 0)
        for seq, plain in enumerate(grown)
    ]
    stored, added = Stored(), [0] * 15
    choose.shuffle(sent)
    for heard in [*sent, *sent]:
        before = stored.totals.get(1, Counters()).latency or [0] * 15
        stored.flush([heard])
        after = stored.totals.get(1, Counters()).latency or [0] * 15
        gained = [b - a for a, b in zip(before, after, strict=True)]
        added = [a + b for a, b in zip(added, buckets(gained), strict=True)]
    assert added == grown[-1]


def test_a_histogram_of_other_buckets_is_left_out() -> None:
    usual = Counters(messages_received=1, latency=[1] * 15)
    assert checked(heartbeat(counters={"1": usual}))[1] == usual
    short = checked(heartbeat(counters={"1": structs.replace(usual, latency=[1] * 14)}))
    other = checked(heartbeat(counters={"1": usual}, latency=Latency(bounds=[1.0, 2.0])))
    assert short[1].latency == other[1].latency == []
    assert short[1].messages_received == 1


def test_a_minute_begins_with_its_first_second() -> None:
    assert minute_of(EPOCH + seconds(3599.5)) == EPOCH + seconds(3540)


def checked(beat: Heartbeat) -> dict[int, Counters]:
    return hear(beat, 0, NOW).tally.counters()


def test_times_are_brought_to_utc_and_none_lies_ahead() -> None:
    ahead = Counters(messages_received=1, last_message_at=datetime(2099, 1, 1, tzinfo=UTC))
    assert checked(heartbeat(counters={"1": ahead}))[1].last_message_at == NOW
    elsewhere = heartbeat(sent_at=EPOCH.astimezone(timezone(timedelta(hours=5))))
    assert hear(elsewhere, 0).heartbeat.sent_at.tzinfo is UTC


@pytest.mark.parametrize(
    "subject", ["mqtt.heartbeat.2.i1.b1", "mqtt.heartbeat.1.i2.b1", "mqtt.heartbeat.1.i1.b2"]
)
def test_a_heartbeat_for_somebody_else_is_foreign(subject: str) -> None:
    with pytest.raises(ForeignHeartbeatError):
        check(subject, encode(heartbeat()), 0, NOW)


@given(st.binary(max_size=300))
def test_no_bytes_do_worse_than_being_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        check("mqtt.heartbeat.1.i1.b1", data, 0, NOW)


def test_keys_tell_their_instance() -> None:
    assert BootKey(1, "i1", "b1").instance == KEY
    assert structs.replace(hear(heartbeat(), 0), received=5).key == BootKey(1, "i1", "b1")
