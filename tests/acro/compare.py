"""Compares the rules for single cells with those of the PyPI package `acro` on the same tables.

    cargo test --workspace --lib -- sdc::laws::tables_for_comparison --ignored --nocapture | python3 tests/acro/compare.py

Needs `pip install acro` (1.0 or newer). Reads lines `TABLE {json}`; prints agreement and every kind of disagreement with its count.
What came of it, and why, is in docs/acro.md. A development check: nothing of the product rests on it.
"""

import collections
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
    tally = {kind: collections.Counter() for kind in ("count", "sum")}
    cells = collections.Counter()
    for line in sys.stdin:
        if not line.startswith("TABLE "):
            continue
        table = json.loads(line[len("TABLE "):])
        frame = pd.DataFrame(table["rows"], columns=["a", "b", "v"])
        for kind in ("count", "sum"):
            theirs = flags(session, frame, kind)
            for cell in table[kind]:
                key = tuple(cell["keys"])
                ours, other = frozenset(cell["causes"]), theirs.get(key)
                cells[kind] += 1
                if other is None:
                    tally[kind][("not in acro's table", tuple(sorted(ours)), ())] += 1
                    continue
                same = bool(ours) == bool(other)
                label = "agree" if same else "ours alone" if ours else "acro alone"
                tally[kind][(label, tuple(sorted(ours)), tuple(sorted(other)))] += 1
    if not sum(cells.values()):
        sys.exit("no tables came; see the usage in this file")
    for kind, counts in tally.items():
        print(f"{kind}: {cells[kind]} cells")
        for (label, ours, other), n in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
            print(f"  {n:5}  {label:20}  ours: {', '.join(ours) or '-':60}  acro: {', '.join(other) or '-'}")


main()
