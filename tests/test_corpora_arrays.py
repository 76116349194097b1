"""Are arrays, batches of a user's function and images fed as they are, and are those that can't be told in one line?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_corpora import batches, write_garments, write_images, write_saved

from homolog.corpora.arrays import Arrays, NumpyArrays
from homolog.corpora.gathered import gathered
from homolog.corpora.images import Images
from homolog.corpora.python_batches import PythonBatches
from homolog.corpora.saved_dataset import SavedArrays
from homolog.corpora.task_images import DigitImages, FashionMNISTImages
from homolog.tasks.digits import Digits
from homolog.tasks.fashion_mnist import FashionMNIST

IDS = np.arange(40).reshape(10, 4)


def arrays(**given: Any) -> Arrays:
    return Arrays(given, "mine", test_fraction=0.3)


def test_an_npz_is_fed_by_its_names_and_says_what_its_rows_are(tmp_path):
    pixels = np.random.default_rng(0).normal(size=(10, 3, 2))
    facts = {"label": np.arange(10) % 3, "split": np.arange(10) % 2, "half": np.arange(10) // 5}
    np.savez(tmp_path / "x.npz", pixel_values=pixels, **facts)
    corpus = NumpyArrays(path=str(tmp_path / "x.npz"), positions=6).corpus()
    inputs = torch.tensor([7, 2])
    assert set(corpus.batches(inputs)) == {"pixel_values"}
    assert torch.equal(corpus.batches(inputs)["pixel_values"], torch.from_numpy(pixels[[7, 2]]).float())
    numbers = corpus.places(inputs).numbers
    for name, values in facts.items():
        assert numbers[name].tolist() == [[values[7]] * 6, [values[2]] * 6]
    assert numbers["input_id"].tolist() == [list(range(42, 48)), list(range(12, 18))]


@pytest.mark.parametrize("keyword", [None, "x"])
def test_an_npy_is_fed_alone_or_by_its_keyword(tmp_path, keyword):
    np.save(tmp_path / "x.npy", IDS)
    fed = NumpyArrays(path=str(tmp_path / "x.npy"), keyword=keyword).corpus().batches(torch.tensor([3]))
    values = fed if isinstance(fed, torch.Tensor) else fed["x"]
    assert isinstance(fed, dict) == (keyword == "x")
    assert values.tolist() == IDS[[3]].tolist()


def test_the_mask_of_attention_and_a_mask_of_ones_own_leave_places_out():
    seen = IDS % 4 < 3
    inputs = torch.arange(10)
    attended = arrays(input_ids=IDS, attention_mask=seen)
    assert torch.equal(attended.places(inputs).keep, torch.from_numpy(seen))
    assert torch.equal(attended.batches(inputs)["attention_mask"], torch.from_numpy(seen).long())
    own = arrays(input_ids=IDS, attention_mask=seen, keep=IDS % 4 == 1)
    assert own.places(inputs).rows()["token_id"].tolist() == IDS[:, 1].tolist()
    assert set(own.batches(inputs)) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "mine: there is no array, but at least one array to feed"),
        ({"label": np.arange(4)}, "mine: there is 4 of label, but at least one array to feed"),
        ({"x": np.empty((0, 3))}, "mine: there is 0 of x, but"),
        ({"x": IDS, "label": np.arange(9)}, "mine: there is 10 of x, 9 of label, but"),
        ({"input_ids": IDS - 1}, r"input_ids is int64 .* none below 0"),
        ({"input_ids": IDS / 2}, r"input_ids is float64 of shape \(10, 4\), but whole numbers \(input, position\)"),
        (
            {"input_ids": IDS, "attention_mask": IDS[:, :3]},
            r"attention_mask is int64 of shape \(10, 3\), but the shape \(10, 4\)",
        ),
        ({"x": IDS, "document": IDS}, r"document is int64 of shape \(10, 4\), but a whole number for each input"),
        ({"x": IDS, "split": np.arange(10), "half": np.arange(10) % 2}, "split goes from 0 to 9; allowed: 0 and 1"),
        ({"x": IDS, "document": np.arange(10) // 5}, "mine: 2 different documents"),
    ],
)
def test_arrays_that_do_not_fit_are_told(given, said):
    with pytest.raises(ValueError, match=said):
        arrays(**given)


@pytest.mark.parametrize("content", [b"", b"nothing of numpy's", b"PK\x03\x04 and no more"])
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_file_that_numpy_can_not_read_is_told(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"arrays: .*{name} can't be read as .npy or .npz of numbers"):
        NumpyArrays(path=str(path)).corpus()
    path.unlink()
    with pytest.raises(ValueError, match=rf"arrays: .*{name} can't be read as .npy or .npz of numbers"):
        NumpyArrays(path=str(path)).corpus()


def test_batches_are_gathered_in_their_order():
    whole = gathered(batches(3), "mine")
    wanted = [{key: values.numpy() for key, values in batch.items()} for batch in batches(3)]
    for key in wanted[0]:
        np.testing.assert_array_equal(whole[key], np.concatenate([batch[key] for batch in wanted]))
        assert whole[key].dtype == wanted[0][key].dtype


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "mine: no batch came"),
        ([[1, 2]], "mine: batch 0 is list, but a dict of arrays"),
        ([{}], "mine: batch 0 is dict, but a dict of arrays"),
        ([{"x": ["a"]}], r"mine: batch 0: x is <U1 of shape \(1,\), but numbers"),
        ([{"x": torch.ones(())}], r"mine: batch 0: x is float32 of shape \(\), but numbers, by input"),
        ([{"x": [[1, 2], [3]]}], "mine: batch 0: x is ragged"),
        ([{"x": IDS, "y": IDS[:3]}], "mine: batch 0 is ragged: it has 10 of x, 3 of y"),
        (
            [{"x": IDS}, {"x": IDS[:, :2]}],
            r"mine: batch 1 is ragged: of each input it has x \(2,\), but batch 0 has x \(4,\)",
        ),
        ([{"x": IDS}, {"y": IDS}], r"mine: batch 1 is ragged: of each input it has y \(4,\)"),
    ],
)
def test_ragged_batches_are_told_with_their_number(given, said):
    with pytest.raises(ValueError, match=said):
        gathered(iter(given), "mine")


def answer() -> int:
    return 42


def breaks() -> Any:
    yield {"x": IDS}
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("no_such_module:batches", r"no_such_module:batches: there is no such module, .*: correct the name"),
        ("test_corpora:no_such", r"test_corpora:no_such: test_corpora has no function 'no_such'; it has .*"),
        (f"{__name__}:answer", "failed: TypeError: it gave int, but an iterable of dicts"),
        (f"{__name__}:breaks", "failed: KeyError: 'mine'"),
        ("test_corpora:write_images", "failed: TypeError: .* missing 1 required positional argument"),
    ],
)
def test_functions_that_give_no_batches_are_told(function, said):
    with pytest.raises(ValueError, match=said):
        PythonBatches(function=function).corpus()


def test_saved_arrays_are_fed_by_their_columns_and_ragged_rows_told(tmp_path):
    columns = {"input_ids": IDS.tolist(), "label": (np.arange(10) % 3).tolist(), "text": ["a"] * 10}
    folder = write_saved(tmp_path / "whole", columns)
    corpus = SavedArrays(path=str(folder), columns=["input_ids", "label"]).corpus()
    assert torch.equal(corpus.batches(torch.arange(10))["input_ids"], torch.from_numpy(IDS))
    assert corpus.label.tolist() == columns["label"]
    folder = write_saved(tmp_path / "ragged", {"input_ids": [[1, 2]] * 8 + [[1]] * 2})
    with pytest.raises(ValueError, match="batch 1: input_ids is ragged"):
        SavedArrays(path=str(folder), columns=["input_ids"]).corpus()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_are_fed_as_their_pixels(tmp_path, mode):
    folder = write_images(tmp_path, mode=mode)
    corpus = Images(path=str(folder), mode=mode, keyword="pixel_values").corpus()
    files = sorted(folder.rglob("*.png"))
    inputs = torch.tensor([4, 0])
    pixels = corpus.batches(inputs)["pixel_values"]
    assert pixels.shape == (2, len(mode), 5, 4)
    for seen, number in zip(pixels, inputs, strict=True):
        stored = np.asarray(Image.open(files[number]), float).reshape(5, 4, -1).transpose(2, 0, 1)
        assert torch.equal((seen * 255).round().double(), torch.from_numpy(stored))
    assert corpus.label.tolist() == [int(file.parent.name == "b") for file in files]


def test_channels_are_centred_and_scaled_and_sizes_made_equal(tmp_path):
    folder = write_images(tmp_path)
    plain, inputs = Images(path=str(folder)).corpus().batches(torch.arange(12)), torch.arange(12)
    mean, std = [0.1, 0.2, 0.3], [1.0, 2.0, 4.0]
    changed = Images(path=str(folder), mean=mean, std=std).corpus().batches(inputs)
    shape = (3, 1, 1)
    wanted = (plain - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    np.testing.assert_allclose(changed, wanted, atol=1e-6)
    Image.new("RGB", (9, 9)).save(folder / "a" / "other.png")
    with pytest.raises(
        ValueError, match=r"several sizes: .*00.png is 5x4 \(height, width\), .*other.png 9x9: set `size"
    ):
        Images(path=str(folder)).corpus()
    assert Images(path=str(folder), size=[7, 6]).corpus().batches(inputs).shape == (12, 3, 7, 6)


def test_images_of_a_task_are_its_inputs_with_its_labels_and_split(tmp_path):
    for images, task in (
        (DigitImages(n_test=100, keyword="pixel_values"), Digits(100)),
        (FashionMNISTImages(path=str(write_garments(tmp_path / "garments"))), FashionMNIST(str(tmp_path / "garments"))),
    ):
        corpus, data, inputs = images.corpus(), task.data(), torch.tensor([7, 2, 11])
        fed = corpus.batches(inputs)
        pixels = fed if isinstance(fed, torch.Tensor) else fed["pixel_values"]
        assert pixels.shape[1] == 1
        assert pixels.shape[2] == pixels.shape[3]
        assert torch.equal(pixels.flatten(1), data.inputs[inputs])
        rows = corpus.places(inputs).rows()
        for name, values in (("label", data.labels), ("split", data.split), ("half", data.half)):
            assert torch.equal(rows[name], values[inputs].long())


def test_one_folder_of_images_tells_no_class_and_equal_ones_are_on_one_side(tmp_path):
    folder = write_images(tmp_path, 40) / "a"
    for number in range(4):
        (folder / f"copy{number}.png").write_bytes((folder / "00.png").read_bytes())
    corpus = Images(path=str(folder)).corpus()
    assert set(corpus.label.tolist()) == {-1}
    same = torch.tensor([file.name.startswith(("00", "copy")) for file in corpus.files])
    assert len(set(zip(corpus.split[same].tolist(), corpus.half[same].tolist(), strict=True))) == 1


def test_images_that_are_absent_or_damaged_are_told(tmp_path):
    with pytest.raises(ValueError, match="images: no image at"):
        Images(path=str(tmp_path)).corpus()
    folder = write_images(tmp_path)
    whole = (folder / "a" / "00.png").read_bytes()
    (folder / "a" / "00.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"00.png can't be read as an image"):
        Images(path=str(folder)).corpus()
    (folder / "a" / "00.png").write_bytes(whole[: len(whole) - 40])
    corpus = Images(path=str(folder)).corpus()
    with pytest.raises(ValueError, match=r"00.png can't be read as an image"):
        corpus.batches(torch.tensor([0]))


def test_images_of_more_than_8_bits_are_told_rather_than_cut_off(tmp_path):
    folder = write_images(tmp_path)
    Image.fromarray(np.full((5, 4), 40_000, np.uint16)).save(folder / "a" / "00.png")
    with pytest.raises(ValueError, match=r"00.png has pixels of mode I;16; allowed: those of 8 bits"):
        Images(path=str(folder)).corpus().batches(torch.tensor([0]))


def test_arrays_larger_than_memory_are_mapped(tmp_path):
    np.save(tmp_path / "x.npy", IDS)
    corpus = NumpyArrays(path=str(tmp_path / "x.npy")).corpus()
    held = [value for value in vars(corpus).values() if isinstance(value, dict)]
    assert [type(array) for arrays in held for array in arrays.values()] == [np.memmap]


def test_a_user_may_bring_a_split(tmp_path: Path):
    split, half = np.array([0, 1] * 5), np.array([0] * 5 + [1] * 5)
    corpus = arrays(x=IDS, split=split, half=half)
    assert corpus.split.tolist() == split.tolist()
    assert corpus.half.tolist() == half.tolist()
