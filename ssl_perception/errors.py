"""The one error that means "what came from outside can't be used"."""


class InputError(ValueError):
    """Bad input: a file, message, cloud, image or setting that can't be used as given.

    The message is one line that names the culprit and what would be right. The command line
    prints it and exits with 2; the nodes report it on ``/diagnostics`` and go on with the next
    message.
    """
