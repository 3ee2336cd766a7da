"""Structured logs: one event a line, for people or as JSON, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

    from .settings import Settings

__all__ = ["configure", "get_logger"]

_SECRET_NAME = re.compile(
    r"password|passwd|secret|token|authorization|api_key|product_key|sealed", re.IGNORECASE
)
_URL_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/@\s]+@")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines go through the standard library's logging: a host program sees them where it sees
    its own, with the values of the event as attributes of the record, secrets masked.
    """
    return structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            redact,
            _to_log_kwargs,
        ],
    )


def _to_log_kwargs(logger: Any, method: str, event: EventDict) -> EventDict:
    """The values stand in the message too: a host program's formatter rarely shows a record's attributes."""
    text = event["event"]
    kwargs = structlog.stdlib.render_to_log_kwargs(logger, method, event)
    values = kwargs["extra"]
    if values:
        kwargs["msg"] = f"{text} ({', '.join(f'{name}: {value}' for name, value in values.items())})"
        # `configure` shows the values by themselves.
        values["event"] = text
    return kwargs


def configure(settings: Settings) -> None:
    """Send logging to stderr, one event a line, in the format that the settings name."""
    before: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(settings.log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())


def _renderer(log_format: str) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Mask values under names that speak of secrets, and credentials inside URLs, at any depth."""
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: str, value: Any) -> Any:
    if value and not isinstance(value, bool | int) and _SECRET_NAME.search(key):
        return "***"
    if isinstance(value, str):
        return _URL_CREDENTIALS.sub(r"\g<scheme>***@", value)
    if isinstance(value, dict):
        return {str(k): _masked(str(k), v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, list | tuple):
        return [_masked(key, item) for item in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    return value
