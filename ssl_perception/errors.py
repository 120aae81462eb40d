"""The one error that means "what came from outside can't be used"."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class InputError(ValueError):
    """Bad input: a file, message, cloud, image or setting that can't be used as given.

    The message is one line that names the culprit and what would be right. The command line
    prints it and exits with 2; the nodes report it on ``/diagnostics`` and go on with the next
    message. Line breaks and other control characters, which a hostile file may bring in with a
    name, become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_CONTROL.sub(" ", message))
