"""What a Dockerfile asks for, as values; nothing here reads a file or carries anything out.

`stages` finds what each is built on, `steps` makes a stage a list of steps on the config of its
base, `recipes` does so for all that a target needs, and `keys` says which steps are the same.
`changes` is the same language for the config of an image alone.
"""
