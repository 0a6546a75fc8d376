"""What is done to the new container's files, one frozen value each, in the order of a `Spec`.

tree     the layers, what is bound and written into them, the pivot
views    /proc, /sys, the cgroup, and what of them is hidden
devices  /dev

What is done to the process is in `sandbox.privileges`.
"""
