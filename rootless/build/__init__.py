"""From a Dockerfile to an image: stages, steps, their cache, and what carries them out.

A build is data first. `plan` turns parsed instructions into stages, `steps` turns a stage and the
config of its base into a list of steps with every variable resolved; both are pure, so whatever
is wrong with a Dockerfile is known before anything runs. `execute` walks the steps: `cache` knows
those already made, `context` reads the user's files, `copy` puts files into a root, and the
sandbox runs commands. It must not print, and knows no registry: the caller fetches base images.
"""
