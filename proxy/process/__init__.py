"""How does the process start, reload its configuration, and end?

What `pillion serve` runs around the app:

    serving    its life
    greeting   what people and the log are told at its start
    reloading  another configuration, while it runs
    memory     free memory, given back to the system
"""
