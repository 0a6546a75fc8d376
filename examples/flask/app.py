"""A web page from a container: rootless run --rm -p 8000:8000 flask-example"""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def greet() -> str:
    return f"Hello from {os.uname().nodename}, served by user {os.getuid()} of the container.\n"
