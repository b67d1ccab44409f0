"""What happens around each call to a model, one question a file?

None imports another. `Assembly._make_ways` in proxy/assembly.py has their order, with their questions beside them.
"""
