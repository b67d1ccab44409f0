"""Does it hold before the vendors themselves? One suite, for each provider whose key is in the environment.

`make live` runs it, and nothing else does: it costs money. Before it asks anybody it says how much that may be, and it
stops at a number of calls (PILLION_LIVE_CALLS). Echo stands first in the row and costs nothing; so the suite itself is
proved by every run, and by tests/test_live.py where there is no key.
"""
