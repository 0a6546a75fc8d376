"""From a Dockerfile to an image: stages, steps, their cache, and what carries them out.

A build is data first. `plan` turns parsed instructions into stages, `steps` turns a stage and the
config of its base into a list of steps with every variable resolved; both are pure, so whatever
is wrong with a Dockerfile is known before anything runs. `recipes` finds the stages that are
needed, `crew` builds those side by side that can be, and `execute` walks the steps of one: `cache`
knows those already made, by `keys` of what they do and read (`context`, `contents`, `origins`); a
`workbench` carries out the others, by `copy` and `files` or by `commands` in a sandbox, and
`layering` makes layers of what they changed. It must not print, and knows no registry: the caller
fetches base images.
"""
