"""Root with one id only: the calls that the kernel must refuse are answered by a process of ours.

With a user namespace of a single id, chown(2) to another owner, setuid(2) to another user and
mknod(2) of a device fail, and every installer stops there. So a second seccomp filter hands these
calls to an answerer (seccomp_unotify(2)), which records what was asked for and says yes:

    calls        which calls those are, as a BPF program, and the operation that installs it
    credentials  who a process says it is, and what setuid(2) and its like make of that     pure
    caller       the process that waits for an answer: its memory, its root, what it has open
    files        chown(2), recorded on the file
    stats        stat(2) of what has a record
    making       files made by another user than root, and devices
    answering    the answerer: a child of the sandbox's supervisor, that ends it when it dies

A file's record is `owners`'; that of a device `archive.xattrs` reads. Who a process is, its number
of a table of ours, is kept where the kernel hands it down to children and through execve: as the
soft RLIMIT_LOCKS, which means nothing to the kernel since Linux 2.4.25.

None of this is a wall. The answerer gives nobody more than they have: it looks paths up as the
caller, in the caller's root, and what it does to a file any process of the sandbox may do itself.

What stays untrue: stat(2) and /proc say that everything belongs to root; what a user other than
root makes is root's until somebody gives it away; a setuid program changes nobody; who is not root
may yet open what root may.
"""
