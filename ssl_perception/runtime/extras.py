"""What the extras of this package bring, and what to say where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ssl_perception.errors import InputError

# Top-level module -> the extra that installs it.
EXTRA_OF = {
    "torch": "learning",
    "onnxruntime": "cpu",
    "onnx": "cpu",
    "embreex": "sim",
    "rotorpy": "rotorpy",
    "pyarrow": "datasets",
    "rerun": "viewer",
    "open3d": "viewer",
    "tensorboard": "train",
    "ray": "cluster",
}


@contextmanager
def needs_extra(what: str) -> Iterator[None]:
    """Around imports: where a module of an extra is missing, say which extra ``what`` needs.

    Args:
        what: the method, option or command that was asked for.

    Raises:
        InputError: naming ``what``, the module and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing_extra(error, what) from None


def missing_extra(error: ModuleNotFoundError, what: str) -> Exception:
    """The error to raise for a missing module: itself, unless an extra brings the module."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRA_OF:
        return error
    return InputError(
        f"{what} needs {module}, which is not installed: "
        f"pip install 'ssl-perception[{EXTRA_OF[module]}]'"
    )


def check_extra(module: str, what: str) -> None:
    """Make sure that a module is there, without importing it.

    Raises:
        InputError: see ``needs_extra``.
    """
    with needs_extra(what):
        if find_spec(module) is None:
            raise ModuleNotFoundError(name=module)
