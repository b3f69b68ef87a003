"""A client in its own process: sends a sample of one month's flights in their order; outcomes come a day later.

    python client.py URL MONTH.parquet --rows 2000

Prints one JSON line: how many were answered, by which versions, how fast.
"""

from __future__ import annotations

import argparse
import http.client
import json
import time
import urllib.parse
from collections import Counter, deque

import pandas as pd

FEATURES = ["hour", "origin", "temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
KNOWN = [name for name in FEATURES if name != "pressure"]  # what the contract does not let be null
DAY_US = 86_400_000_000
LATE_MINUTES = 15
REPORT = 50  # outcomes are reported so many at a time


def sample(path: str, rows: int) -> pd.DataFrame:
    """Return a fixed sample of a month, of flights whose weather is known, in the order of departure."""
    month = pd.read_parquet(path).dropna(subset=KNOWN)
    return month.sample(min(rows, len(month)), random_state=13).sort_values("scheduled_at", kind="stable")


class Client:
    """One keep-alive connection to the prediction service."""

    def __init__(self, url: str) -> None:
        place = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=30)
        self.headers = {"Content-Type": "application/json"}

    def post(self, path: str, body: object) -> dict:
        """Send one JSON body and return the JSON answer; anything but 200 is an error."""
        self.connection.request("POST", path, json.dumps(body), self.headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise SystemExit(f"{response.status} {text.decode(errors='replace')}")
        return json.loads(text)


def send_month(client: Client, flights: pd.DataFrame) -> dict:
    """Send each flight as it comes up; report an outcome once the flights' own clock is a day further."""
    versions: Counter[str] = Counter()
    waiting: deque[tuple[int, str, bool]] = deque()
    started = time.perf_counter()
    reported = 0
    for row in flights.to_dict("records"):
        at = int(row["scheduled_at"].value // 1000)
        if len(waiting) > REPORT and waiting[REPORT][0] + DAY_US <= at:
            reported += report(client, [waiting.popleft() for _ in range(REPORT)])
        inputs = {name: None if row[name] != row[name] else row[name] for name in FEATURES}
        answer = client.post("/v1/models/delay/predict", {"inputs": [inputs], "occurred_at": at})
        versions[answer["version"]] += 1
        waiting.append((at, answer["predictions"][0]["id"], row["dep_delay"] > LATE_MINUTES))
    seconds = time.perf_counter() - started
    reported += report(client, list(waiting))
    return {"answered": len(flights), "outcomes": reported, "versions": dict(versions), "seconds": round(seconds, 2)}


def report(client: Client, due: list[tuple[int, str, bool]]) -> int:
    """Send outcomes that have become known."""
    rows = [{"prediction": key, "occurred_at": at + DAY_US, "label": int(late)} for at, key, late in due]
    client.post("/v1/outcomes", {"outcomes": rows})
    return len(rows)


def main() -> None:
    """Send one month and print what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("month")
    parser.add_argument("--rows", type=int, default=2000)
    options = parser.parse_args()
    print(json.dumps(send_month(Client(options.url), sample(options.month, options.rows))))


if __name__ == "__main__":
    main()
