"""ONNX Runtime sessions that run on the configured provider, or fail.

ONNX Runtime falls back to the CPU with a mere log line when a GPU doesn't start. On a robot
that was planned with a GPU that must not pass unnoticed: here it is an error, unless the fall-back
is set.
"""

from __future__ import annotations

from typing import Literal

import onnxruntime

from ssl_perception.errors import InputError

Provider = Literal["cpu", "cuda", "tensorrt"]

_PROVIDERS: dict[str, list[str]] = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ],
}


def check_provider(provider: Provider, fall_back: bool, setting: str) -> None:
    """Whether this installation of ONNX Runtime has a provider at all.

    Args:
        setting: its name, for the error.

    Raises:
        InputError: it hasn't, and a fall-back wasn't asked for.
    """
    wanted, available = _PROVIDERS[provider][0], onnxruntime.get_available_providers()
    if wanted not in available and not fall_back:
        raise InputError(f"{setting} {provider}: this ONNX Runtime has only {', '.join(available)}")


def open_session(
    model: bytes, provider: Provider, threads: int, fall_back: bool, setting: str
) -> onnxruntime.InferenceSession:
    """A session on a provider; ``session.get_providers()`` says what really runs it.

    Args:
        model: serialised ONNX.
        threads: of the CPU.
        fall_back: take the next best where the provider is missing or doesn't start.
        setting: the provider's name among the settings, for the error.

    Raises:
        InputError: the provider is missing or doesn't start.
    """
    check_provider(provider, fall_back, setting)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads must not spin: the learner and the matcher want those cycles.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = _PROVIDERS[provider]
    available = [name for name in wanted if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(model, options, providers=available)
    if session.get_providers()[0] != wanted[0] and not fall_back:
        raise InputError(
            f"{setting} {provider} does not start here; ONNX Runtime fell back to "
            f"{session.get_providers()[0]}"
        )
    return session
