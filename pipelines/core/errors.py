"""What can go wrong for a user: one sentence each, with the exit code the command line returns.

Raise these where the fault is known, with the value, the file and the next step; the command line prints them in one place.
"""


class AvatarError(Exception):
    """A failure the user can read: what is wrong, where, what to do next."""

    exit_code = 1


class SettingError(AvatarError):
    """A setting, argument or output path that cannot be used."""

    exit_code = 2


class MissingTool(AvatarError):
    """A program, package or weight file that is not on this machine; the sentence says how to get it."""

    exit_code = 3


class UnusableMaterial(AvatarError):
    """Footage or a folder that cannot be worked with; the sentence says what to film or which command to run."""

    exit_code = 4
