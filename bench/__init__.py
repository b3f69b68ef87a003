"""Headwater, the floor and the peers, measured on the same work in the same rounds: ``python -m bench``.

Reads from the outside in: ``__main__`` (what to run), ``measures`` (the work, one module each), ``runner`` (rounds),
``summary`` (medians, ratios, goals), ``table`` and ``page`` (what is shown). It uses the commands and the client
that a user has, and nothing else of the package.
"""
