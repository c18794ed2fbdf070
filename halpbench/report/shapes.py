"""What the tables read in a record and how it must look, checked before anything is made of it."""

from collections.abc import Callable, Mapping
from typing import Any

from halpbench.bench.records import Record
from halpbench.report.calls import DTYPES, OURS

# A test of a value, whose docstring says what it expects; [shape], a list of such; (shape,), one of
# at least one; or names with their shapes, where a name that ends in "?" may be missing.
Shape = Callable[[Any], bool] | list[Any] | tuple[Any, ...] | dict[str, Any]


def text(value: Any) -> bool:
    """Text."""
    return isinstance(value, str)


def flag(value: Any) -> bool:
    """Either true or false."""
    return isinstance(value, bool)


def number(value: Any) -> bool:
    """A number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def positive(value: Any) -> bool:
    """A positive number."""
    return number(value) and value > 0


def norm(value: Any) -> bool:
    """A number that is not negative."""
    return number(value) and value >= 0


def count(value: Any) -> bool:
    """A positive integer."""
    return type(value) is int and value > 0


def dtype(value: Any) -> bool:
    """One of i8, f32, f64."""
    return value in DTYPES


def known(value: Any) -> bool:
    """A positive integer, or text that says why there is none."""
    return count(value) or text(value)


def measured(value: Any) -> bool:
    """A number, or null where it was not to be had."""
    return value is None or norm(value)


def texts(value: Any) -> bool:
    """Names and a text for each."""
    return isinstance(value, Mapping) and all(map(text, value.values()))


def library(value: Any) -> bool:
    """A contender and the library that it is from."""
    return isinstance(value, (list, tuple)) and list(map(text, value)) == [True, True]


def option(value: Any) -> bool:
    """A name and its number."""
    return isinstance(value, (list, tuple)) and list(map(number, value)) == [False, True]


def pair(value: Any) -> bool:
    """Two positive integers."""
    return isinstance(value, (list, tuple)) and list(map(count, value)) == [True, True]


def names(value: Any) -> bool:
    """Names, with anything for each."""
    return isinstance(value, Mapping)


def counts(value: Any) -> bool:
    """Names and positive integers."""
    return isinstance(value, Mapping) and all(map(count, value.values()))


def capacity(value: Any) -> bool:
    """A positive integer, or null where there is no limit."""
    return value is None or count(value)


def _series(samples: Shape, facts: Shape) -> Shape:
    return {"contender": text, "samples_ns": samples, "facts": facts}


_WORK = {"reads": (pair,), "multiply_adds": counts}
_CASE = {"suite": text, "tables": [text], "backend": text}
_FITTED = {"name": text, "n_samples": count, "n_features": count, "n_classes": count, "l2": number}
RECORDS: dict[str, dict[str, Shape]] = {
    "kernel": {
        "case": {**_CASE, "op": text, "n": count, "classes": count, "beside": text},
        "series": (
            _series(
                {"calls": (count,)}, {"calls": count, "bytes": norm, "work?": {"calls": _WORK}}
            ),
        ),
    },
    "call": {
        "case": {**_CASE, "n": count, "dtype?": dtype, "peers?": [text]},
        "series": (_series({"calls": (count,)}, {"calls": count}),),
    },
    "epochs": {
        "case": {
            **_CASE,
            "data": text,
            "problem": {"name": text, "n_classes": count, "l2": number, "step_size": number},
            "contenders": [{"precision": text, "options": [option]}],
        },
        "facts": {"epoch_length": count, "n_samples": count, "n_features": count},
        "series": (
            _series(
                {"epoch": [count], "inner": [count], "full_gradient": [count]},
                {
                    "data_bytes": count,
                    "step_bytes": count,
                    "gradient_row_bytes": count,
                    "gradient_norms": (norm,),
                    "diverged": flag,
                    "work?": {"inner": _WORK, "full_gradient": _WORK},
                },
            ),
        ),
    },
    "optimum": {
        "case": {"suite": text, "problem": _FITTED},
        "facts": {"source": text, "error_bound": norm},
    },
    "fits": {
        "case": {
            "suite": text,
            "problem": {**_FITTED, "budget_seconds": norm},
            "tol": norm,
            "contenders": [library],
            "grad_norms": [norm],
            "suboptimalities": [norm],
        },
        "facts": {"absent": texts},
        "series": [
            _series(
                {"fit": [count], "cpu": [norm]},
                {
                    "grad_norm?": measured,
                    "suboptimality?": measured,
                    "peak_bytes?": measured,
                    "failed?": text,
                },
            )
        ],
    },
}

# What is said of the machine, beside the tables and on the page.
MACHINE: Shape = {
    "cpu": {
        "vendor": text,
        "model": text,
        "family_model_stepping": text,
        "microarchitecture": text,
        "isa": [text],
        "cores": known,
        "threads": known,
        "usable_cores": known,
        "smt": text,
    },
    "caches": [{"level": count, "size_bytes": count, "shared_by": text}],
    "memory_bytes": count,
    "numa_nodes": known,
    "system": {
        "os": text,
        "kernel": text,
        "libc": text,
        "hypervisor": text,
        "huge_pages": text,
        "governor": text,
        "turbo": text,
    },
    "build": {
        "kernels": {"compiler?": text, "flags?": [text], "levels?": names},
        "backends": [text],
        "active": text,
        "code": text,
    },
    "python": text,
    "libraries": texts,
    "blas": [{"name": text, "version": text, "threads": known, "architecture": text}],
    "revision": text,
    "state": {"load_1min": norm, "memory_available_bytes": norm},
    "ceilings?": {
        "read": [
            {
                "level": text,
                "size_bytes": capacity,
                "backend": text,
                "threads": count,
                "gigabytes_per_second": positive,
            }
        ],
        "multiply_add": [{"backend": text, "dtype": text, "giga_per_second": positive}],
    },
}


def misfit(value: Any, shape: Shape, name: str) -> str:
    """Say where a value differs from a shape, and how; nothing if it has it."""
    if isinstance(shape, dict):
        if not isinstance(value, Mapping):
            return f"{name}: got {value!r:.40}; expected an object"
        pairs = []
        for key, inner in shape.items():
            field = key.removesuffix("?")
            if field in value:
                pairs.append((value[field], inner, f"{name}.{field}"))
            elif field == key:
                return f"{name} lacks {field}"
    elif isinstance(shape, (list, tuple)):
        if not isinstance(value, (list, tuple)) or (isinstance(shape, tuple) and not value):
            return f"{name}: got {value!r:.40}; expected a list"
        pairs = [(item, shape[0], f"{name}[{index}]") for index, item in enumerate(value)]
    else:
        expected = str(shape.__doc__).rstrip(".").lower()
        return "" if shape(value) else f"{name}: got {value!r:.40}; expected {expected}"
    return next(filter(None, (misfit(*pair) for pair in pairs)), "")


def fault(record: Record) -> str:
    """Say what keeps a record from the tables; nothing if all is well."""
    shape = RECORDS.get(record.kind)
    if shape is None:
        return f"got kind {record.kind!r}; expected one of {', '.join(RECORDS)}"
    if record.skipped is not None:
        return misfit(record.case, shape["case"], "case")
    series = [vars(one) for one in record.series]
    content = {"case": record.case, "facts": record.facts, "series": series}
    return misfit(content, shape, record.kind) or _contradiction(record)


def _contradiction(record: Record) -> str:
    """Say where the parts of a record, each well, do not fit each other."""
    names = [series.contender for series in record.series]
    if len(set(names)) < len(names):
        return "a contender stands twice"
    if record.kind == "call" and OURS not in names:
        return f"there is no contender {OURS}"
    if record.kind == "fits" and not set(names) <= {name for name, _ in record.case["contenders"]}:
        return "a contender is not one of the case"
    for series in record.series:
        lengths = {len(samples) for samples in series.samples_ns.values()}
        if record.kind == "epochs":
            lengths.add(len(series.facts["gradient_norms"]) - 1)
        if len(lengths) > 1:
            return f"{series.contender}: got {sorted(lengths)} samples; expected as many of each"
    return ""
