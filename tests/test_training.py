"""Is a run what its spec says: which random numbers, which data, which network, which weights move?"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from making import CLASSES, make_inputs, make_network, make_rows, seeded
from sklearn.datasets import load_digits
from torch.testing import assert_close

from homolog.config import load_config
from homolog.config.experiments import RunsExperiment
from homolog.config.tasks import DigitsOptions
from homolog.decompositions.fit import ROWS
from homolog.loading import build
from homolog.models.build import build_model, load_state
from homolog.models.symmetry import random_symmetry
from homolog.planning import Plan
from homolog.registry import ARCHITECTURES, TASKS
from homolog.streams import stream
from homolog.tasks.base import HALF_A, HALF_B, TEST, TRAIN, Data
from homolog.tasks.digits import Digits
from homolog.tasks.fashion_mnist import FashionMNIST, read_idx
from homolog.training import train

ROOT = Path(__file__).parent.parent
KEYS = st.lists(st.one_of(st.integers(0, 99), st.text(max_size=4)), max_size=4)

# Streams


@given(key=KEYS)
def test_equal_keys_give_equal_numbers(key):
    assert torch.equal(torch.rand(3, generator=stream(*key)), torch.rand(3, generator=stream(*key)))


@given(a=KEYS, b=KEYS)
def test_different_keys_give_different_numbers(a, b):
    """Also where only the type differs (0 and "0"), or where two parts would read the same when joined."""
    seeds = stream(*a).initial_seed(), stream(*b).initial_seed()
    assert (seeds[0] == seeds[1]) == (list(map(repr, a)) == list(map(repr, b)))


def keys_of_the_default_config():
    """Every stream key that building all of config.yaml uses, as the library spells them."""
    config = load_config(ROOT / "config.yaml")
    plan = Plan(config)
    runs = {run for name in config.experiments for run in plan.experiment(name).runs}
    sources = {(run.source, run.seed) for run in runs}
    keys = [("split", task) for task in TASKS]
    keys += [(purpose, *source) for source in sources for purpose in ("init", "order")]
    for label, experiment in config.experiments.items():
        if not isinstance(experiment, RunsExperiment):
            continue
        keys += [("symmetry", r.source, r.seed, r.regauged) for r in runs if r.regauged]
        keys += [
            ("correlations", str(p.a), str(p.b), h)
            for p in plan.experiment(label).pairs
            for h in experiment.hook_points
        ]
        for name in experiment.decompositions:
            options = config.decompositions[name]
            points = options.expand()
            members = [
                (point, seed, rows) for point in range(len(points)) for seed in options.member_seeds() for rows in ROWS
            ]
            for hook_point in experiment.hook_points:
                for source in sources:
                    own = (*source, hook_point, name)
                    keys += [(purpose, *own, *member) for purpose in ("init", "order") for member in members]
                keys += [
                    (kind, str(run), hook_point, label, rows, seed, draw)
                    for kind in ("null", "conditional_null")
                    for run in runs
                    for label in options.labels(name)
                    for _, seed, rows in members
                    for draw in range(experiment.analysis.null_draws)
                ]
    return set(keys)


@pytest.mark.every
def test_no_two_streams_of_the_default_config_are_the_same():
    keys = keys_of_the_default_config()
    assert len(keys) > 10_000
    assert len({stream(*key).initial_seed() for key in keys}) == len(keys)


# Data


@pytest.fixture(scope="module")
def digits():
    return Digits().data()


def test_digits_are_scikit_learns_in_their_order(digits):
    images, labels = load_digits(return_X_y=True)
    assert digits.inputs.shape == (1797, 64)
    assert_close(digits.inputs.double() * 16, torch.as_tensor(images))
    assert digits.labels.tolist() == labels.tolist()
    assert digits.n_classes == 10
    assert digits.inputs.min() == 0
    assert digits.inputs.max() == 1


def test_digits_split_is_disjoint_complete_and_halved(digits):
    train_rows, test_rows = digits.rows(TRAIN), digits.rows(TEST)
    assert (len(train_rows), len(test_rows)) == (1297, 500)
    assert sorted([*train_rows.tolist(), *test_rows.tolist()]) == list(range(1797))
    for rows in (train_rows, test_rows):
        halves = [int((digits.half[rows] == half).sum()) for half in (HALF_A, HALF_B)]
        assert sum(halves) == len(rows)
        assert abs(halves[0] - halves[1]) <= 1
    for split in (TRAIN, TEST):
        for half in (HALF_A, HALF_B):
            assert len(digits.labels[(digits.split == split) & (digits.half == half)].unique()) == 10


def test_the_split_depends_on_nothing_but_the_task(digits):
    torch.manual_seed(123)
    assert Digits().data().digest() == digits.digest()
    assert Digits(n_test=400).data().digest() != digits.digest()


def test_a_larger_test_set_contains_the_smaller_one(digits):
    larger = Digits(n_test=600).data()
    assert set(digits.rows(TEST).tolist()) < set(larger.rows(TEST).tolist())


@pytest.mark.parametrize("n_test", [0, 3, 1794, 5000])
def test_a_split_that_leaves_no_halves_is_refused(n_test):
    with pytest.raises(ValueError, match=rf"n_test = {n_test}, but 1797 samples allow 4 to 1793: change n_test"):
        Digits(n_test=n_test).data()


def test_config_knows_the_sizes_without_loading(digits):
    options = DigitsOptions(name="digits")
    assert digits.sizes == (options.n_units_in, options.n_classes)
    assert (len(digits.rows(TRAIN)), len(digits.rows(TEST))) == (options.n_train, options.n_held_out)


# IDX files


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def make_fashion(folder, sizes=(20, 8), shape=(28, 28)):
    generator = np.random.default_rng(0)
    made = []
    for prefix, n in zip(("train", "t10k"), sizes, strict=True):
        images = generator.integers(0, 256, (n, *shape), dtype=np.uint8)
        labels = generator.integers(0, 10, n, dtype=np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
        made.append((images, labels))
    return made


@pytest.mark.parametrize("shape", [(5,), (3, 2), (4, 3, 2), (0,), (300, 1)])
def test_idx_files_are_read_back(tmp_path, shape):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    write_idx(tmp_path / "x.gz", array)
    assert np.array_equal(read_idx(tmp_path / "x.gz"), array)
    assert read_idx(tmp_path / "x.gz").flags.writeable


def test_fashion_mnist_keeps_the_publishers_split(tmp_path):
    (images, labels), (test_images, test_labels) = make_fashion(tmp_path)
    data = FashionMNIST(str(tmp_path)).data()
    assert data.rows(TRAIN).tolist() == list(range(20))
    assert data.rows(TEST).tolist() == list(range(20, 28))
    stacked = np.concatenate([images, test_images]).reshape(28, 784)
    assert_close(data.inputs * 255, torch.as_tensor(stacked, dtype=torch.float32))
    assert data.labels.tolist() == [*labels, *test_labels]
    for split, n in ((TRAIN, 20), (TEST, 8)):
        assert int((data.half[data.rows(split)] == HALF_A).sum()) == n // 2


def damaged(content):
    """A name for each way in which a file may be unfit, with what such a file holds."""
    raw = gzip.decompress(content)
    return {
        "half a download": content[: len(content) // 2],
        "bits flipped within": content[:40] + bytes(255 - b for b in content[40:60]) + content[60:],
        "not gzip": raw,
        "shorter than its header says": gzip.compress(raw[:-1]),
        "longer than its header says": gzip.compress(raw + b"\0"),
        "no header": gzip.compress(b"\0\0"),
        "floats": gzip.compress(b"\0\0\x0d" + raw[3:]),
        "something else": gzip.compress(b"<html>moved</html>"),
        "empty": b"",
    }


@pytest.mark.parametrize("how", damaged(gzip.compress(bytes(99))))
def test_a_damaged_file_is_named_with_a_way_out(tmp_path, how):
    make_fashion(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damaged(path.read_bytes())[how])
    with pytest.raises(ValueError, match=r"(?s)Fashion-MNIST: .*train-images-idx3-ubyte\.gz .*") as caught:
        FashionMNIST(str(tmp_path)).data()
    assert "dataset-fashion-mnist" in str(caught.value)
    assert "`path`" in str(caught.value)


def test_a_missing_file_names_the_package_and_the_option(tmp_path):
    with pytest.raises(
        ValueError, match=r"train-images-idx3-ubyte\.gz isn't there: install .*dataset-fashion-mnist.*`path`"
    ):
        FashionMNIST(str(tmp_path)).data()


def test_images_and_labels_must_belong_together(tmp_path):
    make_fashion(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.zeros(7, np.uint8))
    with pytest.raises(ValueError, match=r"t10k images of shape \(8, 28, 28\) and labels of shape \(7,\)"):
        FashionMNIST(str(tmp_path)).data()
    make_fashion(tmp_path, shape=(32, 32))
    with pytest.raises(ValueError, match=r"shape \(20, 32, 32\) .* 28x28"):
        FashionMNIST(str(tmp_path)).data()


# The network


@pytest.fixture
def network():
    return make_network([10, 8, 9])


HIDDEN = pytest.mark.parametrize("hook_point", ["hidden_0", "hidden_1", "hidden_2"])


def test_config_names_and_sizes_are_those_of_the_real_network():
    config = load_config(ROOT / "config.yaml")
    for name in (name for name in config.models if config.network(name) is None):
        recipe = config.resolve(name)
        options = recipe.architecture.model_dump(mode="json")
        architecture = {"target": ARCHITECTURES[options.pop("name")], **options}
        model = build_model(architecture, recipe.task.n_units_in, recipe.task.n_classes)
        assert recipe.architecture.hook_points() == model.hook_points()
        assert [recipe.width(point) for point in recipe.hook_points] == [model.units(p) for p in recipe.hook_points]


def test_the_forward_pass_by_hand(network):
    x = make_inputs(20)
    expected = x
    for name in ("hidden_0", "hidden_1", "hidden_2"):
        linear = getattr(network, name).linear
        expected = (expected @ linear.weight.T + linear.bias).clamp(min=0)
    assert_close(network(x), expected @ network.logits.linear.weight.T + network.logits.linear.bias)


def test_neighbours_and_what_retraining_redraws(network):
    assert network.hook_points() == ["hidden_0", "hidden_1", "hidden_2", "logits"]
    assert [network.below(p) for p in network.hook_points()] == [None, "hidden_0", "hidden_1", "hidden_2"]
    assert [network.above(p) for p in network.hook_points()] == ["hidden_1", "hidden_2", "logits", None]
    assert network.parameters_around("hidden_1") == {
        "hidden_1.linear.weight", "hidden_1.linear.bias", "hidden_2.linear.weight"
    }  # fmt: skip
    assert network.parameters_around("logits") == {"logits.linear.weight", "logits.linear.bias"}


def test_parameters_around_are_those_that_touch_the_units(network):
    """A parameter stands around a hook point if and only if rescaling its units must change it."""
    for hook_point in ("hidden_0", "hidden_1", "hidden_2"):
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        units = network.units(hook_point)
        network.apply_symmetry(hook_point, torch.arange(units), torch.full((units,), 3.0).double())
        changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
        assert changed == network.parameters_around(hook_point)


def test_retraining_one_layer_shares_both_frames_and_nothing_around(network):
    for hook_point in network.hook_points():
        around = network.parameters_around(hook_point)
        assert not around & network.frame_below(hook_point)
        assert not around & network.frame_above(hook_point)
    assert network.frame_above("hidden_1") == {"logits.linear.weight"}
    assert network.frame_below("hidden_1") == {"hidden_0.linear.weight", "hidden_0.linear.bias"}


@HIDDEN
@given(seed=st.integers(0, 2**32), decades=st.floats(0, 6))
def test_a_symmetry_leaves_the_function_alone(hook_point, seed, decades):
    network, x = make_network([10, 8, 9]), make_inputs(30)
    before, units = network(x), network.units(hook_point)
    scale = 10 ** ((torch.rand(units, generator=seeded(seed)).double() - 0.5) * decades)
    network.apply_symmetry(hook_point, torch.randperm(units, generator=seeded(seed)), scale)
    assert_close(network(x), before, rtol=1e-10, atol=1e-12)


@HIDDEN
def test_a_symmetry_moves_activations_as_it_says(network, hook_point):
    x, seen = make_inputs(30), []
    network.get_submodule(hook_point).register_forward_hook(lambda _m, _i, output: seen.append(output.detach()))
    permutation, scale = random_symmetry("permute_scale", network.units(hook_point), seeded(5))
    network(x)
    network.apply_symmetry(hook_point, permutation, scale.double())
    network(x)
    assert_close(seen[1], seen[0][:, permutation] * scale)


def test_scales_by_powers_of_two_round_nothing():
    network, x = make_network([10, 8, 9]).float(), make_inputs(30).float()
    before = network(x)
    _, scale = random_symmetry("permute_scale", 8, seeded(0))
    network.apply_symmetry("hidden_1", torch.arange(8), scale)
    assert len(scale.unique()) > 1
    assert torch.equal(network(x), before)


@pytest.mark.parametrize(
    ("hook_point", "architecture"),
    [
        ("hidden_1", {"target": ARCHITECTURES["mlp"], "widths": [9, 8], "activation": "gelu"}),
        ("hidden_1", {"target": ARCHITECTURES["mlp"], "widths": [9, 8], "activation": "tanh"}),
        *(
            ("stream_1", {"target": ARCHITECTURES["residual"], "stream": 8, "blocks": 1, "hidden": 9, "norm": norm})
            for norm in ("rmsnorm", "layernorm")
        ),
    ],
    ids=["gelu", "tanh", "rmsnorm", "layernorm"],
)
def test_the_control_run_of_any_architecture_computes_the_same(hook_point, architecture):
    rows = make_rows(60)
    data = Data(make_inputs(60).float(), rows.label, rows.split, rows.half, CLASSES)
    spec = {
        "run": {"model": "made", "seed": 0}, "architecture": architecture, "training": {"steps": 0}, "reinitialise": []
    }  # fmt: skip
    network, curve = train(spec | {"symmetry": []}, data)
    control, again = train(spec | {"symmetry": [hook_point]}, data, dict(network.state_dict()))
    assert_close(control(data.inputs), network(data.inputs), rtol=1e-4, atol=1e-5)
    assert curve.loss[0] == pytest.approx(again.loss[0])
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, control.state_dict()[name])}
    assert {f"{hook_point}.linear.weight"} <= changed or {"stream_0.linear.weight", "stream_1.read.weight"} <= changed


def test_logits_have_no_units_to_permute(network):
    with pytest.raises(
        ValueError, match=r"logits has no units to permute; hidden layers are \['hidden_0', .*'hidden_2'\]"
    ):
        network.apply_symmetry("logits", torch.arange(5), torch.ones(5).double())


def test_a_nonlinearity_without_a_known_symmetry_is_refused():
    with pytest.raises(ValueError, match=r"activation = 'elu', .* relu, gelu, tanh only: choose one"):
        build_model({"target": ARCHITECTURES["mlp"], "widths": [3], "activation": "elu"}, 4, 2)


def test_write_out_is_the_map_to_the_next_layer(network):
    assert torch.equal(network.write_out("hidden_1"), network.hidden_2.linear.weight)
    into_logits = network.write_out("hidden_2")
    assert_close(into_logits.mean(0), torch.zeros(9).double(), atol=1e-12, rtol=0)
    # What it takes off is the same for all classes: no softmax sees it.
    taken = network.logits.linear.weight - into_logits
    assert_close(taken, taken[:1].expand_as(taken))
    assert network.write_out("logits") is None


def test_initial_weights_are_uniform_within_the_root_of_the_fan_in():
    model = build_model({"target": ARCHITECTURES["mlp"], "widths": [200, 100]}, 400, 10)
    model.initialise(stream("uniform"))
    for name in model.order:
        linear = model.get_submodule(f"{name}.linear")
        bound = linear.in_features**-0.5
        for parameter in (linear.weight, linear.bias):
            assert parameter.abs().max() <= bound
        values = linear.weight.flatten().double() / bound
        # Mean 0 and variance 1/3; five standard errors: a false alarm in 1 of 10^6.
        assert abs(values.mean()) < 5 * (1 / 3 / len(values)) ** 0.5
        assert abs(values.square().mean() - 1 / 3) < 5 * (4 / 45 / len(values)) ** 0.5


def test_initialising_some_leaves_the_others(network):
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    network.initialise(stream("again"), {"hidden_1.linear.bias"})
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"hidden_1.linear.bias"}


def test_weights_of_another_architecture_are_listed(network):
    other = make_network([10, 7, 9])
    with pytest.raises(ValueError, match=r"hidden_1\.linear\.bias: file \(7,\), network \(8,\)"):
        load_state(network, other.state_dict())
    with pytest.raises(ValueError, match=r"logits\.linear\.bias: file None, network \(5,\)"):
        load_state(network, {k: v for k, v in network.state_dict().items() if k != "logits.linear.bias"})


# Training

WIDTHS = [12, 9, 11]
TRAINING = {"steps": 25, "batch_size": 64, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 1e-2, "log_every": 10}


def spec_of(seed=0, model="base", widths=WIDTHS, reinitialise=(), symmetry=(), **training):
    return {
        "run": {"model": model, "seed": seed},
        "architecture": {"target": ARCHITECTURES["mlp"], "widths": widths},
        "training": TRAINING | training,
        "reinitialise": list(reinitialise),
        "symmetry": list(symmetry),
    }


@pytest.fixture(scope="module")
def base(digits):
    return train(spec_of(), digits)


def state_of(run):
    return {name: value.clone() for name, value in run[0].state_dict().items()}


def equal_states(a, b):
    return {name for name in a if a[name].shape == b[name].shape and torch.equal(a[name], b[name])}


def test_training_repeats_itself_to_the_bit_whatever_the_global_seed(digits, base):
    torch.manual_seed(99)
    again = train(spec_of(), digits)
    assert equal_states(state_of(base), state_of(again)) == set(state_of(base))
    assert vars(base[1]) == vars(again[1])


def test_another_seed_and_another_model_are_other_networks(digits, base):
    for spec in (spec_of(seed=1), spec_of(model="other")):
        assert not equal_states(state_of(base), state_of(train(spec, digits)))


def test_the_curve_starts_before_training_and_ends_after_it(digits, base):
    model, curve = base
    assert curve.step == [0, 10, 20, 25]
    assert len(curve.loss) == len(curve.accuracy) == 4
    assert curve.loss[-1][0] < curve.loss[0][0]
    for split, index in ((TRAIN, 0), (TEST, 1)):
        rows = digits.rows(split)
        with torch.no_grad():
            logits = model(digits.inputs[rows])
        own = torch.log_softmax(logits, 1)[torch.arange(len(rows)), digits.labels[rows]]
        assert curve.loss[-1][index] == pytest.approx(-float(own.mean()), rel=1e-5)
        assert curve.accuracy[-1][index] == pytest.approx(
            float((logits.argmax(1) == digits.labels[rows]).float().mean())
        )


class Broken(BaseException):
    """What ends a training between two steps."""


def breaking_after(taken):
    def steps(numbers):
        yield from list(numbers)[:taken]
        raise Broken

    return steps


def train_from(path, digits, spec, parent=None, fingerprint="code", progress=iter):
    return train(spec, digits, parent, progress=progress, checkpoint=path, fingerprint=fingerprint)


def stopped(path, digits, spec, taken, parent=None):
    with pytest.raises(Broken):
        train_from(path, digits, spec, parent, progress=breaking_after(taken))


@pytest.mark.parametrize("taken", [(0, 1), (7, 5), (24, 1)])
@pytest.mark.parametrize("parent", [False, True])
def test_a_training_that_was_stopped_twice_goes_on_to_the_same_bits(digits, base, tmp_path, taken, parent):
    """Before the first step, within an epoch and behind it (16 batches), and when all steps are taken."""
    path, weights = tmp_path / "state", state_of(base) if parent else None
    spec = spec_of(seed=1, reinitialise=["hidden_1"] if parent else [])
    for more in taken:
        stopped(path, digits, spec, more, weights)
    begun = []
    again = train_from(path, digits, spec, weights, progress=lambda steps: begun.append(steps.start) or steps)
    undisturbed = train(spec, digits, weights)
    assert begun == [sum(taken) + 1]
    assert equal_states(state_of(again), state_of(undisturbed)) == set(state_of(undisturbed))
    assert vars(again[1]) == vars(undisturbed[1])
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_another_training_or_that_was_damaged_is_left_out(digits, tmp_path):
    path = tmp_path / "state"
    stopped(path, digits, spec_of(), 7)
    saved = path.read_bytes()
    flipped = bytearray(saved)
    flipped[-9] ^= 1
    others = [
        (saved, spec_of(), "other code"),
        (saved, spec_of(lr=1e-3), "code"),
        (saved, spec_of(seed=2), "code"),
        (bytes(flipped), spec_of(), "code"),
        (saved[:-1], spec_of(), "code"),
        (b"", spec_of(), "code"),
    ]
    for content, spec, fingerprint in others:
        path.write_bytes(content)
        begun = []
        train_from(path, digits, spec, None, fingerprint, lambda steps, begun=begun: begun.append(steps.start) or steps)
        assert begun == [1]


def test_a_curve_logged_at_other_steps_is_of_the_same_run(digits, base):
    again = train(spec_of(log_every=5), digits)
    assert equal_states(state_of(base), state_of(again)) == set(state_of(base))
    assert again[1].loss[::2][:3] == base[1].loss[:3]


def test_the_untrained_network_is_step_0_of_the_trained_one(digits, base):
    untrained = train(spec_of(steps=0), digits)
    assert untrained[1].step == [0]
    assert untrained[1].loss == base[1].loss[:1]
    standing = train(spec_of(lr=0.0, weight_decay=0.0), digits)
    assert equal_states(state_of(untrained), state_of(standing)) == set(state_of(base))


@pytest.mark.parametrize("reinitialise", [["hidden_1"], ["hidden_0", "hidden_1"], ["logits"]])
def test_retraining_freezes_all_but_what_it_redraws(digits, base, reinitialise):
    parent = state_of(base)
    spec = spec_of(model="again", reinitialise=reinitialise)
    run, untrained = train(spec, digits, parent), train(spec | {"training": {"steps": 0}}, digits, parent)
    drawn = set().union(*(base[0].parameters_around(point) for point in reinitialise))
    assert equal_states(parent, state_of(run)) == set(parent) - drawn
    assert equal_states(parent, state_of(untrained)) == set(parent) - drawn
    # Training moves everything that was drawn, the bias of the hook point included.
    assert not equal_states(state_of(run), state_of(untrained)) & drawn
    assert run[1].loss[0] == untrained[1].loss[0]


def test_what_retraining_draws_is_new_in_every_run(digits, base):
    parent = state_of(base)
    states = [parent]
    for seed in (0, 1):
        spec = spec_of(model="again", seed=seed, reinitialise=["hidden_1"]) | {"training": {"steps": 0}}
        states.append(state_of(train(spec, digits, parent)))
    bias = [state["hidden_1.linear.bias"] for state in states]
    assert not any(torch.equal(bias[i], bias[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_all_layers_redrawn_is_training_from_scratch(digits, base):
    """Up to the name of the model, which keys the streams."""
    every = ["hidden_0", "hidden_1", "hidden_2", "logits"]
    scratch = train(spec_of(model="again"), digits)
    retrained = train(spec_of(model="again", reinitialise=every), digits, state_of(base))
    assert equal_states(state_of(scratch), state_of(retrained)) == set(state_of(base))


def test_a_retrained_layer_may_be_wider(digits, base):
    parent = state_of(base)
    wide, curve = train(spec_of(model="wide", widths=[12, 30, 11], reinitialise=["hidden_1"]), digits, parent)
    assert wide.units("hidden_1") == 30
    drawn = wide.parameters_around("hidden_1")
    assert equal_states(parent, wide.state_dict()) == set(parent) - drawn
    assert curve.loss[-1][0] < curve.loss[0][0]


def test_widening_what_stays_frozen_is_refused(digits, base):
    with pytest.raises(ValueError, match=r"hidden_0\.linear\.weight: file \(12, 64\), network \(13, 64\)"):
        train(spec_of(model="wide", widths=[13, 9, 11], reinitialise=["hidden_2"]), digits, state_of(base))


def test_a_run_under_a_symmetry_computes_what_its_parent_does(digits, base):
    parent = state_of(base)
    spec = spec_of(symmetry=["hidden_1"]) | {"training": {"steps": 0}}
    model, curve = train(spec, digits, parent)
    assert equal_states(parent, model.state_dict()) == set(parent) - model.parameters_around("hidden_1")
    assert_close(model(digits.inputs), base[0](digits.inputs), atol=1e-5, rtol=1e-5)
    assert curve.loss[0] == pytest.approx(base[1].loss[-1], rel=1e-5)


def test_a_finished_network_is_on_the_cpu_in_evaluation_mode(base):
    assert not base[0].training
    assert {str(p.device) for p in base[0].parameters()} == {"cpu"}


@pytest.mark.parametrize("lr", [1e30, float("inf")])
def test_a_diverging_run_says_where_and_what_to_change(digits, lr):
    with pytest.raises(
        ValueError, match=r"training of base, seed 3, diverged: .* at step 10 .*lower models\.base\.training\.lr"
    ):
        train(spec_of(seed=3, lr=lr), digits)


def test_progress_sees_every_step(digits):
    seen = []
    train(spec_of(steps=4), digits, progress=lambda steps: (seen.append(step) or step for step in steps))
    assert seen == [1, 2, 3, 4]


def test_a_task_is_built_from_its_spec(digits):
    assert build({"target": TASKS["digits"], "n_test": 500}).data().digest() == digits.digest()
