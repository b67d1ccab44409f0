"""What did every attempt cost, and how is that still known after a crash?

    row         what is recorded of one attempt
    intents     the slots that hold a row until the database has it
    sync        when every slot survives a power cut
    schema      the tables, and the SQL that writes and reads them
    sums        what rows add up to, by the hour and by the day
    database    the one connection
    aging       which rows are old, where the clock may be wrong?
    reasons     what an error of SQLite's means
    files       where the files are, and which process has them
    opening     can budgets count on the ledger that is there?
    beginning   is it in its files, or in memory?
    remains     what can be read of one that cannot be used
    comeback    from memory to its files, once it can
    writer      the one thread that has the connection
    usage       what was used, grouped
    ledger      what the rest of pillion calls

docs/decisions/0016-ledger.md says why. The other half of this room is for a fleet, the store that sidecars share
(docs/decisions/0025-fleet.md):

    redis       carries questions to it, and notices when it is away
    connection  how it is reached, and why it is not
"""

from proxy.store.ledger import Ledger
from proxy.store.opening import begin
from proxy.store.remains import beyond
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
    "beyond",
    "read_usage",
]
