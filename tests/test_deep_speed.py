"""Cost of a step of HALP: the measurement and its command."""

import json

import pytest

from halpbench import cli

pytest.importorskip("torch")

from halpbench.deep import speed


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", (2, 2))
    monkeypatch.setattr(speed, "PROFILED_STEPS", 1)


def test_steps_are_timed_and_taken_apart(short):
    costs = list(speed.measure(0))
    assert [cost.network for cost in costs] == ["ResNet", "LSTM", "perceptron"]
    for cost in costs:
        assert cost.svrg_seconds.value > 0
        assert cost.ratio.count == 2
        shares = [cost.gradients, cost.random_numbers, cost.arithmetic]
        assert min(shares) > 0
        assert sum(shares) <= 1
    # 785 rows of 256, 257 rows of 10
    assert costs[2].parameters == 785 * 256 + 257 * 10


def test_the_command_prints_a_table_or_json(short, monkeypatch, capsys):
    networks = speed._networks()
    monkeypatch.setattr(speed, "_networks", lambda: {"perceptron": networks["perceptron"]})
    assert cli.main(["deep-speed", "--seconds", "1"]) == 0
    assert "HALP / SVRG" in capsys.readouterr().out
    assert cli.main(["deep-speed", "--seconds", "1", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)
    assert {"network", "ratio", "random_numbers"} <= costs[0].keys()
