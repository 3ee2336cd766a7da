"""Products and their keys."""

from __future__ import annotations

from aiohttp import web

from ..answers import (
    ProductCreated,
    ProductKey,
    ProductsPage,
    ProductUpdated,
    Removed,
    extended,
    follow,
    outcome,
    removed,
    reply,
)
from ..core.inputs import ProductInput, ProductPatch
from ..core.model import Product
from ..routing import CURSOR, DRY_RUN, LIMIT, Call, Route
from .paths import BASE, PRODUCT

__all__ = ["ROUTES"]


async def list_(call: Call) -> web.Response:
    assert call.principal
    page = await call.usecases.list_products(*call.page, call.principal.product_ids)
    return reply(ProductsPage(products=page.items, next_cursor=page.next_cursor))


async def create(call: Call) -> web.Response:
    product, key = await call.usecases.create_product(call.body, call.plain_write)
    if call.query["dry_run"]:
        return reply(extended(ProductCreated, product, product_key=None, dry_run=True))
    location = {"Location": f"{call.request.path}/{product.id}"}
    return reply(extended(ProductCreated, product, product_key=key), 201, headers=location)


async def read(call: Call) -> web.Response:
    return reply(await call.usecases.get_product(call.product_id))


async def patch(call: Call) -> web.Response:
    change = await call.usecases.update_product(call.product_id, call.body, await call.write())
    more, headers = await follow(call, change.revision)
    fields = outcome(call, change) | {"revision": change.revision or None}
    answer = extended(ProductUpdated, change.value, **fields, **more)
    return reply(answer, revision=change.revision or None, headers=headers)


async def delete(call: Call) -> web.Response:
    change = await call.usecases.delete_product(call.product_id, await call.write())
    if call.query["dry_run"]:
        return await removed(call, change, "")
    return web.Response(status=204)


async def renew_key(call: Call) -> web.Response:
    key = await call.usecases.renew_product_key(call.product_id, call.plain_write)
    return reply(ProductKey(product_id=call.product_id, product_key=key), 201)


async def end_previous_key(call: Call) -> web.Response:
    await call.usecases.end_previous_product_key(call.product_id, call.plain_write)
    return web.Response(status=204)


_TAG = "Products"
_PRODUCTS = f"{BASE}/products"

ROUTES = (
    Route(
        method="GET",
        path=_PRODUCTS,
        name="list_products",
        tag=_TAG,
        summary="List products; those of the token only",
        handler=list_,
        role="viewer",
        answers={200: ProductsPage},
        query=(LIMIT, CURSOR),
    ),
    Route(
        method="POST",
        path=_PRODUCTS,
        name="create_product",
        tag=_TAG,
        summary="Create a product; its key is shown this once",
        handler=create,
        role="operator",
        all_products=True,
        answers={201: ProductCreated, 200: ProductCreated},
        query=(DRY_RUN,),
        body=ProductInput,
        example={"name": "shop", "description": "The web shop", "variables": {"application_id": "shop-1"}},
        problems=(409,),
    ),
    Route(
        method="GET",
        path=PRODUCT,
        name="get_product",
        tag=_TAG,
        summary="One product",
        handler=read,
        role="viewer",
        answers={200: Product},
    ),
    Route(
        method="PATCH",
        path=PRODUCT,
        name="patch_product",
        tag=_TAG,
        summary="Change a product; changed variables make a new revision",
        handler=patch,
        role="operator",
        answers={200: ProductUpdated},
        query=(DRY_RUN,),
        body=ProductPatch,
        example={"variables": {"application_id": "shop-2"}},
        problems=(409,),
        if_match=True,
        prefer=True,
    ),
    Route(
        method="DELETE",
        path=PRODUCT,
        name="delete_product",
        tag=_TAG,
        summary="Remove a product with everything that belongs to it; its instances stop consuming",
        handler=delete,
        role="administrator",
        answers={204: None, 200: Removed},
        query=(DRY_RUN,),
        if_match=True,
    ),
    Route(
        method="POST",
        path=f"{PRODUCT}/product-key",
        name="renew_product_key",
        tag=_TAG,
        summary="Make a new product key, shown this once; the old one stays good until it is ended",
        handler=renew_key,
        role="administrator",
        answers={201: ProductKey},
        problems=(409,),
    ),
    Route(
        method="DELETE",
        path=f"{PRODUCT}/product-key/previous",
        name="end_previous_product_key",
        tag=_TAG,
        summary="End the old product key",
        handler=end_previous_key,
        role="administrator",
        answers={204: None},
    ),
)
