"""Small JSON files with their checksum in front: what is damaged is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ssl_perception.errors import InputError


def seal(body: dict[str, Any]) -> bytes:
    """A checksum line, and the body as JSON.

    Raises:
        ValueError: NaN or infinity in it.
    """
    text = json.dumps(body, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{digest}\n{text}\n".encode()


def unseal(content: bytes, name: str) -> dict[str, Any]:
    """``seal`` undone.

    Raises:
        InputError: the checksum differs, or what is sealed is no JSON object.
    """
    digest, _, text = content.partition(b"\n")
    text = text.removesuffix(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise InputError(f"{name}: checksum differs")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:  # sealed by something else
        raise InputError(f"{name}: not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InputError(f"{name}: not a JSON object")
    return body
