"""Safetensors read and written tensor by tensor, beside the safetensors package; each way in which a file is bad."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from breadth.lm.hf.files import INDEX, SINGLE, Checkpoint, Pending, read_header, write_checkpoint

peer = pytest.importorskip("safetensors.torch")

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).view(2, 3),
    "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "scalar": torch.tensor(3.0, dtype=torch.float64),
    "empty": torch.zeros(0, 4, dtype=torch.float16),
    "codes": torch.arange(5, dtype=torch.uint8),
    "small": torch.tensor([0.5, 448.0]).to(torch.float8_e4m3fn),
    "mask": torch.tensor([True, False]),
    "ids": torch.tensor([[-1, 2**40]]),
}


def pending(tensors):
    return [Pending(n, tuple(t.shape), t.dtype, lambda t=t: t) for n, t in tensors.items()]


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.float(), other.float())


def test_what_safetensors_writes_is_read(tmp_path):
    peer.save_file(TENSORS, tmp_path / SINGLE)
    checkpoint = Checkpoint(tmp_path)
    assert set(checkpoint.entries) == set(TENSORS)
    assert all(equal(checkpoint.read(name), tensor) for name, tensor in TENSORS.items())
    with pytest.raises(KeyError):
        checkpoint.read("c")


def test_safetensors_reads_what_is_written(tmp_path):
    assert write_checkpoint(tmp_path / "new", pending(TENSORS)) == [tmp_path / "new" / SINGLE]
    theirs = peer.load_file(tmp_path / "new" / SINGLE)
    assert set(theirs) == set(TENSORS)
    assert all(equal(theirs[name], tensor) for name, tensor in TENSORS.items())


def test_shards_hold_no_more_than_asked_and_the_index_says_which_holds_what(tmp_path):
    tensors = {f"t{i}": torch.full((10,), float(i)) for i in range(7)}
    files = write_checkpoint(tmp_path, pending(tensors), shard_bytes=100)
    assert [file.name for file in files] == [f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4)]
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 280
    assert set(index["weight_map"]) == set(tensors)
    checkpoint = Checkpoint(tmp_path)
    assert all(equal(checkpoint.read(name), tensor) for name, tensor in tensors.items())
    write_checkpoint(tmp_path, pending(tensors))
    assert [file.name for file in tmp_path.iterdir()] == [SINGLE], "old shards are gone"


def test_a_tensor_larger_than_a_shard_has_one_alone(tmp_path):
    tensors = {"small": torch.zeros(2), "large": torch.zeros(100), "last": torch.zeros(2)}
    assert len(write_checkpoint(tmp_path, pending(tensors), shard_bytes=50)) == 3
    assert Checkpoint(tmp_path).read("large").shape == (100,)


def test_a_tensor_that_is_not_as_told_is_not_written(tmp_path):
    wrong = [Pending("a", (2,), torch.float32, lambda: torch.zeros(3))]
    with pytest.raises(ValueError, match=r"'a' is torch.float32 of shape \(3,\)"):
        write_checkpoint(tmp_path, wrong)
    assert not (tmp_path / SINGLE).exists()
    with pytest.raises(ValueError, match="two tensors have the name 'a'"):
        write_checkpoint(tmp_path, pending({"a": torch.zeros(1)}) * 2)
    with pytest.raises(ValueError, match="shard_bytes must be >= 1"):
        write_checkpoint(tmp_path, [], shard_bytes=0)


def raw(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def told(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or no safetensors file: 0 bytes"),
        (b"\x01\x02", "truncated or no safetensors file: 2 bytes"),
        (raw(b"{}", length=1 << 40), "a header of 1099511627776"),
        (raw(b"{}", length=50), "truncated"),
        (raw(b"{no json"), "header is no JSON"),
        (raw(b"\xff\xfe"), "header is no JSON"),
        (raw(b"[" * 100_000), "header is no JSON"),
        (raw([1]), "no table of tensors"),
        (raw({"w": told()}, b"\0" * 7), "truncated: .* the tensor 'w' ends at"),
        (raw({"w": told()}, b"\0" * 9), "its last tensor ends at"),
        (raw({"w": told("F16")}, b"\0" * 8), "'w' of shape \\(2,\\) and type F16 has 8 bytes, not 4"),
        (raw({"w": told(shape=(3,))}, b"\0" * 8), "'w' of shape \\(3,\\) and type F32 has 8 bytes, not 12"),
        (raw({"w": told("F99")}, b"\0" * 8), "'w' has a header with 'F99' missing or not known"),
        (raw({"w": {"dtype": "F32", "shape": [2]}}, b"\0" * 8), "'w' has a header with 'data_offsets' missing"),
        (raw({"w": told(offsets=(8, 0))}, b"\0" * 8), "'w' has shape"),
        (raw({"w": told(shape=(-2,))}, b"\0" * 8), "'w' has shape"),
        (raw({"w": told(shape=("x",))}, b"\0" * 8), "'w' has a header that is none"),
        (raw({"w": told(shape=(2.5,))}, b"\0" * 8), "'w' has a header that is none"),
        (raw({"w": told(shape=(True, 2))}, b"\0" * 8), "'w' has a header that is none"),
        (raw({"w": told() | {"shape": "2"}}, b"\0" * 8), "'w' has a header that is none"),
        (raw({"w": 3}, b""), "'w' has a header that is none"),
        (raw({"v": told(), "w": told()}, b"\0" * 8), "'w' begins at byte"),
        (raw({"v": told(), "w": told(offsets=(12, 20))}, b"\0" * 20), "'w' begins at byte"),
    ],
)
def test_a_file_that_is_not_whole_names_itself_and_the_tensor(tmp_path, content, message):
    file = tmp_path / SINGLE
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_header(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 1234567])
def test_a_weight_that_is_no_number_is_named(tmp_path, value, at):
    weight = torch.zeros(1300000, dtype=torch.float16)
    weight[at] = value
    peer.save_file({"good": torch.ones(3), "bad": weight}, tmp_path / SINGLE)
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.read("good").tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=f"'bad' with the value {value} at {at}"):
        checkpoint.read("bad")


def test_a_file_that_shrinks_after_it_was_opened_is_noticed(tmp_path):
    peer.save_file({"w": torch.ones(100)}, tmp_path / SINGLE)
    checkpoint = Checkpoint(tmp_path)
    content = (tmp_path / SINGLE).read_bytes()
    (tmp_path / SINGLE).write_bytes(content[:-4])
    with pytest.raises(ValueError, match="truncated in the tensor 'w'"):
        checkpoint.read("w")


def sharded(folder: Path) -> dict:
    write_checkpoint(folder, pending({"v": torch.ones(4), "w": torch.ones(4)}), shard_bytes=16)
    return json.loads((folder / INDEX).read_text())


def test_a_missing_shard_is_named_with_the_tensor_that_it_should_hold(tmp_path):
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="safetensors is not there; the index puts 'w'"):
        Checkpoint(tmp_path)


FIRST, SECOND = "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"


@pytest.mark.parametrize(
    ("name", "shard", "message"),
    [
        ("w", FIRST, f"{FIRST} holds the tensor 'w', but {SECOND} does"),
        ("u", FIRST, f"{FIRST} holds the tensor 'u', but no file does"),
        ("w", "../other.safetensors", "'w' in '../other.safetensors', outside of the folder"),
        ("w", "..", "'w' in '..', outside of the folder"),
        ("w", 5, "'w' in 5, outside of the folder"),
    ],
)
def test_an_index_that_is_wrong_is_named_with_its_tensor(tmp_path, name, shard, message):
    tensors = {n: torch.ones(4) for n in "vxwyz"}  # two in each shard
    write_checkpoint(tmp_path, pending(tensors), shard_bytes=32)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"][name] = shard
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match=message):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}'])
def test_an_index_that_is_none_is_named(tmp_path, content):
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(ValueError, match="no index of shards"):
        Checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_named(tmp_path):
    index = sharded(tmp_path)
    peer.save_file({"w": torch.ones(4), "v": torch.ones(4)}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(ValueError, match="both hold the tensor 'v'"):
        Checkpoint(tmp_path)
    assert index["weight_map"]["v"].startswith("model-00001")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt", "model.ckpt"])
def test_pickled_weights_are_refused_by_name(tmp_path, name):
    torch.save({"w": torch.ones(2)}, tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} holds pickled weights"):
        Checkpoint(tmp_path)


def test_a_folder_without_weights_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model"):
        Checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        Checkpoint(tmp_path / "nowhere")
    for name in ("a.safetensors", "b.safetensors"):
        peer.save_file({"w": torch.ones(2)}, tmp_path / name)
    with pytest.raises(ValueError, match="holds 2 safetensors files but no"):
        Checkpoint(tmp_path)
    (tmp_path / "b.safetensors").unlink()
    assert Checkpoint(tmp_path).read("w").tolist() == [1, 1]
