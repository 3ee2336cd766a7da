"""The dashboard's files: what its build has left in `static/`, and its page at every other address.

The page has addresses of its own (`/products/7/activity`), all of which are the one document.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from .routing import Call

__all__ = ["DIRECTORY", "answer", "serve_page"]

DIRECTORY = Path(__file__).parent / "static"
"""Where the build of the dashboard goes."""

_API = ("/api/", "/docs/", "/assets/")
_NONCE = "__CSP_NONCE__"
_NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>MQTT control plane</title>
<h1>The dashboard is not built yet</h1>
<p>Run <code>make dashboard</code> in the checkout, then load this page again.</p>
<p>The API works without it: <a href="/docs">its reference</a>.</p>
</html>
"""
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def answer(request: web.Request) -> web.StreamResponse | None:
    """For a path that no route has: a file of the dashboard, or its page; null when it is neither."""
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        return None
    if file := _file(request.path):
        # The names of assets change with their content.
        lasting = request.path.startswith("/assets/")
        cache = "public, max-age=31536000, immutable" if lasting else "no-cache"
        return web.FileResponse(file, headers={"Cache-Control": cache})
    if request.path.startswith(_API) or "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return None
    return _page()


async def serve_page(_: Call) -> web.StreamResponse:
    """The handler of `/`."""
    return _page()


def _page() -> web.Response:
    """The page, with a nonce for the styles that its components make while it runs."""
    try:
        text = (DIRECTORY / "index.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        text = _NOT_BUILT
    nonce = secrets.token_urlsafe(16)
    headers = {"Content-Security-Policy": _policy(nonce), **_HEADERS}
    return web.Response(text=text.replace(_NONCE, nonce), content_type="text/html", headers=headers)


def _policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


def _file(path: str) -> Path | None:
    name = path.removeprefix("/")
    # index.html is not a file like the others: it needs its headers.
    if not name or name == "index.html" or "\\" in name or "\0" in name:
        return None
    try:
        file = (DIRECTORY / name).resolve()
        return file if file.is_relative_to(DIRECTORY.resolve()) and file.is_file() else None
    except (OSError, ValueError):
        return None
