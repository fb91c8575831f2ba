"""How commands end other than well: by what a user can mend, and by being asked to stop."""

EXIT_STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again


class MendableError(RuntimeError):
    """Something that the user can mend. The message names it and the remedy; a traceback would only bury that."""


class PreemptedError(SystemExit):
    """The run was asked to stop; it exits with :data:`EXIT_STATUS`."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)
