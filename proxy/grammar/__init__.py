"""What do the dialects have in common?

How a value is read and refused, how a block is spelled, why an answer ends: what two wires at least are made of. No
module in here knows a wire.
"""
