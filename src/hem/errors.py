"""The one error that is the user's to mend: a line saying what, where, and what to do."""


class UserError(ValueError):
    """Bad input or surroundings. The command line prints it as one line and exits with 2."""


class WorldError(UserError):
    """An environment failed in use. What was learnt before is sound, and can be saved."""


def require(condition: bool, message: str) -> None:
    """Raise ``UserError(message)`` unless ``condition`` holds."""
    if not condition:
        raise UserError(message)
