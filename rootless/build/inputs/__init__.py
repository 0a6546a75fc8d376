"""Where the files of a COPY come from, and what they hold.

`context` is the user's directory, `tree` finds the files that a pattern names in it or in another
root, `selection` all that one build names, and `contents` is what they hold, as a digest. All of
it only reads.
"""
