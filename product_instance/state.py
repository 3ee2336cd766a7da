"""What an instance keeps on disk: its id, the last known good configuration, sealed as received, and the
filters that may stand in its sessions at brokers.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mqtt_shared.logs import get_logger

from .errors import StateInUseError
from .settings import INSTANCE_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["State"]

log = get_logger(__name__)

_ID_FILE = "instance_id"


class State:
    """The files of one instance in `folder`. A disk that is full or read-only never stops the instance."""

    def __init__(self, folder: Path, product_id: int, instance_id: str | None = None) -> None:
        """Find or make the instance id, and lock it.

        Raises:
            StateInUseError: another process runs under the same id from the same folder.
        """
        self._folder = folder
        self.instance_id = instance_id or _stored_id(folder) or self._new_id()
        self._file = _snapshot_file(folder, product_id, self.instance_id)
        self._filters_file = folder / f"session-{product_id}-{self.instance_id}.json"
        self._lock = self._locked(folder / f"lock-{product_id}-{self.instance_id}")

    def close(self) -> None:
        """Let another process have the instance id."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @staticmethod
    def peek(folder: Path, product_id: int, instance_id: str | None) -> tuple[str | None, bytes | None]:
        """The instance id and the last known good snapshot, without locking or making anything."""
        known = instance_id or _stored_id(folder)
        return known, _read(_snapshot_file(folder, product_id, known)) if known else None

    def _new_id(self) -> str:
        made = uuid.uuid4().hex[:16]
        if not self._write(self._folder / _ID_FILE, made.encode()):
            log.warning("the instance id cannot be kept: the next start makes another one", instance_id=made)
        return made

    def _locked(self, path: Path) -> int | None:
        if sys.platform == "win32":
            return None
        import fcntl

        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("STATE_DIR cannot be used; going on without it", error=str(error))
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StateInUseError(
                f"instance {self.instance_id} is already running from STATE_DIR {self._folder}: "
                "give this one an INSTANCE_ID or a STATE_DIR of its own"
            ) from None
        return descriptor

    def load(self) -> bytes | None:
        """The last known good snapshot as it was received; null when there is none that can be read."""
        return _read(self._file)

    def store(self, raw: bytes) -> bool:
        """Keep a snapshot that works; false, and a line in the log, when the disk does not let us."""
        return self._write(self._file, raw)

    def load_filters(self) -> dict[str, list[str]]:
        """The filters that may stand in each session."""
        if (raw := _read(self._filters_file)) is None:
            return {}
        try:
            return msgspec.json.decode(raw, type=dict[str, list[str]])
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("cannot be read; going on without", file=str(self._filters_file))
            return {}

    def store_filters(self, filters: Mapping[str, list[str]]) -> bool:
        """Keep them; false, and a line in the log, when the disk does not let us."""
        # A killed process loses nothing that is written; a power cut may, and that is borne for the speed.
        return self._write(self._filters_file, msgspec.json.encode(filters), durable=False)

    def _write(self, path: Path, content: bytes, *, durable: bool = True) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _replace(path, content, durable=durable)
        except OSError as error:
            log.warning("cannot write to STATE_DIR; going on without", file=str(path), error=str(error))
            return False
        return True


def _snapshot_file(folder: Path, product_id: int, instance_id: str) -> Path:
    return folder / f"snapshot-{product_id}-{instance_id}.json"


def _stored_id(folder: Path) -> str | None:
    stored = (_read(folder / _ID_FILE) or b"").decode(errors="replace").strip()
    return stored if INSTANCE_ID.fullmatch(stored) else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read from STATE_DIR", file=str(path), error=str(error))
        return None


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    """Write all of it or nothing, and have it survive a power cut when `durable`. Mode 600.

    Raises:
        OSError: the old content, if any, is still there.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
