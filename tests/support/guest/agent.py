"""Runs in the machine of tests/support/vm.py, as root: does what the host asks, line by line.

The host writes JSON objects, one a line: `run` is a line for the shell of an ordinary user who
logs in for it, `root` one for root's, each with a `timeout` in seconds. Answers are objects, too:
`ready` once, then `out` for what is written and `exit` at the end. Starts anew after a reboot.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PORT = "/dev/virtio-ports/host"
HERE = Path(__file__).resolve().parent
CHECKOUT = Path("/srv/checkout")
USER = "dev"


def install() -> None:
    """The checkout where both root and the user find it, and `rootless` on everybody's PATH."""
    if CHECKOUT.exists():
        return
    shutil.copytree(HERE / "checkout", CHECKOUT, symlinks=True)
    owner = pwd.getpwnam(USER)
    for folder, _, files in os.walk(CHECKOUT):
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        for name in files:
            os.lchown(os.path.join(folder, name), owner.pw_uid, owner.pw_gid)
    Path("/usr/lib/python3/dist-packages/checkout.pth").write_text(f"{CHECKOUT}\n")
    Path("/usr/local/bin/rootless").symlink_to(CHECKOUT / "scripts" / "rootless")


def main() -> None:
    install()
    while not os.path.exists(PORT):  # udev makes it
        time.sleep(0.1)
    with open(PORT, "r+b", buffering=0) as port:
        port.write(b"\n")  # ends what was cut off when the machine went down
        tell(port, ready=Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        for line in lines(port):
            asked = json.loads(line)
            if "run" in asked:
                typed = f"cd {CHECKOUT}\n{asked['run']}"
                # of our session, not of one that su makes: it is what ends when time is up
                run(port, ["su", "--login", USER, f"--session-command={typed}"], asked)
            else:
                run(port, ["sh", "-c", asked["root"]], asked)


def lines(port):
    kept = b""
    while True:
        piece = port.read(65536)
        if not piece:  # the host has hung up, and may come again
            time.sleep(0.1)
        kept += piece
        *whole, kept = kept.split(b"\n")
        yield from whole


def run(port, argv, asked) -> None:
    home = CHECKOUT if CHECKOUT.exists() else "/"
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=home,
        start_new_session=True,
    )
    ended = threading.Event()

    def bound():
        if not ended.wait(asked["timeout"]):
            tell(port, out=f"\n(ended after {asked['timeout']} s)\n")
            subprocess.run(["pkill", "-KILL", "-s", str(child.pid)], check=False)
            child.send_signal(signal.SIGKILL)
            child.stdout.close()

    threading.Thread(target=bound, daemon=True).start()
    try:
        while piece := os.read(child.stdout.fileno(), 65536):
            tell(port, out=piece.decode(errors="backslashreplace"))
    except (OSError, ValueError):
        pass
    code = child.wait()
    ended.set()
    tell(port, exit=code if code >= 0 else 128 - code)


def tell(port, **answer) -> None:
    rest = json.dumps(answer).encode() + b"\n"
    while rest:
        rest = rest[port.write(rest) :]


if __name__ == "__main__":
    sys.exit(main())
