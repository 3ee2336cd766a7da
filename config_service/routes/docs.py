"""The page that shows the OpenAPI document: Swagger UI from its package, nothing from the network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ..dashboard import serve_page
from ..routing import Route

if TYPE_CHECKING:
    from ..routing import Call, Handler

__all__ = ["HEADERS", "ROUTES"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_OWN = Path(__file__).parent.parent / "docs_page"


def _swagger_ui() -> Path:
    # Importing the package would run code that this page does not need.
    spec = find_spec("swagger_ui")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "static"


_SWAGGER_UI = _swagger_ui()
_FILES = {
    "/docs": _OWN / "index.html",
    "/docs/initializer.js": _OWN / "initializer.js",
    "/docs/swagger-ui.css": _SWAGGER_UI / "swagger-ui.css",
    "/docs/swagger-ui-bundle.js": _SWAGGER_UI / "swagger-ui-bundle.js",
    "/docs/favicon-32x32.png": _SWAGGER_UI / "favicon-32x32.png",
}


def _serve(path: Path) -> Handler:
    async def file(_: Call) -> web.FileResponse:
        return web.FileResponse(path, headers=HEADERS)

    return file


def _route(path: str, summary: str, handler: Handler) -> Route:
    name = "file_" + path.replace("/", "_").replace(".", "_").replace("-", "_").strip("_")
    return Route(
        method="GET",
        path=path,
        name=name,
        tag="Documentation",
        summary=summary,
        handler=handler,
        role=None,
        answers={200: None},
        hidden=True,
    )


ROUTES = (
    _route("/", "The dashboard", serve_page),
    *(_route(path, f"{file.name} of the documentation page", _serve(file)) for path, file in _FILES.items()),
)
