"""Bake: files that say what to build → the targets to build. Pure: texts in, values out.

evaluation    HCL and JSON files → Definition: variables, functions, matrices
compose       compose files' build sections → Definition          interpolation  its ${VARIABLE}s
attributes    what a target can say, how it is read, merged and written
entries       the parts of it that are lists of key=value: outputs, caches, secrets
definition    groups and targets by name; inheritance, --set, what is asked for → Resolved
printing      Resolved as JSON, as `docker buildx bake --print` has it
hcl/          the language

It knows nothing of builds: the command line makes one of each target.
"""
