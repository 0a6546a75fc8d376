"""A sandbox is data: a list of typed operations that make a container, and one walk to run it.

spec        the frozen value: id map, namespaces, operations
operations  what is mounted, bound, made and written in the new root: tree, views, devices
privileges  who the process becomes: account, capabilities, seccomp, exec
accounts    the image's /etc/passwd and /etc/group
spawn       the parent's side; supervisor, the process between; init, the container's process 1
trampoline  the machine instructions that execute the command
explain     the same list in words and as a shell script

The room is given paths and values. It knows nothing of images, layers or the store.
"""
