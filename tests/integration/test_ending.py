"""`end_what_is_left` in a forked process that adopts orphans, over those who do not want to."""

from __future__ import annotations

import os
import resource
import signal
import subprocess

import pytest

from rootless import linux
from rootless.sandbox import ending
from tests.support.child import in_child
from tests.support.processes import some_seconds, with_word

pytestmark = pytest.mark.needs("gcc", "userns", "subids")

PROGRAM = """
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
static volatile int *made;
static time_t until;
static int enough = 100;
static int is_over(void) { return time(0) > until || (enough && *made > 20000); }
static int begin(void) {
    if (__sync_add_and_fetch(made, 1) == enough) write(1, "x", 1);
    return fork();
}
static void *breed(void *most) {
    while (!is_over())
        if (*made < (long)most && begin() < 0 && !__sync_fetch_and_add(made + 1, 1))
            write(1, "x", 1);
    return 0;
}
int main(int argc, char **argv) {
    pthread_t thread;
    for (int i = 1; i < 65; i++) signal(i, SIG_IGN);
    until = time(0) + 60;
    made = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (*argv[1] == 's') enough = 3;
    switch (*argv[1]) {
    case 's': for (int i = 0; i < 3 && !begin(); i++) setsid();
              while (!is_over()) sleep(1);
    case 'f': enough = 0; breed((void *)(1 << 30));
    case 'b': breed((void *)300);
    case 't': for (int i = 0; i < 3; i++) pthread_create(&thread, 0, breed, (void *)300);
              breed((void *)300);
    case 'h': for (int i = 0; i < 2; i++) begin();
              for (int i = 0; !is_over(); i++) {
                  if (begin()) _exit(0);
                  if (i % 2) setsid();
                  kill(0, SIGCONT);
              }
    }
    write(1, "late", 4);
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("ending")
    (folder / "program.c").write_text(PROGRAM)
    command = ["gcc", "-pthread", "-o", folder / "program", folder / "program.c"]
    subprocess.run(command, check=True, capture_output=True)
    return str(folder / "program")


@pytest.mark.parametrize(
    "way",
    [
        "sessions of their own",
        "breeds",
        "threads that breed",
        "fills all the room that there is",
        "hops: who has made one is gone, and lets stopped ones go on",
    ],
)
def test_nobody_is_left(program, way):
    """They ignore all signals. They would end by themselves, and say so."""
    marker = some_seconds()

    def body() -> bool:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        begun, ready = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if way.startswith("fills"):
                resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))
            os.dup2(ready, 1)
            os.execv(program, [program, way, marker])
        os.close(ready)
        os.read(begun, 1)
        ending.end_what_is_left()
        assert os.read(begun, 4) == b""
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return True

    assert in_child(body)
    assert with_word(marker) == []


def test_who_cannot_be_ended_is_not_waited_for():
    """Another user's, and no power over that; whoever else there is, is ended."""

    def body() -> tuple[bool, int]:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        until, ends = os.pipe()
        others = os.fork()
        if others == 0:
            os.close(ends)
            os.read(until, 1)
            os._exit(7)
        os.setresuid(5, 5, 5)
        if os.fork() == 0:
            signal.pause()
        ending.end_what_is_left()
        os.close(ends)
        found = os.waitpid(-1, 0)
        return found[0] == others, os.waitstatus_to_exitcode(found[1])

    assert in_child(body) == (True, 7)
