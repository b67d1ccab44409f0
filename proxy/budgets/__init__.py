"""May this still be spent?

Every attempt sets aside the dearest that it may become, in all the budgets that it falls under or in none, and says at
its end what it was. counter.py has the law of one budget in one window, windows.py when a window ends; docs/decisions/
0017-budgets.md says why.
"""

from proxy.budgets.counter import Alert, Counter, Standing
from proxy.budgets.leases import Leases
from proxy.budgets.reservations import Budgets, Reservation, Spent

__all__ = ["Alert", "Budgets", "Counter", "Leases", "Reservation", "Spent", "Standing"]
