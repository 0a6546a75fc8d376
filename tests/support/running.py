"""Which tests run: an interrupted run says what it was at, in whatever process that was."""

from __future__ import annotations


class Interrupted:
    """A plugin of the process that reports; with pytest-xdist others run the tests."""

    def __init__(self) -> None:
        self._running: dict[str, None] = {}
        self._interrupted = False

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = None

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    def pytest_keyboard_interrupt(self) -> None:
        self._interrupted = True

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if not self._interrupted:
            return
        for nodeid in self._running:
            terminalreporter.write_line(f"INTERRUPTED {nodeid}", red=True)
