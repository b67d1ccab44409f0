"""May this still be spent?

Every attempt sets aside the most that it may cost, in all the budgets that it falls under or in none, and says at its
end what it did cost.

    counter       the arithmetic of one budget in one window
    windows       when a window ends
    purse         one client's budget, from window to window
    reservations  what is set aside for an attempt, and in which budgets
    refusal       what a client reads when a budget refuses its request
    leased        the arithmetic of one sidecar's share, where a fleet shares the budget
    leases        how a sidecar gets that share

docs/decisions/0017-budgets.md says why, and 0025-fleet.md for a fleet.
"""

from proxy.budgets.counter import Alert, Counter, Statement
from proxy.budgets.leases import Leases
from proxy.budgets.reservations import Budgets, Reservation, Spent

__all__ = ["Alert", "Budgets", "Counter", "Leases", "Reservation", "Spent", "Statement"]
