"""A greeting that knows how many it greets."""

import humanize


def greet(name: str, count: int = 1_000_000) -> str:
    return f"hello {name}, and {humanize.intword(count)} others"
