"""How a container reaches the network, and how the host reaches it.

choice        which way: none, host, pasta, slirp4netns
ports         `-p` parsed, and checked against the host
attach        user-mode networking for a child's network namespace: pasta or slirp4netns
attachment    that program as a process: ready, stopped, dead with us
gateway       where it finds the host itself
dns           the texts of /etc/resolv.conf and /etc/hosts

All of it runs in the parent, which is root of the user namespace that owns the child's network
namespace but stays in the host's network. Knows nothing of images and containers.
"""
