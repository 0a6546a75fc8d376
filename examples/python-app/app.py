"""Says how much room the container sees, in words that a package from PyPI chose."""

import platform
import shutil

import humanize

total, _, free = shutil.disk_usage("/")
print(f"Python {platform.python_version()} sees {humanize.naturalsize(total, binary=True)} here,")
print(f"of which {humanize.naturalsize(free, binary=True)} are free.")
