"""Records of schema 1, as those of schema 2.

Schema 1 had everything in ``case``: how long to measure and in which tables a record is shown
belonged to the identity, and a wrong result was a reason to skip. Fields that move to the plan keep
their values. Fields that the report knows by itself are dropped: ``tables``, ``figure``, ``panel``,
and the problem's ``fallback``, the problem to measure without the data.
"""

import hashlib
from typing import Any

import msgspec

# Fields of schema 1's cases that say how long to measure.
PLAN = (
    *("suite", "at_least", "at_most", "budget_seconds", "epochs_per_turn"),
    *("grad_norms", "suboptimalities"),
)
SHOWN = ("tables", "figure", "panel")
WRONG = "wrong result"

Json = dict[str, Any]


def upgraded(old: Json) -> Json:
    """Return a record of schema 1 as one of schema 2.

    Its id is a digest of its content, so that the same record has the same id wherever it is
    upgraded. Fields that do not look like those of schema 1 stay: the check of shapes names them.
    """
    case, kind = dict(old["case"]), old["kind"]
    plan = {} if kind == "training" else _plan(case)
    if kind == "call":
        _libraries(case)
    if kind in ("epochs", "curves"):
        case["contenders"] = [_setting(contender) for contender in case["contenders"]]
    skipped = old.get("skipped")
    wrong = skipped if isinstance(skipped, str) and skipped.startswith(WRONG) else None
    return {
        "schema": 2,
        "id": hashlib.sha256(msgspec.json.encode(old, order="sorted")).hexdigest()[:32],
        "kind": kind,
        "case": case,
        "plan": plan,
        **{name: old[name] for name in ("fingerprint", "started", "series", "facts")},
        "skipped": None if wrong else skipped,
        "wrong": wrong,
    }


def _plan(case: Json) -> Json:
    """Take the fields out of a case that do not identify it, and return them as the plan."""
    plan = {name: case.pop(name) for name in PLAN if name in case}
    for name in SHOWN:
        case.pop(name, None)
    if "repeats" in case:
        plan["at_least"] = plan["at_most"] = case.pop("repeats")
    if isinstance(case.get("problem"), dict):
        problem = case["problem"] = dict(case["problem"])
        problem.pop("fallback", None)
        if "budget_seconds" in problem:
            plan["budget_seconds"] = problem.pop("budget_seconds")
    return plan


def _libraries(case: Json) -> None:
    """Name the other libraries; the first records of calls knew one of them, and int8 alone."""
    if "peer" in case:
        case["libraries"] = [case.pop("peer")]
    elif "peers" in case:
        case["libraries"] = case.pop("peers")
    case.setdefault("dtype", "i8")


def _setting(contender: Json) -> Json:
    """Give each option, which was a pair, its name."""
    rest = {name: value for name, value in contender.items() if name != "options"}
    return {**rest, **dict(contender["options"])}
