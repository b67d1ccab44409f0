"""How does a call get to its provider and back: as it is, or translated?

Whichever it is:

    asking        the request is sent, and answered
    elsewhere     models that a host has on another of its wires alone
    windows       the context that a client wants
    respelling    what the client calls a field
    begun         an answer whose beginning was read
    pouring       a live answer, handed on as it comes
    counting      the tokens of a request that is not sent
    estimate      the same, where nobody counts them

As it is:

    passing       the lane
    relaying      the provider's own bytes, by whole events

Translated:

    translating   the lane, up to the answer
    answering     the lane's way back
    abilities     what the model cannot take
    kept          what another provider keeps
    fetching      bytes in place of a URL
    heeding       what a host refuses that others take
    lessons       the words in which it does
    prefill       a request for the rest of an answer
    pairing       which call a result answers
    bound         thoughts that a model refuses to take back
    naming        names and ids that the other wire takes
    freetext      tools that take free text
    boxing        answers that are no JSON objects
    hearing       the answer's events
    calls         the ids and names of its calls
    sieve         what only its own wire understands
    telling       the same answer in the client's words
    retelling     the same, as it comes
"""
