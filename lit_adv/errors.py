"""What a user can mend."""


class MendableError(RuntimeError):
    """Something that the user can mend. The message names it and the remedy; a traceback would only bury that."""
