"""Who is asking, and what may they do?

What `middleware/auth` is made of.

    shown         the key that a request shows
    clients       whose key it is
    tokens        whose token it is
    allowance     what a client may do, and how much of it
    rights        may it ask this provider for this model?
    named         which other models does it name?
    keyring       the keys that were minted
    minting       how they are made, listed and revoked
    budgeted      what each client may spend
    salt          by which names apps go that bring keys of their own
    accents       whose SDK is asking

docs/decisions/0019-client-keys.md says why.
"""
