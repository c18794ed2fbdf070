"""The deep-learning experiments: networks, data, resuming, the command."""

import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from halpbench import cli, datasets
from halpbench.bench.cases import Plan
from halpbench.bench.loop import attempt
from halpbench.bench.store import Store

torch = pytest.importorskip("torch")

from halpbench.deep import data, experiments, models, training  # noqa: E402
from halpbench.deep.training import Device, Task, Training, checkpoint  # noqa: E402

TEXT = "the quick brown fox jumps over the lazy dog. " * 300
LOW = {"lp-sgd": (("lr", 1.0), ("reach", 4.0)), "halp": (("lr", 1.0), ("mu", 0.3))}
LOW["lp-svrg"] = LOW["lp-sgd"]


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    """A short text and random images in place of the files."""

    def load(name, split="train", *, download=False):
        random = np.random.default_rng(len(split))
        n, d = 300, 784 if name == "fashion-mnist" else 3072
        return random.random((n, d), dtype=np.float32), random.integers(0, 10, n)

    monkeypatch.setattr(datasets, "load_text", lambda name, **_: (TEXT, "here"))
    monkeypatch.setattr(datasets, "load", load)
    yield
    Task.load.cache_clear()


@pytest.fixture
def tiny(monkeypatch):
    """The smoke task of the LSTM, smaller still."""
    task = replace(experiments.TASKS["lstm"]["smoke"], n_train=48, n_validation=16, hidden=8)
    monkeypatch.setitem(experiments.TASKS["lstm"], "smoke", task)
    return task


# ---- Networks and data ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape", "n_parameters"),
    [
        # 11.17 million: ResNet-18 for CIFAR-10, as counted elsewhere too.
        (models.resnet18, (2, 3, 32, 32), 11_173_962),
        (models.narrow_resnet, (2, 1, 28, 28), 19_810),
    ],
)
def test_residual_networks(network, shape, n_parameters):
    model = network()
    assert model(torch.zeros(shape)).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == n_parameters


def test_lstm():
    model = models.CharLSTM(80, embedding=16, hidden=64, layers=1)
    assert model(torch.zeros((3, 5), dtype=torch.int64)).shape == (3, 80, 5)
    # Embedding; four gates with two biases each; output.
    expected = 80 * 16 + 4 * 64 * (16 + 64 + 2) + 80 * 64 + 80
    assert sum(p.numel() for p in model.parameters()) == expected


def test_the_lstm_does_not_see_what_it_is_to_predict():
    model = models.CharLSTM(9, hidden=8)
    characters = torch.arange(6)[None]
    changed = characters.clone()
    changed[0, -1] = 7
    torch.testing.assert_close(model(characters)[..., :-1], model(changed)[..., :-1])


def test_windows_are_the_text_and_its_next_characters():
    training, validation, n_characters = data.windows("a text", 10, 20, 5)
    alphabet = sorted(set(TEXT))
    assert n_characters == len(alphabet)
    assert "".join(alphabet[i] for i in training.inputs.flatten()) == TEXT[:200]
    assert "".join(alphabet[i] for i in training.targets.flatten()) == TEXT[1:201]
    assert "".join(alphabet[i] for i in validation.targets.flatten()) == TEXT[-50:]
    with pytest.raises(ValueError, match="expected at most 1349"):
        data.windows("a text", 10, 1349, 1)


def test_images_are_standardized_by_the_training_part():
    training, validation = data.images("cifar-10", 3, 200, 100)
    assert training.inputs.shape == (200, 3, 32, 32)
    assert len(validation) == 100
    mean = training.inputs.mean(dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.zeros(3), atol=1e-5, rtol=0)
    assert 0 < abs(validation.inputs.mean()) < 0.1
    with pytest.raises(ValueError, match="test: got 301 images, expected at most 300"):
        data.images("cifar-10", 3, 300, 301)


def numbered(n):
    return data.Samples(torch.arange(n)[:, None], torch.arange(n))


def drawn(seed):
    batches = data.Batches(numbered(10), 4, torch.Generator().manual_seed(seed))
    return [[targets.tolist() for _, targets in batches] for _ in range(2)]


def test_batches_are_a_matter_of_the_seed():
    first, second = drawn(0)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(itertools.chain(*first)) == list(range(10))
    assert first != second
    assert drawn(0) == [first, second]
    assert drawn(1) != [first, second]
    in_order = data.Batches(numbered(10), 4)
    assert [targets.tolist() for _, targets in in_order][2] == [8, 9]
    assert len(in_order) == 3


def test_augmented_images_are_shifted_and_mirrored():
    image = torch.arange(1.0, 65.0).reshape(1, 1, 8, 8)
    samples = data.Samples(image.repeat(200, 1, 1, 1), torch.zeros(200, dtype=torch.int64))
    batches = data.Batches(samples, 200, torch.Generator().manual_seed(0), augment=True)
    ((images, _),) = batches
    padded = torch.nn.functional.pad(image[0, 0], (4,) * 4)
    possible = [padded[i : i + 8, j : j + 8] for i in range(9) for j in range(9)]
    possible += [window.flip(1) for window in possible]
    for found in images[:, 0]:
        assert any(torch.equal(found, window) for window in possible)
    assert len({tuple(found.flatten().tolist()) for found in images}) > 100


# ---- Runs ----------------------------------------------------------------------------------------


class InterruptedRunError(Exception):
    pass


def train(run, fingerprint, device, on_round=lambda epochs: None):
    """The record of a run."""
    task = experiments.PlannedTraining(run, Plan())
    measure = partial(training.train, fingerprint, device)
    return attempt(task, fingerprint, measure, on_round=on_round)


def without_times(record):
    return record.series[0].facts, record.facts, record.case


@pytest.mark.parametrize("algorithm", ["sgd", "svrg", "lp-sgd", "lp-svrg", "halp"])
def test_a_resumed_run_has_the_same_bits(algorithm, tiny, tmp_path):
    bits = 4 if algorithm in LOW else None
    run = Training(tiny, algorithm, bits, LOW.get(algorithm, (("lr", 1.0),)), seed=3)
    whole = train(run, "f", Device("cpu", tmp_path / "whole"))
    assert len(whole.series[0].facts["train_loss"]) == 3
    assert len(whole.series[0].samples_ns["epoch"]) == 2

    def interrupt(epochs):
        if epochs == 1:
            raise InterruptedRunError

    device = Device("cpu", tmp_path / "interrupted")
    with pytest.raises(InterruptedRunError):
        train(run, "f", device, interrupt)
    torch.manual_seed(12345)  # another process would have another state
    begun = []
    assert without_times(train(run, "f", device, begun.append)) == without_times(whole)
    assert begun == [1]
    other_seed = train(replace(run, seed=4), "f", device)
    assert other_seed.series[0].facts["train_loss"] != whole.series[0].facts["train_loss"]


def test_a_run_of_batch_norm_resumes_too(tmp_path):
    task = replace(experiments.TASKS["resnet"]["smoke"], n_train=64, n_validation=32, batch_size=16)
    run = Training(task, "halp", 8, (("lr", 0.1), ("mu", 2.0)), seed=0)
    whole = train(run, "f", Device("cpu", tmp_path / "whole"))
    device = Device("cpu", tmp_path / "interrupted")

    def interrupt(epochs):
        if epochs == 1:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        train(run, "f", device, interrupt)
    assert without_times(train(run, "f", device)) == without_times(whole)


def test_divergence_is_a_result(tiny, tmp_path):
    run = Training(tiny, "svrg", None, (("lr", 3e38),), seed=0)
    facts = train(run, "f", Device("cpu", tmp_path)).series[0].facts
    assert facts["diverged"]
    assert len(facts["train_loss"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("adam", None, (("lr", 1.0),)), "got 'adam', expected one of sgd"),
        (("sgd", 8, (("lr", 1.0),)), "sgd does not run with bits = 8"),
        (("halp", None, LOW["halp"]), "halp does not run with bits = None"),
        (("halp", 8, LOW["lp-sgd"]), "halp takes the options lr, mu"),
    ],
)
def test_bad_runs_are_refused(tiny, arguments, message):
    with pytest.raises(ValueError, match=message):
        Training(tiny, *arguments, seed=0)


def test_every_task_has_the_suite_of_the_paper():
    for name in experiments.TASKS:
        for size in experiments.SIZES:
            todo = experiments.suite(name, size)
            assert len(set(todo)) == len(todo)
            contenders = {(run.algorithm, run.bits) for run in todo}
            assert {("sgd", None), ("svrg", None)} < contenders
            assert {("lp-sgd", 8), ("lp-svrg", 8), ("halp", 8)} < contenders
        assert len({run.seed for run in experiments.suite(name)}) >= 3
    with pytest.raises(ValueError, match="expected one of lstm or resnet"):
        experiments.suite("gru")
    with pytest.raises(ValueError, match="sgd does not take mu"):
        experiments.grid("lstm", "small", "sgd", options={"mu": (1.0,)})


@pytest.mark.parametrize("name", ["lstm", "resnet"])
def test_the_size_of_the_paper_takes_its_first_steps(name, tmp_path):
    """The network, batch and constants of the paper, on random data of the right shape."""
    task = experiments.TASKS[name]["paper"]
    task = replace(task, n_train=6, n_validation=2, batch_size=3, epochs=1)
    (halp,) = [
        run
        for run in experiments.suite(name, "paper", seeds=(0,))
        if (run.algorithm, run.bits) == ("halp", 8)
    ]
    record = train(replace(halp, task=task), "f", Device("cpu", tmp_path))
    assert record.facts["epoch_length"] == 2
    losses = record.series[0].facts["train_loss"]
    assert len(losses) == 2
    assert losses[0] != losses[1]


# ---- The command ---------------------------------------------------------------------------------


@pytest.fixture
def deep(tiny, tmp_path):
    def run(*arguments):
        fixed = ["deep", "lstm", "--size", "smoke", "--jobs", "1", "--results", str(tmp_path)]
        return cli.main([*fixed, *arguments])

    return run


def test_from_command_to_figure(deep, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert deep() == 0
    shown = capsys.readouterr()
    assert "best validation perplexity" in shown.out
    assert "HALP, 8 bits" in shown.out
    (machine,) = (tmp_path / "deep" / "raw").iterdir()
    for ending in ("png", "svg", "csv", "txt"):
        figure = tmp_path / "figures" / machine.name / f"deep-lstm-smoke.{ending}"
        assert figure.stat().st_size > 0
    records = Store(tmp_path / "deep", machine.name).records()
    assert [record.series[0].facts["algorithm"] for record in records] == [
        "sgd",
        "svrg",
        "lp-sgd",
        "lp-svrg",
        "halp",
    ]
    assert not list((tmp_path / "deep" / "checkpoints").iterdir())
    assert deep() == 0
    assert capsys.readouterr().err.count("reused") == 5


def test_a_grid(deep, capsys):
    grid = [
        "--algorithm",
        "halp",
        "--bits",
        "2,3",
        "--mu",
        "0.1,1",
        "--seeds",
        "5",
        "--epochs",
        "1",
    ]
    assert deep(*grid, "--json") == 0
    records = json.loads(capsys.readouterr().out)
    tried = [(r["case"]["bits"], dict(r["case"]["options"])["mu"]) for r in records]
    assert tried == [(2, 0.1), (2, 1.0), (3, 0.1), (3, 1.0)]
    assert {r["case"]["seed"] for r in records} == {5}


def test_mistakes_are_explained(deep, capsys):
    assert deep("--lr", "0.1") == 2
    assert "need --algorithm" in capsys.readouterr().err
    assert deep("--algorithm", "sgd", "--mu", "1") == 2
    assert "sgd does not take mu" in capsys.readouterr().err


def test_what_is_done_when_interrupted_is_kept(tiny, tmp_path):
    todo = experiments.suite("lstm", "smoke")[:3]
    store, device = Store(tmp_path, "machine"), Device("cpu", tmp_path / "checkpoints")

    def interrupt(event):
        if event.what == "round" and (event.index, event.rounds) == (1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiments.run(todo, store, device, on_event=interrupt)
    assert len(store.records()) == 1
    code = experiments.fingerprint("cpu")
    assert checkpoint(todo[1], code, device).exists()
    rounds = []
    experiments.run(
        todo,
        store,
        device,
        on_event=lambda e: rounds.append((e.index, e.rounds)) if e.what == "round" else None,
    )
    assert rounds == [(1, 1), (2, 0), (2, 1)]


def test_processes_side_by_side_make_the_same_records(tmp_path):
    # Workers see the files on disk, not the fixture's data: what is missing is a record too.
    task = replace(experiments.TASKS["resnet"]["smoke"], dataset="mnist")
    todo = [Training(task, "sgd", None, (("lr", 0.1),), seed) for seed in (0, 1)]
    store = Store(tmp_path, "machine")
    records = experiments.run(todo, store, Device("cpu", tmp_path), jobs=2)
    assert [record.case["seed"] for record in records] == [0, 1]
    assert len(store.records()) == 2
