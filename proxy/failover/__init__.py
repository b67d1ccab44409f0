"""Whom do we ask, how are they, and what if they fail?

What `middleware/failover` and `middleware/resume` are made of.

Whom:

    plan          the targets that a call may go to
    balance       in which order
    sticking      the conversation that a call is part of
    needs         what a request needs of its model
    candidates    who may serve one call, one after the other
    way           one call's way through them
    attempts      one attempt, and its accounts

If one fails:

    retries       which errors are worth asking again after
    pacing        when, and how often
    later         who would have the call wait, and is put off
    failures      what all of them have said
    waits         how long the provider asks us to wait
    hedging       a second target beside a silent one
    race          two attempts at once
    trial         a second attempt's own call
    sofar         what the client has of an answer that broke
    splice        another answer as its rest
    faults        a provider that fails on purpose

How they are:

    standing      a target, by the calls to it
    breaker       is it left alone?
    recent        how often something happened in the last seconds
    percentile    in what time nearly all answered
    health        a provider, by asking it now and then

Their keys:

    cooldown      which key is next
    keystate      the same, kept for the next start
    keyshare      the same, told to the fleet
"""
