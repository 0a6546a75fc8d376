"""How a container reaches the network, and how the host reaches it.

choice        which way: none, host, pasta, slirp4netns
ports         `-p` parsed, and checked against the host
attach        user-mode networking for a child's network namespace: pasta or slirp4netns
attachment    that program as a process: ready, stopped, dead with us
gateway       where it finds the host itself
dns           the texts of /etc/resolv.conf and /etc/hosts

networks      user-defined networks, and who is on them: records in a folder of the store
holder        the process that owns the namespaces of the bridges; runs the resolver and pasta
bridge        addresses and cables, by netlink; nftables: what may go where
membership    a container on networks: what its monitor calls
resolver      names of containers (directory, dnspacket), else the host's resolvers
forwarder     published ports of containers on bridges

All of it runs in the parent, which is root of the user namespace that owns the child's network
namespace but stays in the host's network. Knows nothing of images and containers.
"""
