"""Trained weights in safetensors files: checked, loaded. Nothing here runs foreign code."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ssl_perception.errors import InputError

MAX_BYTES = 16 << 20  # the largest shipped model has 0.3 MB


def load_into(model: nn.Module, path: Path) -> None:
    """Fill a model from a safetensors file that must hold exactly its tensors.

    Raises:
        InputError: no such file, too large, not safetensors, or a tensor that is missing, unknown,
            of another shape or type, or not finite. The model is then as it was.
    """
    expected = model.state_dict()
    loaded: dict[str, torch.Tensor] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB; not these weights")
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            for name in sorted(expected.keys() | names):
                if name not in names:
                    raise InputError(f"{path}: lacks {name}")
                if name not in expected:
                    raise InputError(f"{path}: {name} is no weight of this network")
                have, want = file.get_slice(name), expected[name]
                if tuple(have.get_shape()) != tuple(want.shape) or have.get_dtype() != "F32":
                    raise InputError(
                        f"{path}: {name} must be F32 {tuple(want.shape)}, "
                        f"not {have.get_dtype()} {tuple(have.get_shape())}"
                    )
                loaded[name] = file.get_tensor(name)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from None
    for name, tensor in loaded.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name} has NaN or infinite numbers")
    model.load_state_dict(loaded)
