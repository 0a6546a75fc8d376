"""Carrying out what the cache does not have.

`graph` says which steps wait for which; `builder` walks it, `crew` does several strands of it at
once, a forked process each; `keyring` looks up what steps read, `narration` tells of them. A
`workbench` carries a step out, by `copy` and `files` or by `commands` in a sandbox, and `layering`
makes layers of what they changed.
"""
