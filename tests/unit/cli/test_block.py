"""The block that is drawn again and again, on a terminal that is slow to take it."""

import io
import os
import pty
import signal
import threading
import time
import tty

from rootless.cli.progress.block import Block


def test_nothing_is_left_out_when_signals_come():
    """A terminal that nobody reads takes a part of a drawing; then the clock ticks."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    lines = [f"{number:06}" for number in range(20_000)]
    drawn = bytearray()

    def read_late():
        time.sleep(0.2)
        while not drawn.endswith(b"end\n"):
            drawn.extend(os.read(master, 1 << 16))

    reader = threading.Thread(target=read_late, daemon=True)
    # The clock's signal goes to the thread that draws, as in the command.
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    reader.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        # Standard error as Python makes it under PYTHONUNBUFFERED.
        with io.TextIOWrapper(io.FileIO(slave, "w"), "utf-8", write_through=True) as err:
            Block(err).settle([*lines, "end"])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    reader.join(60)
    assert drawn.decode().split() == [*lines, "end"]
