"""Colours, dashes and markers of contenders and types, the same in all figures."""

from __future__ import annotations

from typing import Any

from halpbench.report.pictures import COLORS, DASHES

# A contender's colour is its algorithm's, as in the paper's figures; dashes and markers tell its
# precisions apart.
LOOKS: dict[str, tuple[str, Any, str]] = {
    "SVRG D64fM64f": (COLORS["svrg"], DASHES["D64fM64f"], "o"),
    "SVRG D32fM32f": (COLORS["svrg"], DASHES["D32fM32f"], "s"),
    "HALP D16M16": (COLORS["halp"], DASHES["D16M16"], "^"),
    "HALP D8M16": (COLORS["halp"], DASHES["D8M16"], "v"),
    "HALP D8M8": (COLORS["halp"], DASHES["D8M8"], "D"),
    "LP-SVRG D16M16": (COLORS["lp-svrg"], DASHES["D16M16"], "x"),
    "LP-SVRG D8M8": (COLORS["lp-svrg"], DASHES["D8M8"], "+"),
}
# Types of data and model, in more of Okabe and Ito's colours.
DTYPES = {
    "f64": ("#000000", "o"),
    "f32": ("#0072B2", "s"),
    "i16": ("#009E73", "^"),
    "i8i16": ("#CC79A7", "v"),
    "i8": ("#D55E00", "D"),
}
