"""Certificates and private keys of a broker's settings: can they be used? No I/O; no message shows a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from .errors import Fault
from .model import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from mqtt_shared.messages import Broker

__all__ = ["certificate_faults", "ends_at", "faults", "key_faults"]


def certificate_faults(text: str) -> list[str]:
    """What keeps a text from being certificates in PEM (RFC 7468, 5)."""
    if "PRIVATE KEY" in text:
        return ["must not hold a private key, since certificates can be read: a key goes into client_key"]
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return ["must be PEM: one or more blocks of -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"]
    return []


def key_faults(text: str) -> list[str]:
    """What keeps a text from being a private key in PEM (RFC 7468, 10)."""
    if text == MASK:
        return []
    try:
        load_pem_private_key(text.encode(), password=None)
    except TypeError:
        return ["must not have a passphrase: it could not be opened"]
    except (ValueError, UnsupportedAlgorithm):
        return ["must be PEM: one block of -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----"]
    return []


def faults(broker: Broker, client_key: str | None, *, now: datetime) -> Iterator[Fault]:
    """What keeps certificates and key from being used together, and now. Both are PEM."""
    authorities = _read(broker.ca_certificate) if broker.ca_certificate else ()
    if authorities and all(each.not_valid_after_utc <= now for each in authorities):
        yield _fault("ca_certificate", _expired(authorities[0].not_valid_after_utc), "expired")
    if broker.client_certificate is None:
        if client_key:
            yield _fault("client_certificate", "is required with client_key", "missing")
        return
    chain = _read(broker.client_certificate)
    if chain[0].not_valid_after_utc <= now:
        yield _fault("client_certificate", _expired(chain[0].not_valid_after_utc), "expired")
    if client_key is None:
        yield _fault("client_key", "is required with client_certificate", "missing")
    elif _encoded(chain[0].public_key()) != _encoded(_key(client_key).public_key()):
        msg = "does not belong to the first certificate of client_certificate: send the two together"
        yield _fault("client_key", msg, "key_mismatch")


def ends_at(text: str) -> datetime:
    """When the first of the certificates, which is the one that is shown, ends."""
    return _read(text)[0].not_valid_after_utc


def _read(text: str) -> Sequence[x509.Certificate]:
    return x509.load_pem_x509_certificates(text.encode())


def _key(text: str) -> PrivateKeyTypes:
    return load_pem_private_key(text.encode(), password=None)


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _expired(at: datetime) -> str:
    return f"expired on {at:%Y-%m-%d}: use one that is valid"


def _fault(name: str, msg: str, kind: str) -> Fault:
    return Fault(loc=["body", "broker", name], msg=msg, type=kind)
