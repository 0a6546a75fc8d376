"""What a run is at: failures are named as they come, and what ran when it was interrupted."""

from __future__ import annotations


class Told:
    """A plugin of the process that reports; with pytest-xdist others run the tests.

    So a run that is ended from outside has said what it found, whatever becomes of its summary.
    """

    def __init__(self, config) -> None:
        self._config = config
        self._running: dict[str, None] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = None

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = crash.message.partition("\n")[0] if crash else ""
            self._say(f"FAILED {report.nodeid} - {why}")

    def pytest_keyboard_interrupt(self) -> None:
        for nodeid in self._running:
            self._say(f"INTERRUPTED {nodeid}")

    def _say(self, line: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        reporter.write(f"\n{line}\n", red=True)  # whatever dots stand in the line
