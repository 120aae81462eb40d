"""Trust over a restart: one small file, whole or not at all.

Trust that is lost is earned again; trust that was never earned must not appear. So whatever is
wrong with the file, the answer is a fresh start.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ssl_perception.config import TrustConfig
from ssl_perception.depth.trust.state import Trust, from_json, to_json
from ssl_perception.io.write import write_durably

MAX_BYTES = 1 << 20


def save_trust(path: Path, trust: Trust) -> None:
    """Write it durably, with its checksum.

    Raises:
        OSError: disk full or gone; the last file is as it was.
    """
    text = json.dumps(to_json(trust), sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, f"{digest}\n{text}\n".encode())


def load_trust(path: Path, options: TrustConfig) -> tuple[Trust, str]:
    """What was saved, judged anew, and what was wrong with it (empty: nothing)."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return Trust(), f"{path}: larger than {MAX_BYTES} bytes; trust starts from nothing"
        digest, _, text = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return Trust(), ""
    except OSError as error:
        return Trust(), f"{path}: {error.strerror}; trust starts from nothing"
    if hashlib.sha256(text.removesuffix(b"\n")).hexdigest().encode() != digest:
        return Trust(), f"{path}: checksum differs; trust starts from nothing"
    values = json.loads(text)
    return from_json(values if isinstance(values, dict) else {}, options), ""
