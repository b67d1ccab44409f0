"""Whose is a model's sealed reasoning, and where may it be sent?

    seals         marked on the way to the client, and unmarked or taken out on the way back
    provenance    who made a seal that has no mark
    forms         what its form tells of that
    makers        whose seals a provider cannot have made
    register      what is known of seals, kept for the next start
    vault         what a client's wire cannot carry
    pieces        what is kept of an answer, and put back
    conversation  by what an answer is found again

docs/decisions/0013-unmarked-seals.md says why.
"""
