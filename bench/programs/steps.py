"""Floor of a flow: ten forked steps with one synced SQLite row each, or (``read``) those ten rows read again.

python steps.py run|read DATABASE
"""

import os
import sqlite3
import sys
import time

what, place = sys.argv[1:3]
ledger = sqlite3.connect(place)
ledger.execute("PRAGMA journal_mode=WAL")
ledger.execute("PRAGMA synchronous=FULL")
ledger.execute("CREATE TABLE IF NOT EXISTS steps (number, started, ended)")
if what == "run":
    for number in range(10):
        started = time.time()
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        with ledger:
            ledger.execute("INSERT INTO steps VALUES (?, ?, ?)", (number, started, time.time()))
print(len(ledger.execute("SELECT * FROM steps").fetchall()))
