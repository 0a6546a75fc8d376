"""The same, louder."""

import greet


def loud(name: str) -> str:
    return greet.greet(name).upper()
