"""What did every attempt cost, and how is that still known after a crash?

    row         what is written down of one attempt
    intents     the slots in which a row stands until the database has it
    schema      the tables, and the SQL that writes and reads them
    sums        what rows add up to, by the hour and by the day
    database    the one connection
    reasons     what an error of SQLite's means
    files       where all this is, and who has it
    opening     is what is there a ledger to count on?
    writer      the one thread that has the connection
    usage       what was used, grouped
    ledger      the face of it all

docs/decisions/0016-ledger.md says why. Beside the ledger, and for a fleet alone, stands the store that sidecars share
(docs/decisions/0025-fleet.md):

    redis       who carries what is asked, and finds out that it is away
    connection  how it is reached, and why it is not
"""

from proxy.store.ledger import Ledger
from proxy.store.opening import begin
from proxy.store.row import ABSURD, CRASHED, ESTIMATED, STREAM, UNPRICED, Row
from proxy.store.usage import Group, Query, Total, read_usage

__all__ = [
    "ABSURD",
    "CRASHED",
    "ESTIMATED",
    "STREAM",
    "UNPRICED",
    "Group",
    "Ledger",
    "Query",
    "Row",
    "Total",
    "begin",
    "read_usage",
]
