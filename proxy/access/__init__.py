"""Who is asking, and what may they do?

What `middleware/auth` is made of.
"""
