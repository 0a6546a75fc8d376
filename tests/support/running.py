"""What a run is at: failures are named as they come, and what ran when it was interrupted.

And where it works: pytest's own folders of the last three runs are not used, for pytest cannot
delete what belongs to other ids, nor trees of any depth, and would say so in the fourth run.
"""

from __future__ import annotations

import tempfile

import pytest

from rootless import deletion
from tests.support import child, machine


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


class Folder:
    """A plugin of the process that reports: one temporary directory, gone where nothing failed."""

    def __init__(self, config) -> None:
        self._path = config.option.basetemp = tempfile.mkdtemp(prefix="rootless-tests-")
        self._is_of_use = True

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        failed = pytest.ExitCode.TESTS_FAILED
        self._is_of_use = failed <= exitstatus <= pytest.ExitCode.INTERNAL_ERROR

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if self._is_of_use:
            terminalreporter.write_line(f"What the tests left is in {self._path}")

    def pytest_unconfigure(self) -> None:
        if not self._is_of_use:
            remove = deletion.remove if machine.missing("userns") else child.remove_tree
            remove(self._path)
