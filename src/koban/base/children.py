"""How a process of ours is started in this interpreter."""

import sys


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command line of a module of ours, run by this interpreter.

    Why -P: otherwise the folder that the server was started in comes first among those that modules are imported from, and
    a file there that is named as one of Python's own takes its place
    (https://docs.python.org/3/using/cmdline.html#cmdoption-P).
    """
    return [sys.executable, "-P", "-m", module, *arguments]
