"""Slurm on loopback: a controller and two nodes of this machine, all of them an ordinary user.

munged, slurmctld and slurmd run as who runs the tests, with keys, ports and folders of their own;
they need no cgroup (proctrack/linuxproc). Each node has a store of its own, as machines have. All
of it ends with `with Slurm(…)`, and dies with who started it.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import machine
from tests.support.ports import free_port

if TYPE_CHECKING:
    from typing import Self

NODES = ("n1", "n2")
_CONFIG = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdTimeout=10
KillWait=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog={folder}/prolog
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=30 State=UP
"""
# What a node prints before a job, job steps get as variables: a disk of its own.
_PROLOG = """#!/bin/sh
echo "export ROOTLESS_ROOT={folder}/store.$SLURMD_NODENAME"
"""


class Slurm:
    """A running cluster; `environment` is what Slurm's commands need to find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        (folder / "prolog").write_text(_PROLOG.format(folder=folder))
        (folder / "prolog").chmod(0o755)
        ports = [free_port() for _ in range(3)]
        values = {"host": socket.gethostname(), "user": getpass.getuser(), "ports": ports}
        (folder / "slurm.conf").write_text(_CONFIG.format(folder=folder, **values))
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._start("munged", "--foreground", "--force", *self._munge_files())
            self._await((folder / "munge.socket").exists)
            self._start("slurmctld", "-D")
            for node in NODES:
                self.start_node(node)
            self._await(self._is_idle)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_node(self, node: str) -> None:
        """Start what carries out jobs."""
        self._start("slurmd", "-D", "-N", node, called=node)

    def stop_node(self, node: str) -> None:
        """As a machine that loses its power."""
        self._daemons[node].kill()
        self._daemons.pop(node).wait()

    def ask(self, *words: str) -> str:
        """What one of Slurm's commands says."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """State by name of all jobs, ended ones, too."""
        listed = self.ask("squeue", "--noheader", "--states=all", "--format=%j %T")
        return dict(line.split() for line in listed.splitlines())

    def stop(self) -> None:
        """End all of it, jobs first."""
        if "slurmctld" in self._daemons:
            subprocess.run(
                ["scancel", "--user", getpass.getuser()],
                env={**os.environ, **self.environment},
                check=False,
                timeout=60,
            )
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _munge_files(self) -> list[str]:
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
        names |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        return [f"--{flag}={self.folder / name}" for flag, name in names.items()]

    def _start(self, name: str, *words: str, called: str = "") -> None:
        program = machine.program(name)
        assert program, f"{name} is not installed"
        with (self.folder / f"{called or name}.out").open("wb") as log:
            self._daemons[called or name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def _is_idle(self) -> bool:
        listed = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T")
        return sorted(listed.split("\n"))[1:] == [f"{node} idle" for node in NODES]

    def _await(self, is_so) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                if is_so():
                    return
            except subprocess.CalledProcessError:
                pass
            ended = [name for name, one in self._daemons.items() if one.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out"))
                raise RuntimeError("\n".join(f"{log.name}:\n{log.read_text()}" for log in logs))
            time.sleep(0.1)
