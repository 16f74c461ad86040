"""Run a command that ends when its parent ends: ``python tether.py PARENT_PID SIGNAL COMMAND [ARGUMENT …]``.

The process *becomes* the command, so its process id is the command's. On Linux the kernel sends it the signal when the
parent dies, even by ``kill -9``; the setting survives the change of program. Elsewhere there is no such call, and the
command simply runs.
"""

import ctypes
import os
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> NoReturn:
    """Tie this process to its parent, then become the command."""
    parent, signum, *command = argv
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signum))
    if os.getppid() != int(parent):
        # The parent died before the kernel knew of the tie.
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 -- no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
