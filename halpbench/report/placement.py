"""Place of a record in the reports: its tables, its figure, its panel there."""

from collections.abc import Mapping
from typing import Any

# Tables of `halpbench bench`.
TABLES = ("kernels", "epochs", "convergence")
# Overviews of all its measurements, whatever tables were asked for.
OVERVIEWS = ("summary", "roofline")
ACCURACY = "peers"

# Problems whose epochs are too short to be timed: a fraction of a millisecond.
UNTIMED = ("figure-1",)

# In the names of problems on data of the user's own, and in no others: `bench.cases` knows it too.
OWN_SIGN = "@"

FIGURES = {
    "bit-centering": "fig2",
    "conditioning": "fig5",
    "bits": "bits",
    "needed-bits": "needed-bits",
    "feedback": "feedback",
    "theory": "theory",
    "rival": "rivals",
}


def tables(kind: str, case: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reports that show a case, besides the overviews."""
    if kind in ("optimum", "fits"):
        return (ACCURACY,)
    if kind == "kernel":
        # An epoch is set beside the speed of reading memory.
        return ("kernels", "epochs") if case["op"] == "read" else ("kernels",)
    if kind == "call":
        return ("kernels",)
    if kind == "epochs":
        untimed = case["problem"]["name"] in UNTIMED
        return ("convergence",) if untimed else ("epochs", "convergence")
    return ()


def figure(kind: str, case: Mapping[str, Any]) -> str | None:
    """Return the figure that draws a case, one of `paper.DRAWN`; None if none does."""
    if kind == "curves" and OWN_SIGN in case["problem"]["name"]:
        return "own"
    if kind == "curves":
        return "fig1" if case["problem"]["name"] == "figure-1" else "fig4"
    return FIGURES.get(kind)


def panel(case: Mapping[str, Any]) -> str:
    """Return the title of the panel of Figure 1 or 4 that draws a case."""
    if case["data"] == "exact":
        return "exact data"
    bits = f"{case['bits']} bits"
    if (batch := case["contenders"][0].get("batch_size", 1)) != 1:
        bits += f", batches of {batch}"
    return bits if case["problem"]["name"] == "figure-1" else f"{case['problem']['name']}, {bits}"
