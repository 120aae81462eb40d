"""Which device PyTorch computes on."""

from __future__ import annotations

import torch

from ssl_perception.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device that a setting names; ``auto`` is the GPU where there is one.

    Raises:
        InputError: ``cuda`` where there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch finds no usable GPU here")
    return torch.device(name)
