"""A Debian under qemu, for what only a whole machine has; started by scripts/vm.

    scripts/vm rootless doctor
    scripts/vm python3 -m pytest tests/e2e/test_cgroups.py
    scripts/vm --reboot 'rootless run -d …' 'rootless ps'
    scripts/vm --row debian13 rootless doctor

Each COMMAND is a line for the shell of `dev`, an ordinary user who has just logged in, with this
checkout in /srv/checkout. vagrant/matrix.json lists the machines, tests/support/vm.py makes
them.
"""

from __future__ import annotations

import argparse
import shlex
import sys

from tests.support import vm


def main() -> int:
    """Run the command, or with --reboot each one and the machine's start between them."""
    parser = argparse.ArgumentParser(
        prog="scripts/vm",
        description=(__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rows = vm.rows()
    parser.add_argument("--row", choices=sorted(rows), default=vm.USUAL, help=f"[{vm.USUAL}]")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for each command [600]")
    parser.add_argument(
        "--reboot", action="store_true", help="each argument is a line of its own; reboot between"
    )
    parser.add_argument("--console", action="store_true", help="show what the kernel says")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="what to run; none: make the disk"
    )
    given = parser.parse_args()
    row = rows[given.row]
    if why := vm.missing(row):
        sys.exit(f"error: {why}")
    vm.disk(row, say=lambda text: print(text, file=sys.stderr, flush=True))
    if not given.command:
        return 0
    lines = given.command if given.reboot else [shlex.join(given.command)]
    if not given.reboot and len(given.command) == 1:
        lines = given.command  # one word is a line already
    with vm.Machine(row, console=given.console) as machine:
        for number, line in enumerate(lines):
            if number:
                machine.reboot()
            code = machine.run(line, timeout=given.timeout, stream=sys.stdout)[0]
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
