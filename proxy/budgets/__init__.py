"""May this still be spent?

Every attempt sets aside the dearest that it may become, in all the budgets that it falls under or in none, and says at
its end what it was.

    counter       the law of one budget in one window
    windows       when a window ends
    reservations  what is set aside for an attempt, and in which budgets
    refusal       what a client reads whom a budget turns away
    leased        the law of one sidecar's share, where a fleet has the budget
    leases        how a sidecar comes by that share

docs/decisions/0017-budgets.md says why, and 0025-fleet.md for a fleet.
"""

from proxy.budgets.counter import Alert, Counter, Standing
from proxy.budgets.leases import Leases
from proxy.budgets.reservations import Budgets, Reservation, Spent

__all__ = ["Alert", "Budgets", "Counter", "Leases", "Reservation", "Spent", "Standing"]
