"""The grammar of ``--seeds``, the same in every command."""

from __future__ import annotations

from ssl_perception.errors import InputError

SEEDS_HELP = "5: seeds 0 to 4; 3..7: 3 to 7; 1,5,9: those; also mixed, as 0..4,9."
MAX_SEEDS = 100_000


def parse_seeds(text: str) -> list[int]:
    """The seeds that an option names, in its order, each once.

    A plain number is how many: ``5`` is ``0..4``. One seed alone is a range of one: ``7..7``.

    Raises:
        InputError: anything else than ``SEEDS_HELP`` says, or more than ``MAX_SEEDS``.
    """
    ranges = []
    parts = text.split(",")
    for part in parts:
        first, dots, last = (piece.strip() for piece in part.partition(".."))
        if not (_whole(first) and (_whole(last) if dots else not last)):
            raise InputError(f"--seeds {text}: write a number of seeds, a range 0..4, or 1,5,9")
        if dots:
            ranges.append(range(int(first), int(last) + 1))
        elif len(parts) == 1:
            ranges.append(range(int(first)))
        else:
            ranges.append(range(int(first), int(first) + 1))
    if any(not part for part in ranges):
        raise InputError(f"--seeds {text}: no seeds in it")
    if sum(len(part) for part in ranges) > MAX_SEEDS:
        raise InputError(f"--seeds {text}: more than {MAX_SEEDS} seeds")
    return list(dict.fromkeys(seed for part in ranges for seed in part))


def _whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
