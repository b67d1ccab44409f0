"""Does any client's own SDK get from pillion what any provider said, and any provider what any client asked?

A judge from outside: it starts a pillion, plays recorded answers to it, asks it with the vendors' SDKs and compares
what they read with a plain reading of the recording. Nothing of proxy/ is used but the running gateway.
"""
