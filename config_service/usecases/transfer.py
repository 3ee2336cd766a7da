"""Export and import of whole configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UnsetType, structs

from ..core import legacy, rules
from ..core.errors import NotConfiguredError
from ..core.model import Change, ConfigAnswer, Write
from .base import Base, Outcome, sorted_items

if TYPE_CHECKING:
    from ..core.inputs import SubscriptionInput
    from ..core.legacy import Imported
    from ..core.state import Desired, Item, State

__all__ = ["Transfer"]


class Transfer(Base):
    """Use cases of files."""

    async def export_config(self, product_id: int) -> dict[str, Any]:
        """The whole configuration as JSON, without secrets.

        Raises:
            NotConfiguredError.
        """
        state = await self._state(product_id, Write(actor="export"))
        if state.config is None:
            raise NotConfiguredError(product_id)
        return legacy.export(state.product.name, state.revision, state.desired())

    async def import_config(
        self, product_id: int, document: dict[str, Any], write: Write
    ) -> Change[ConfigAnswer]:
        """Take over an export, or a legacy `mqtt_events.json`: all of it or nothing.

        An export replaces the whole configuration, but for secrets; subscriptions are matched by name.
        The legacy file has no broker, so there must be one; its events are added, or replace the
        subscriptions of the same name.

        Raises:
            InvalidInputError: all faults of the file. NotConfiguredError, RevisionMismatchError.
        """
        wanted = legacy.parse(document)

        def compute(state: State, before: Desired) -> Desired:
            if before.broker is None and wanted.broker is None:
                raise NotConfiguredError(product_id)
            after = structs.replace(
                self._imported(product_id, before, wanted),
                topics=rules.merge_topics(before.topics, wanted.topics),
                subscriptions=_merged(before, wanted, state.ids),
            )
            rules.check(after, *self._certificate_faults(state, before, after))
            return after

        ids = len(wanted.subscriptions)
        return _answer(await self._change(product_id, write, "import", compute, ids=ids, fresh=True))

    def _imported(self, product_id: int, before: Desired, wanted: Imported) -> Desired:
        if wanted.broker:
            return self._with_broker(product_id, before, wanted.broker)
        if before.broker and not isinstance(wanted.clean_session, UnsetType):
            broker = structs.replace(before.broker, clean_session=wanted.clean_session)
            return structs.replace(before, broker=broker)
        return before


def _merged(before: Desired, wanted: Imported, fresh: list[int]) -> tuple[Item, ...]:
    ids = {item.name: item.id for item in before.subscriptions}
    named = {given.name for given in wanted.subscriptions}
    kept = [] if wanted.whole else [item for item in before.subscriptions if item.name not in named]
    return sorted_items([*kept, *_items(wanted.subscriptions, ids, fresh)])


def _items(given: list[SubscriptionInput], ids: dict[str, int], fresh: list[int]) -> list[Item]:
    return [
        rules.new_subscription(ids.get(one.name, spare), one) for one, spare in zip(given, fresh, strict=True)
    ]


def _answer(outcome: Outcome) -> Change[ConfigAnswer]:
    answer = ConfigAnswer(
        product_id=outcome.state.product.id,
        mqtt_config=outcome.config(),
        subscriptions=[outcome.subscription(item.id) for item in outcome.after.subscriptions],
        status=None,
        revision=outcome.revision,
    )
    return outcome.as_change(answer)
