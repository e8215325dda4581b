"""The processes of `refmill up`: a thin parent that supervises web, engine and resolver.

The rule to keep: the parent holds the data directory's lock and the listening socket and does no work of its own, so
that nothing it does can fail; its children die with it, the stages that they started do not.
"""
