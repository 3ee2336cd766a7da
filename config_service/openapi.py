"""The OpenAPI 3.1 document, made from the table of routes and the structs."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from .auth import COOKIE
from .core import actions
from .metrics import package_version
from .preconditions import MAX_WAIT_SECONDS
from .problem import CONTENT_TYPE, Problem
from .routing import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .routing import Query, Route

__all__ = ["document"]

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_DESCRIPTION = (
    "Change the MQTT settings of running product instances without a restart. Errors are "
    "`application/problem+json` (RFC 9457) with all faults at once. Times are RFC 3339 in UTC. Every answer "
    "of a configuration has its `revision` and an `ETag` made from it."
)
_PROBLEMS = {
    400: "The body is not JSON.",
    401: "No bearer token and no session, or one that is not valid.",
    403: "The token's role or products do not allow this.",
    404: "There is no such thing.",
    409: "The name is taken, or the product has no configuration.",
    412: "`If-Match` or `If-None-Match` names another revision than the current one.",
    413: "The body is larger than 1 MB.",
    415: "The body is not `application/json`.",
    422: "Bad input; `errors` has all faults. Or `snapshot-too-large`, in words.",
    503: "A server that the request needs is away.",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of the routes that are not hidden."""
    shown = [route for route in routes if not route.hidden]
    schemas, components = _schemas(shown)
    paths = dict[str, dict[str, Any]]()
    for route in shown:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MQTT control plane",
            "version": package_version(),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in shown)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
            "schemas": dict(sorted(components.items())),
            "responses": {str(status): _problem(status) for status in _PROBLEMS},
        },
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    kinds: list[Any] = [Problem, *actions.KNOWN.values()]
    for route in routes:
        kinds += route.events.values()
        kinds += [kind for kind in (route.body, *route.answers.values()) if not isinstance(kind, str | None)]
    distinct = list(dict.fromkeys(kinds))
    found, components = msgspec.json.schema_components(distinct, ref_template=_REF)
    return dict(zip(distinct, found, strict=True)), {**components, "Action": actions.ACTION_SCHEMA}


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "description": _described(route),
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
        "security": [] if route.role is None else [{"bearer": []}, {"session": []}],
    }
    if route.body is not None:
        content = {"schema": schemas[route.body], "example": route.example}
        operation["requestBody"] = {"required": not route.body_optional, "content": {_JSON: content}}
    return operation


def _described(route: Route) -> str:
    least = "No token is needed." if route.role is None else f"Least role: {route.role}."
    everywhere = " The token must be for all products." if route.all_products else ""
    return " ".join(filter(None, (route.description, least + everywhere)))


def _parameters(route: Route) -> list[dict[str, Any]]:
    path = [_path_parameter(name) for name in re.findall(r"{(\w+)}", route.path)]
    return [*path, *(_query_parameter(query) for query in route.query), *_header_parameters(route)]


def _path_parameter(name: str) -> dict[str, Any]:
    if name == "name":
        schema: dict[str, Any] = {"type": "string", "pattern": f"^{NAME.pattern}$"}
        return {"name": name, "in": "path", "required": True, "schema": schema, "example": "orders_token"}
    most = 2**63 - 1 if name == "revision" else 2**31 - 1
    schema = {"type": "integer", "minimum": 1, "maximum": most}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": 1}


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": query.kind}
    if query.kind == "date-time":
        schema = {"type": "string", "format": "date-time"}
    elif query.kind == "integer":
        schema |= {"minimum": query.least, "maximum": query.most}
    elif query.kind == "string":
        schema |= {"minLength": query.least, "maxLength": query.most}
    if query.default is not None:
        schema["default"] = query.default
    return {
        "name": query.name,
        "in": "query",
        "required": query.required,
        "description": query.description,
        "schema": schema,
    }


def _header_parameters(route: Route) -> Iterable[dict[str, Any]]:
    if route.if_match:
        yield _header("If-Match", "The `ETag` that was read: 412 when it is no longer current.", '"7"')
    if route.if_none_match:
        yield _header("If-None-Match", "With `live=false`: 304 when this `ETag` is still current.", '"7"')
    if route.prefer:
        text = f"`wait=N`: answer when all live instances are done or after N (up to {MAX_WAIT_SECONDS}) s."
        yield _header("Prefer", text, "wait=5")


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "If-Match":
        # The others are ignored when they are malformed (RFC 7240, 2; RFC 9110, 13.1.2).
        schema["pattern"] = r'^(\*|"[0-9]{1,18}")$'
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": example}


def _responses(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    responses = {
        str(status): _response(route, status, kind, schemas) for status, kind in route.answers.items()
    }
    if route.if_none_match:
        responses["304"] = {
            "description": "Not modified.",
            "headers": _headers(route, HTTPStatus.NOT_MODIFIED),
        }
    for status in _problem_statuses(route):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{status}"})
    return dict(sorted(responses.items()))


def _problem_statuses(route: Route) -> Iterable[int]:
    yield 422
    yield from route.problems
    if route.role is not None:
        yield from (401, 403, 503)
    if "{" in route.path:
        yield 404
    if route.if_match:
        yield 412
    if route.body is not None:
        yield from (400, 413, 415)


def _response(route: Route, status: int, kind: Any, schemas: dict[Any, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if isinstance(kind, str):
        response["content"] = {kind: {"schema": {"type": "string"}}}
        if route.events:
            # What the document's language has no words for: the data of each event.
            data = {name: schemas[event] for name, event in route.events.items()}
            response["content"][kind]["x-events"] = data
    elif kind is not None:
        response["content"] = {_JSON: {"schema": schemas[kind]}}
    if headers := _headers(route, status):
        response["headers"] = headers
    return response


def _headers(route: Route, status: int) -> dict[str, Any]:
    headers = dict[str, Any]()
    if route.etag:
        headers["ETag"] = _answer_header("The revision in quotes.")
    if route.prefer and status < HTTPStatus.MULTIPLE_CHOICES:
        headers["Preference-Applied"] = _answer_header("`wait=N`, when it was asked for.")
    if status == HTTPStatus.CREATED and route.name in ("create_product", "create_subscription"):
        headers["Location"] = _answer_header("Path of what was created.")
    return headers


def _answer_header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _problem(status: int) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "urn:problem-type:invalid-input",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": "One value is wrong",
    }
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        loc = ["body", "broker", "port"]
        example["errors"] = [{"loc": loc, "msg": "must be at most 65535", "type": "too_large"}]
    else:
        example |= {"type": f"urn:problem-type:{_SLUGS[status]}", "detail": _PROBLEMS[status].rstrip(".")}
    headers = {name: _answer_header(text) for name, text in _PROBLEM_HEADERS.get(status, {}).items()}
    content = {CONTENT_TYPE: {"schema": {"$ref": _REF.format(name=Problem.__name__)}, "example": example}}
    return {"description": _PROBLEMS[status], "content": content, **({"headers": headers} if headers else {})}


_SLUGS = {
    400: "malformed-json",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    409: "name-taken",
    412: "revision-mismatch",
    413: "too-large",
    415: "unsupported-media-type",
    503: "unavailable",
}
_PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": "RFC 6750."},
    503: {"Retry-After": "Seconds."},
}
