"""How is a chat said on each wire?

One room for each wire, with two faces: one towards clients (a request parsed, an answer rendered), and one towards
providers (a request encoded, an answer decoded). What lies between is `canon`. `ports/dialects.py` says what every
dialect must be able to do.
"""
