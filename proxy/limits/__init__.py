"""May they, now?

What `middleware/ratelimit` is made of.

    need        how much a request may take
    gcra        the arithmetic of one limit
    scope       whose limits, how much is left of them, and who waits
    admission   goes on, waits, or is refused
    refusal     what a refused request is told
    announced   limits that providers announce
    ratelimits  the headers that tell what is left, on each wire
    resets      how providers spell when a limit is full again
    shared      limits that a fleet shares, and one sidecar's share of them
    rate        the arithmetic of one of those, in Redis
    fleet       goes on, waits, or is refused, where Redis decides

docs/decisions/0018-rate-limits.md says why, and 0025-fleet.md for a fleet.
"""
