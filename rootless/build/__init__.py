"""From a Dockerfile to an image: the plan, what goes in, who carries it out, what is known already.

A build is data first: `plan` is pure, so whatever is wrong with a Dockerfile is known before
anything runs. `inputs` is where files come from; `cache` knows the steps that were carried out
before; `carry` does the others; `export` is what comes out. `build` is the way in, `request` what
a caller says and hears, `stack` the layers that a step rests on. It must not print, and knows no
registry: the caller fetches base images.
"""
