"""How do bytes come in and go out?

Sockets, connections and their clocks, towards clients (`server`) and towards providers (`upstream`).
"""
