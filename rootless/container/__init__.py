"""Containers: a directory, a process, a lock; no daemon.

records      containers/<id>/: what was asked, how it ended; names, for those that were given none
request      what a caller wants to run, as a value
start        from a request to a running sandbox with its network
foreground   waits for it: signals, exit status
terminal     when it has one; streams, when its input or output is a file of the host
"""
