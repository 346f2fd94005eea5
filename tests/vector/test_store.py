"""The store: what is written is read, damage is named, and a kill loses nothing."""

import itertools
import os
import random
import signal
import stat
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from breadth.vector import store
from breadth.vector.flat import Flat

ARRAYS = {
    "bytes": np.arange(100, dtype=np.uint8),
    "vectors": np.random.default_rng(0).normal(size=(37, 5)).astype(np.float32),
    "none": np.zeros((0, 7), dtype=np.int64),
    "turned": np.arange(12, dtype=np.float64).reshape(3, 4).T,
}


@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_written_is_read_aligned_and_writable_without_touching_the_file(mmap, tmp_path):
    path = tmp_path / "a"
    store.write(path, "Test", {"dim": 3, "name": "ü"}, ARRAYS)
    before = path.read_bytes()
    meta, arrays = store.read(path, "Test", mmap)
    assert meta == {"dim": 3, "name": "ü"} and list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype and array.flags.writeable and array.flags.c_contiguous
        if mmap and array.size:
            assert array.ctypes.data % 64 == 0
    arrays["vectors"][:] = 7
    assert path.read_bytes() == before


def test_every_damaged_byte_and_every_cut_is_named(tmp_path):
    path, broken = tmp_path / "a", tmp_path / "b"
    store.write(path, "Test", {"dim": 3}, ARRAYS)
    whole = path.read_bytes()
    sections = set()
    for at in range(0, len(whole), 3):
        broken.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            _, arrays = store.read(broken, "Test")
        except store.StoreError as error:
            if "section" in str(error):
                sections.add(str(error).split("section ")[1].split("'")[1])
            continue
        for name, array in arrays.items():  # the byte fills the gap before an aligned array
            assert_array_equal(array, ARRAYS[name])
    assert sections == {"header", "manifest", "bytes", "vectors", "turned"}
    for length in range(0, len(whole), 7):
        broken.write_bytes(whole[:length])
        with pytest.raises(store.StoreError, match=r"cut short|not a breadth index"):
            store.read(broken, "Test")


def test_verify_false_reads_no_array_but_still_checks_the_manifest(tmp_path):
    path = tmp_path / "a"
    store.write(path, "Test", {}, ARRAYS)
    raw = bytearray(path.read_bytes())
    raw[64] ^= 1
    path.write_bytes(raw)
    assert store.read(path, "Test", verify=False)[1]["bytes"][0] == 1
    with pytest.raises(store.StoreError, match="checksum of its section 'bytes' differs"):
        store.read(path, "Test")


def test_another_kind_version_or_file_is_named(tmp_path):
    path = tmp_path / "a"
    store.write(path, "Test", {}, {})
    with pytest.raises(store.StoreError, match="holds an index of kind 'Test', not 'HNSW'"):
        store.read(path, "HNSW")
    path.write_bytes(b"")
    with pytest.raises(store.StoreError, match="is not a breadth index: it begins with b''"):
        store.read(path, "Test")
    with pytest.raises(TypeError, match=r"'names' is of .*, but a store holds integers and floats"):
        store.write(path, "Test", {}, {"names": np.array(["a"])})
    with pytest.raises(FileNotFoundError, match=r"folder .* does not exist"):
        store.write(tmp_path / "no" / "a", "Test", {}, {})
    with pytest.raises(IsADirectoryError, match="is a folder"):
        store.write(tmp_path, "Test", {}, {})
    assert sorted(tmp_path.iterdir()) == [path]  # failures leave nothing behind


def test_a_link_keeps_pointing_at_the_file_and_permissions_are_the_users(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    store.write(target, "Test", {"n": 1}, {})
    link.symlink_to(target)
    store.write(link, "Test", {"n": 2}, {})
    assert link.is_symlink() and store.read(target, "Test")[0] == {"n": 2}
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


MOMENTS = ((os, "fsync"), (os, "open"), (store.zlib, "crc32"), (store.json, "dumps"), (store.Path, "replace"))


def in_a_child(work):
    """Fork a process that does `work`: starting Python anew would take longer than all that it does."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def test_a_kill_at_any_moment_of_a_save_leaves_the_old_or_the_new_file(tmp_path):
    path = tmp_path / "index"
    rng = random.Random(0)

    def save_for_ever():
        for version in itertools.count():
            arrays = {"a": np.full((300, 500), version), "b": np.full(9, version)}
            store.write(path, "Test", {"version": version}, arrays)

    store.write(path, "Test", {"version": -1}, {"a": np.full(3, -1), "b": np.full(9, -1)})
    versions = set()
    for _ in range(40):
        child = in_a_child(save_for_ever)
        time.sleep(rng.random() * 0.1)
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        meta, arrays = store.read(path, "Test")
        assert (arrays["a"] == meta["version"]).all() and (arrays["b"] == meta["version"]).all()
        versions.add(meta["version"])
    assert len(versions) > 1


def test_an_index_killed_at_each_step_of_its_save_loads_as_it_was_or_as_it_became(tmp_path):
    path = tmp_path / "index"
    index = Flat(2, metric="dot")
    index.add([1, 2], [[1.0, 0.0], [0.5, 0.5]])

    def save_and_die(moment):
        calls = itertools.count(1)

        def dying(function):
            def call(*args, **kwargs):
                if next(calls) == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return call

        for owner, name in MOMENTS:
            setattr(owner, name, dying(getattr(owner, name)))
        mapped = Flat.load(path)
        mapped.upsert([1], [[0.0, 1.0]])
        mapped.save(path)

    seen = []
    for moment in itertools.count(1):
        index.save(path)
        status = os.waitpid(in_a_child(lambda moment=moment: save_and_die(moment)), 0)[1]
        seen.append(int(Flat.load(path).search([[1.0, 0.0]], 1).ids[0, 0]))
        if status == 0:
            break
        assert status == signal.SIGKILL
    assert len(seen) > 10 and seen == sorted(seen) and set(seen) == {1, 2}


def test_what_is_no_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="is a device, pipe or socket, which saving would replace"):
        store.write(pipe, "Test", {}, ARRAYS)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]
