"""Whom do we ask, how are they, and what if they fail?

What `middleware/failover` is made of: plans, retries, breakers, keys by turns, the health of providers.
"""
