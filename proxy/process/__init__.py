"""How does the process start, reload its configuration, and end?"""
