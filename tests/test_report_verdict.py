"""The verdict: the numbers that the page begins with."""

from halpbench.report import verdict
from halpbench.report.tables import Report
from halpbench.report.verdict import Claim


def epoch(problem, contender, speedup, same_norm, **changes):
    row = {"problem": problem, "contender": contender, "data": "quantized", "backend": "avx2"}
    row |= {"plain": contender.partition(",")[0], "best_batch": True}
    row |= {"inner_speedup_over_f32": 9.0, "epoch_speedup_over_f32": speedup}
    return row | {"same_norm_speedup_over_f32": same_norm} | changes


def fit(contender, level, seconds, **changes):
    row = {"problem": "fashion-mnist", "contender": contender, "quantity": "grad_norm"}
    return row | {"level": level, "seconds": seconds} | changes


def report(name, rows):
    return Report("any", {name: rows}, [], {}, "")


def test_speedups_span_problems_and_machines():
    rows = [
        epoch("a", "SVRG D32fM32f", 1.0, 1.0),
        epoch("a", "HALP D8M8", 9.0, 0.1),
        epoch("a", "HALP D8M16", 2.5, 0.32),
        epoch("b", "HALP D8M16", 0.9, 1.5),
        epoch("b", "HALP D8M16", 7.0, 7.0, data="exact"),
        epoch("b", "HALP D8M16", 8.0, 8.0, backend="scalar"),
    ]
    other = [epoch("a", "HALP D8M16", 3.0, None)]
    machines = [("x", [report("epochs", rows)]), ("y", [report("epochs", other)])]
    assert verdict.claims(machines) == [
        Claim(
            "0.90 to 3.00 times as fast",
            "per epoch: HALP D8M16 beside SVRG in float32, each with its fastest batch "
            "(2 problems, 2 machines).",
        ),
        Claim(
            "0.32 to 1.50 times as fast", "to the same gradient norm, the least that both reach."
        ),
    ]


def test_a_claim_has_the_digits_that_the_samples_allow():
    def spread(low, value, high, **changes):
        ends = {"epoch_speedup_over_f32_low": low, "epoch_speedup_over_f32_high": high}
        return epoch("a", "HALP D8M16", value, None, **ends, **changes)

    def number(*rows):
        return verdict.claims([("x", [report("epochs", list(rows))])])[0]

    sure = spread(1.25, 1.26, 1.27)
    assert number(sure) == verdict.claims([("x", [report("epochs", [sure, sure])])])[0]
    assert number(sure).number == "1.26 times as fast"
    assert "~" not in number(sure).text
    rough = number(sure, spread(1.06, 1.17, 1.34))
    assert rough.number == "~1.2 to 1.26 times as fast"
    assert rough.text.endswith("~: few samples, or samples that scatter.")
    wild = number(sure, spread(9.0, 126.0, 300.0))
    assert wild.number == "~1.2 to 300 times as fast", "126 is not a fact"
    few = number(sure, spread(1.41, 1.42, 1.43, repetitions=3))
    assert few.number == "1.26 to ~1.4 times as fast"

    ends = {"seconds_low": 1.0, "seconds_high": 2.5}
    fits = [fit("halpbench", 1e-3, 2.0, **ends), fit("scikit-learn sag", 1e-3, 20.0)]
    (claim,) = verdict.claims([("x", [report("time_to_accuracy", fits)])])
    assert claim.number == "~?, scikit-learn: 20.0 s"
    assert "0.001, ~? times as fast as scikit-learn sag. ~: few" in claim.text


def test_another_precision_speaks_where_the_preferred_was_not_measured():
    rows = [epoch("a", "HALP D16M16", 2.0, None)]
    (claim,) = verdict.claims([("x", [report("epochs", rows)])])
    assert claim.number == "2.00 times as fast"
    assert claim.text == (
        "per epoch: HALP D16M16 beside SVRG in float32, each with its fastest batch (1 problem, "
        "1 machine)."
    )


def test_seconds_are_those_of_the_least_norm_that_both_reach():
    rows = [
        fit("halpbench", 1e-2, 0.5),
        fit("halpbench", 1e-3, 2.0),
        fit("halpbench", 1e-4, 3.0),
        fit("halpbench", 1e-3, 0.001, problem="digits"),
        fit("halpbench", 1e-3, 0.001, quantity="suboptimality"),
        fit("scikit-learn lbfgs", 1e-2, 1.0),
        fit("scikit-learn lbfgs", 1e-3, 30.0),
        fit("scikit-learn sag", 1e-3, 20.0),
        fit("scikit-learn sag", 1e-4, None),
        fit("intelex lbfgs", 1e-3, 10.0),
    ]
    assert verdict.claims([("x", [report("time_to_accuracy", rows)])]) == [
        Claim(
            "2.00 s, scikit-learn: 20.0 s",
            "to fit Fashion-MNIST to a gradient norm of 0.001, 10.0 times as fast as "
            "scikit-learn sag; best peer: intelex lbfgs, 10.0 s.",
        )
    ]


def test_nothing_is_claimed_of_nothing():
    assert verdict.claims([]) == []
    assert verdict.claims([("x", [])]) == []
    # Alone: there is no comparison.
    rows = [fit("halpbench", 1e-3, 2.0), fit("scikit-learn sag", 1e-3, None)]
    assert verdict.claims([("x", [report("time_to_accuracy", rows)])]) == []
