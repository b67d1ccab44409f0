"""How does the process start, take up another configuration, and end?"""
