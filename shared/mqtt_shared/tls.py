"""The TLS settings of a connection to a broker."""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from .messages import TlsVersion

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Tls", "TlsSettingsError", "context"]

_VERSIONS: dict[TlsVersion, ssl.TLSVersion] = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsSettingsError(ValueError):
    """A certificate or key that cannot be used; the text says which, and never shows it."""


class Tls(Struct, frozen=True, kw_only=True):
    """How to speak TLS. `repr` shows no key.

    ca_certificate: PEM; the only authorities trusted; null: those of the system. client_certificate,
    client_key: PEM; how the client proves who it is.
    """

    verify_cert: bool = True
    min_version: TlsVersion = "1.2"
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None

    def __repr__(self) -> str:
        return f"Tls(verify_cert={self.verify_cert}, min_version={self.min_version!r})"


def context(tls: Tls) -> ssl.SSLContext:
    """A client's TLS context. Blocks for some milliseconds: it may read the certificates of the system.

    Raises:
        TlsSettingsError: a PEM text is none, or key and certificate do not belong together.
    """
    try:
        made = ssl.create_default_context(cadata=tls.ca_certificate or None)
    except (ssl.SSLError, ValueError) as error:
        raise TlsSettingsError(f"ca_certificate holds no certificate in PEM ({_reason(error)})") from None
    made.minimum_version = _VERSIONS[tls.min_version]
    if not tls.verify_cert:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if tls.client_certificate:
        _identify(made, tls.client_certificate, tls.client_key)
    return made


def _identify(made: ssl.SSLContext, certificate: str, key: str | None) -> None:
    if not key:
        raise TlsSettingsError("client_certificate has no client_key")
    try:
        with _as_file(certificate, key) as (path, password):
            made.load_cert_chain(path, password=password)
    except ssl.SSLError as error:
        raise TlsSettingsError(
            f"client_certificate and client_key cannot be used together ({_reason(error)})"
        ) from None


@contextlib.contextmanager
def _as_file(certificate: str, key: str) -> Generator[tuple[str, str | None]]:
    """A path that OpenSSL can read both from, and the password of the key there.

    OpenSSL takes files alone, and a key must not lie on a disk in the clear: a file in memory where the
    system has that, otherwise one that only we may read, with the key under a password that is forgotten.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("client-identity"), "wb") as file:
            file.write(f"{certificate}\n{key}\n".encode())
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}", None
        return
    password = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "client-identity.pem"
        path.write_bytes(certificate.encode() + b"\n" + _encrypted(key, password))
        yield str(path), password


def _encrypted(key: str, password: str) -> bytes:
    try:
        loaded = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        # The cause might quote the key.
        raise TlsSettingsError("client_key is no private key in PEM, or has a password") from None
    return loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or "not PEM"
