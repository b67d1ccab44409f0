"""How do bytes come in and go out?

Sockets, connections and their timers. Towards clients (`server`):

    listening   the addresses at which we listen
    address     how they are written
    handover    sockets that were opened for us
    room        how many connections there may be
    door        one of them
    requests    the requests in its bytes
    inbound     one of them, and the wait for its body
    receiving   which bodies we take
    hosts       is it meant for us?
    patience    how long a client is waited for
    flow        how a client and we slow each other down
    pulse       is a client that sends no more still there?
    kernel      what the kernel knows of a connection
    delivery    how an answer goes out
    stamp       what we say in its head
    keptawake   a stream of our own frames, which pings
    onlookers   who watches an answer, and hears of its end

Towards providers (`upstream`):

    origins     a destination, and the connections that wait there
    names       where a host is
    trust       whom we trust there
    wire        one connection
    exchange    one request and its answer
    lateness    the timers of an exchange
    failures    how a connection can fail
    release     which aiohttp may read what they send
    remote      a file at a stranger's URL

Both:

    outbox      which bytes go out together
    heads       the head of a message
    alarm       when a connection is looked at again
    aside       work on large bodies, in a thread
    loading     a library that is needed for the first time
"""
