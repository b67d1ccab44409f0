"""What does pillion tell those who run it about requests, providers and money?

Of a call:

    outcome       what an error means for it
    sight         what is seen of it, from its answer's head to its end
    active        the calls under way, and how one of them is ended
    explain       why an ended one was answered as it was
    rehearsal     what would become of one that is not sent

In numbers, for Prometheus:

    gauges        a count, until somebody asks for it
    watched       the numbers that are kept elsewhere
    families      all of them, as Prometheus reads them
    exposition    how these are written, without keeping anybody waiting

Of money and of providers, to whom it concerns:

    books         the routes that show what was spent
    usage_report  which sums were asked for, and how they are written
    spend         the commands about what was spent
    roster        the route that shows the providers
    terminal      the command about the providers
    probe         is pillion up?
    replies       how these routes answer
"""
