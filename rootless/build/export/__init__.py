"""What comes out of a build, each kind in a module of its own.

Runs in the builder, when all layers of the wanted stage are published.
"""
