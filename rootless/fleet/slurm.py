"""Slurm: a target is a batch job of the user's, in the directory where `bake` was called.

As Slurm has it, the nodes share that directory, the home and the programs. A job writes its log to
a folder of its run, which is removed at the end; a command that is killed leaves it, and its jobs.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
import time

from rootless import programs
from rootless.errors import NotFoundError, RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rootless.fleet import Job

OPTIONS = (
    *("account", "comment", "constraint", "cpus-per-task", "exclude", "licenses"),
    *("mem", "mem-per-cpu", "nice", "nodelist", "partition", "qos", "reservation", "time"),
)
"""Options of sbatch that can be given; sbatch reads more from variables (SBATCH_…)."""

_PROGRAMS = ("sbatch", "squeue", "scancel")
_WAITS = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD")
_RUNS = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
_ENDS = {
    "CANCELLED": "was cancelled",
    "TIMEOUT": "took longer than its partition, or --on slurm,time=…, allows",
    "DEADLINE": "did not end before its deadline",
    "NODE_FAIL": "was lost: its node failed",
    "BOOT_FAIL": "was lost: its node did not start",
    "PREEMPTED": "had to make room for another",
    "OUT_OF_MEMORY": "had too little memory: give it more with --on slurm,mem=…",
    "REVOKED": "was taken over by another cluster",
}
_LOOK = 0.25  # seconds between looks at a log
_ASK = 2.0  # seconds between questions to the controller, for all jobs together
_SILENCE = 120.0  # how many the controller may be away


class _State(Record):
    """What Slurm says of a job."""

    name: str
    reason: str = ""
    nodes: str = ""


class Slurm:
    """The Slurm that `sbatch` on the user's PATH speaks to."""

    title = "Slurm"
    shares_files = True

    def __init__(
        self,
        run: str,
        command: Sequence[str],
        logs: str,
        options: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        """`run` is a word for this bake, `command` what starts rootless on a node, `logs` a folder
        that the nodes share.
        """
        self._run = run
        self._command = tuple(command)
        self._logs = os.path.join(logs, run)
        self._options = [f"--{key}={value}" for key, value in options.items()]
        self._environment = dict(environment)
        self._programs: dict[str, str] = {}
        self._names: list[str] = []
        self._identities: list[str] = []
        self._states: dict[str, _State] = {}
        self._asked = 0.0
        self._answered = time.monotonic()
        self._lock = threading.Lock()

    def check(self) -> None:
        """See Scheduler."""
        self._programs = {name: self._find(name) for name in _PROGRAMS}

    def _find(self, name: str) -> str:
        found = programs.find(name, self._environment.get("PATH", ""))
        if not found:
            raise NotFoundError(
                f"there is no {name} here: --on slurm needs the commands of Slurm",
                hint="call it on a login node of the cluster, or leave out --on",
            )
        return found

    def describe(self, job: Job) -> str:
        """See Scheduler: the command with its script."""
        script = self._script(job)
        end = "END"
        while f"\n{end}\n" in script:
            end += "_"
        words = " ".join(map(shlex.quote, ("sbatch", *self._words(job))))
        return f"# {job.name}\n{words} <<'{end}'\n{script}{end}"

    def submit(self, job: Job) -> str:
        """See Scheduler."""
        os.makedirs(self._logs, mode=0o700, exist_ok=True)
        self._names.append(self._name(job))  # before there is one: see cancel
        answer = self._ask("sbatch", *self._words(job), stdin=self._script(job))
        identity = answer.strip().partition(";")[0]
        with self._lock:
            self._identities.append(identity)
            self._states[identity] = _State("PENDING")
        return identity

    def _name(self, job: Job) -> str:
        return f"{job.name}@{self._run}"

    def _words(self, job: Job) -> tuple[str, ...]:
        return (
            *("--parsable", "--no-requeue", f"--job-name={self._name(job)}"),
            *(f"--output={self._logs}/%j.log", f"--chdir={os.getcwd()}", *self._options),
        )

    def _script(self, job: Job) -> str:
        build = shlex.join((*self._command, "build", *job.words))
        if job.stdin:
            return f"#!/bin/sh\nprintf %s {shlex.quote(job.stdin)} |\n    {build}\n"
        return f"#!/bin/sh\nexec {build} </dev/null\n"

    def follow(self, identity: str, say: Callable[[bytes], object]) -> str:
        """See Scheduler. Says, too, what a job waits for."""
        path = os.path.join(self._logs, f"{identity}.log")
        heard, told = 0, ""
        while True:
            state = self._state(identity)
            heard += _pass_on(path, heard, say)
            if state.name not in (*_WAITS, *_RUNS):
                _pass_on(path, heard, say)
                return _why(identity, state)
            waits = f"job {identity} waits: {state.reason}" if state.name in _WAITS else ""
            if waits and state.reason not in ("", "None") and waits != told:
                say(f"{waits}\n".encode())
                told = waits
            time.sleep(_LOOK)

    def cancel(self) -> None:
        """See Scheduler. By their names: nobody may know yet what a job is called."""
        failures = []
        for name in self._names:
            try:
                self._ask("scancel", "--quiet", f"--name={name}")
            except RootlessError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Remove the logs of this run."""
        shutil.rmtree(self._logs, ignore_errors=True)

    def _state(self, identity: str) -> _State:
        """What was last said of the job, asked anew now and then, for all jobs at once."""
        with self._lock:
            if time.monotonic() - self._asked >= _ASK:
                self._refresh()
                self._asked = time.monotonic()
            return self._states[identity]

    def _refresh(self) -> None:
        pending = [one for one in self._identities if self._states[one].name in (*_WAITS, *_RUNS)]
        try:
            listed = self._ask(
                *("squeue", "--noheader", "--states=all", "--format=%i|%T|%r|%N"),
                f"--jobs={','.join(pending)}",
            )
        except RootlessError as error:
            if "Invalid job id" not in error.message:
                if time.monotonic() - self._answered > _SILENCE:
                    raise
                return
            listed = ""
        self._answered = time.monotonic()
        found = dict.fromkeys(pending, _State("GONE"))
        for line in listed.splitlines():
            number, _, rest = line.partition("|")
            if number in found:
                found[number] = _State(*rest.split("|")[:3])
        self._states |= found

    def _ask(self, name: str, *words: str, stdin: str = "") -> str:
        """What a command of Slurm's writes. Not of our terminal: Ctrl-C is for us."""
        answer = subprocess.run(
            [self._programs[name], *words],
            input=stdin.encode(),
            capture_output=True,
            env=self._environment,
            start_new_session=True,
            check=False,
        )
        if answer.returncode:
            told = answer.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
            raise RootlessError(
                f"{name}: {told[-1].removeprefix(f'{name}: ').removeprefix('error: ')}",
                hint="sinfo shows whether Slurm is there, and what it has",
            )
        return answer.stdout.decode(errors="replace")


def _pass_on(path: str, start: int, say: Callable[[bytes], object]) -> int:
    """Say what there is of a log from `start` on; how much that was."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            said = 0
            while piece := file.read(1 << 16):
                say(piece)
                said += len(piece)
            return said
    except FileNotFoundError:  # it waits
        return 0


def _why(identity: str, state: _State) -> str:
    if state.name == "COMPLETED":
        return ""
    where = f" on {state.nodes}" if state.nodes else ""
    if state.name == "GONE":
        return f"job {identity} was lost: Slurm knows nothing of it any more"
    return f"job {identity}{where} {_ENDS.get(state.name, 'failed')}"
