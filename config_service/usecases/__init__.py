"""What the service does. The HTTP layer calls only `Usecases`."""

from __future__ import annotations

from ..core.model import Write
from .configs import Configs
from .fleet import Fleet
from .history import History
from .products import Products
from .revisions import Revisions
from .runtime import Runtime
from .secrets import Secrets
from .subscriptions import Subscriptions
from .tokens import Tokens
from .transfer import Transfer

__all__ = ["Usecases"]


class Usecases(
    Products, Configs, Subscriptions, Secrets, Revisions, Transfer, Runtime, History, Fleet, Tokens
):
    """All use cases. Each raises UnavailableError without PostgreSQL, NotFoundError for an unknown id."""

    async def end_unused_key(self, product_id: int) -> None:
        """End a product's previous key once all instances have the new one: the reconciler's work."""
        await self.end_previous_product_key(product_id, Write(actor="reconciler"))
