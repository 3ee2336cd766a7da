"""Certificates for TLS tests, made anew in each run."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class KeyPair:
    """Files of a certificate chain and its private key, both PEM."""

    certificate: Path
    key: Path


class Certificates:
    """One authority and what it has signed.

    `server` is good for localhost, 127.0.0.1 and ::1; `expired` was; `wrong_host` is good for
    other.example.com only; `client` is for a client named instance.example.com.
    """

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self._directory = directory
        self.ca = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        names = ("localhost", "127.0.0.1", "::1")
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        self.server = self._issue("server", *names)
        self.expired = self._issue("expired", *names, not_after=past)
        self.wrong_host = self._issue("wrong-host", "other.example.com")
        self.client = self._issue("client", "instance.example.com")

    def client_context(self) -> ssl.SSLContext:
        """A client's TLS settings that trust this authority alone."""
        return ssl.create_default_context(cafile=str(self.ca))

    def _issue(self, name: str, *identities: str, not_after: dt.datetime | None = None) -> KeyPair:
        issued = self._authority.issue_cert(
            *identities,
            common_name=identities[0],
            not_before=not_after - dt.timedelta(days=30) if not_after else None,
            not_after=not_after,
        )
        pair = KeyPair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(pair.key))
        return pair
