"""Compares the rules for single cells with those of the PyPI package `acro` on the same tables.

    cargo test --workspace --lib -- sdc::laws::tables_for_comparison --ignored --nocapture | python3 tests/acro/compare.py

Needs `pip install acro==1.0.2`. Reads lines `TABLE {json}`; prints agreement and every kind of disagreement with its count, by
kind of table.
What came of it, and why, is in docs/acro.md. A development check: nothing of the product rests on it.
"""

import collections
import importlib.metadata
import json
import logging
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import acro  # noqa: E402
import pandas as pd  # noqa: E402

SHORT = {
    "MinimumThresholdCheck": "threshold",
    "NKDominanceCheck": "nk",
    "NKCheck": "nk",
    "PPercentDominanceCheck": "p%",
    "PPercentCheck": "p%",
    "PresenceOfZeroCheck": "zero",
    "AllValuesSameCheck": "all same",
}


def flags(session, frame, kind):
    """What acro says of each cell: a set of names of checks that failed."""
    before = len(session.results.results)
    if kind == "count":
        session.crosstab(frame.a, frame.b)
    else:
        session.crosstab(frame.a, frame.b, values=frame.v, aggfunc="sum")
    record = session.results.get_index(before)
    found = {}
    for a, line in record.outcome.iterrows():
        for b, text in line.items():
            b = b[-1] if isinstance(b, tuple) else b
            names = [part.strip() for part in str(text).split(";") if part.strip() and part.strip() != "ok"]
            found.setdefault((int(a), int(b)), set()).update(SHORT.get(n, n) for n in names)
    return found


def main():
    session = acro.ACRO(suppress=False)
    tally, cells = collections.defaultdict(collections.Counter), collections.Counter()
    for line in sys.stdin:
        if not line.startswith("TABLE "):
            continue
        table = json.loads(line[len("TABLE "):])
        frame = pd.DataFrame(table["rows"], columns=["a", "b", "v"])
        for op in ("count", "sum"):
            theirs = flags(session, frame, op)
            of = (table["kind"], op)
            for cell in table[op]:
                key = tuple(cell["keys"])
                ours, other = frozenset(cell["causes"]), theirs.get(key)
                cells[of] += 1
                if other is None:
                    tally[of][("not in acro's table", tuple(sorted(ours)), ())] += 1
                    continue
                label = "agree" if bool(ours) == bool(other) else "ours alone" if ours else "acro alone"
                tally[of][(label, tuple(sorted(ours)), tuple(sorted(other)))] += 1
    if not cells:
        sys.exit("no tables came; see the usage in this file")
    print(f"acro {importlib.metadata.version('acro')}")
    for of, counts in tally.items():
        agree = sum(n for (label, _, _), n in counts.items() if label == "agree")
        print(f"{of[0]}, {of[1]}: {cells[of]} cells, {agree} agree")
        for (label, ours, other), n in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
            print(f"  {n:5}  {label:20}  ours: {', '.join(ours) or '-':60}  acro: {', '.join(other) or '-'}")


main()
