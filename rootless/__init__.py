"""rootless: build, run and look into container images as an ordinary user, without a daemon."""

__version__ = "0.1.0"
