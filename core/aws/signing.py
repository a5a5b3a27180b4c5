"""Signature Version 4 of DynamoDB requests, with what stays the same for a day kept.

The scheme is AWS's ("Signature Version 4 signing process"); a test holds it equal to botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Protocol

SERVICE = "dynamodb"
CONTENT_TYPE = "application/x-amz-json-1.0"
TARGET_PREFIX = "DynamoDB_20120810."


class Frozen(Protocol):
    """Credentials at one instant."""

    access_key: str
    secret_key: str
    token: str | None


class Signer:
    """Signs POST requests to one host and path. Thread-safe: a race only derives a key twice."""

    def __init__(self, host: str, path: str, region: str) -> None:
        self._host = host
        self._path = path
        self._region = region
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def headers(
        self, operation: str, body: bytes, credentials: Frozen, now_s: float
    ) -> dict[str, str]:
        """The headers of a request, its signature among them."""
        date = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {"content-type": CONTENT_TYPE, "host": self._host, "x-amz-date": date}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        signed["x-amz-target"] = TARGET_PREFIX + operation
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        digest = hashlib.sha256(body).hexdigest()
        canonical = f"POST\n{self._path}\n\n{lines}\n{names}\n{digest}"
        scope = f"{date[:8]}/{self._region}/{SERVICE}/aws4_request"
        text = (
            f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        )
        key = self._signing_key(credentials.secret_key, date[:8])
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def _signing_key(self, secret: str, day: str) -> bytes:
        known_secret, known_day, key = self._key
        if (known_secret, known_day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, SERVICE, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return key
