"""Buffers by size class: none is lent while anything still refers to it."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raudo.memory import BufferPool
from raudo.memory.buffer_pool import size_class


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def borrow_and_go(buffers, *args, **kwargs):
    """Borrow for an empty block, in a frame of its own: nothing refers to the array after it."""
    with buffers.borrow(*args, **kwargs) as a:
        return address(a)


@given(st.integers(0, 1 << 50))
def test_size_class_wastes_a_fifth_at_most(n):
    size = size_class(n)
    assert size >= n
    assert n <= 64 or size - n <= size / 5
    assert size_class(size) == size


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "complex128", "bool", "M8[s]"])
@pytest.mark.parametrize("shape", [(3, 5), (7,), 7, (), (0, 4), (1, 1, 1), np.int64(3)])
def test_array_has_the_shape_and_type_asked_for(shape, dtype):
    buffers = BufferPool()
    with buffers.borrow(shape, dtype) as a:
        expected = np.empty(shape, dtype)
        assert (a.shape, a.dtype) == (expected.shape, expected.dtype)
        assert a.flags.c_contiguous
        assert a.flags.aligned
        assert a.flags.writeable
        assert a.size == 0 or address(a) % 64 == 0


def test_memory_is_used_again():
    buffers = BufferPool()
    assert borrow_and_go(buffers, (100, 8)) == borrow_and_go(buffers, 1600, "float32")
    stats = buffers.stats()
    assert (stats["created"], stats["reused"], stats["in_use"], stats["idle"]) == (1, 1, 0, 1)
    assert stats["hit_rate"] == 0.5


def test_array_still_referred_to_is_not_lent_again():
    buffers = BufferPool()
    with buffers.borrow(1000) as leaked:
        leaked.fill(7.0)
    for _ in range(5):
        with buffers.borrow(1000) as a:
            a.fill(0.0)
    assert (leaked == 7.0).all()
    where = address(leaked)
    del leaked, a
    assert where in {address(each) for each in _hold_all(buffers, 1000, 3)}


def _hold_all(buffers, shape, n):
    leases = [buffers.borrow(shape) for _ in range(n)]
    arrays = [lease.__enter__() for lease in leases]
    for lease in leases:
        lease.__exit__(None, None, None)
    return arrays


@pytest.mark.parametrize(
    "derive",
    [
        lambda a: a[1:3],
        lambda a: a.reshape(-1).view("int32")[::2],
        lambda a: a.T,
        memoryview,
        lambda a: np.frombuffer(a, "uint8"),
        lambda a: a.ravel().data,
    ],
)
def test_any_view_keeps_the_buffer_from_being_lent(derive):
    buffers = BufferPool()
    with buffers.borrow((10, 10)) as a:
        where = address(a)
        view = derive(a)
    del a
    assert borrow_and_go(buffers, (10, 10)) != where
    del view
    seen = {address(each) for each in _hold_all(buffers, (10, 10), 2)}
    assert where in seen


def test_loop_over_one_variable_needs_two_buffers():
    buffers = BufferPool()
    for _ in range(50):
        with buffers.borrow(1000) as a:
            a[0] = 1.0
    assert buffers.stats()["created"] == 2


def test_zeroed_hides_what_was_there():
    buffers = BufferPool()

    def fill():
        with buffers.borrow(1000) as a:
            a.fill(7.0)
        with buffers.borrow_bytes(1000) as b:
            b[:] = b"x" * 1000

    fill()
    with buffers.borrow((10, 100), zeroed=True) as a:
        assert not a.any()
    with buffers.borrow_bytes(990, zeroed=True) as b:
        assert not any(b)
    assert buffers.stats()["reused"] == 2


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000, 65536, 65537, 1_000_003])
def test_bytearray_has_the_size_asked_for(size):
    buffers = BufferPool()
    for _ in range(3):
        with buffers.borrow_bytes(size) as b:
            assert type(b) is bytearray
            assert len(b) == size
            b[:] = b"a" * size


def test_bytearray_is_used_again_for_its_whole_class():
    buffers = BufferPool()
    top = size_class(60_000)
    bottom = next(n for n in range(top, 0, -1) if size_class(n) != top) + 1

    def use(size):
        with buffers.borrow_bytes(size) as b:
            return id(b)

    assert use(top) == use(bottom) == use(60_000)


def test_bytearray_with_a_view_is_not_lent_again():
    buffers = BufferPool()
    with buffers.borrow_bytes(1000) as b:
        b[:3] = b"abc"
        view = memoryview(b)
    del b
    with buffers.borrow_bytes(1000) as other:
        other[:3] = b"xyz"
    assert bytes(view[:3]) == b"abc"
    view.release()


@pytest.mark.parametrize("change", [bytearray.clear, lambda b: b.extend(bytes(5000))])
def test_resized_bytearray_goes_to_the_class_it_still_serves(change):
    buffers = BufferPool()

    def use():
        with buffers.borrow_bytes(1000) as b:
            change(b)

    use()
    with buffers.borrow_bytes(1000) as b:
        assert len(b) == 1000


def test_held_bytes_are_bounded_and_the_least_recent_go_first():
    buffers = BufferPool(max_bytes=10_000)
    for size in (4096, 5120, 6144):
        borrow_and_go(buffers, size, "uint8")
        assert buffers.stats()["held_bytes"] <= 10_000
    stats = buffers.stats()
    assert (stats["held_bytes"], stats["idle"], stats["discarded"]) == (6144, 1, 2)


def test_buffer_larger_than_the_bound_is_not_kept():
    buffers = BufferPool(max_bytes=1000)
    borrow_and_go(buffers, 2000, "uint8")
    stats = buffers.stats()
    assert (stats["held_bytes"], stats["idle"], stats["discarded"]) == (0, 0, 1)


def test_trim_lets_idle_buffers_go():
    buffers = BufferPool()
    for size in (1024, 2048):
        borrow_and_go(buffers, size, "uint8")
    assert buffers.trim(2048) == 1024
    assert buffers.trim() == 2048
    assert buffers.stats()["idle"] == 0


def test_error_in_the_block_gives_the_buffer_back():
    buffers = BufferPool()
    with pytest.raises(KeyError), buffers.borrow(10):
        raise KeyError
    assert buffers.stats()["in_use"] == 0


def test_lease_serves_one_block_at_a_time():
    buffers = BufferPool()
    lease = buffers.borrow(10)
    with lease, pytest.raises(RuntimeError, match="in use"):
        lease.__enter__()
    with lease as a:
        assert a.shape == (10,)
    with pytest.raises(RuntimeError, match="back already"):
        lease.__exit__(None, None, None)
    assert buffers.stats()["in_use"] == 0


@pytest.mark.parametrize("n", [1 << 50, 1 << 61, 1 << 80])
def test_what_could_not_be_made_is_not_counted(n):
    buffers = BufferPool()
    with pytest.raises(MemoryError), buffers.borrow(n, "int8"):
        pass
    stats = buffers.stats()
    assert stats["created"] == stats["in_use"] == 0


@pytest.mark.parametrize("shape", [1.0, (1.0, 2), True, "1", None])
def test_shape_equal_to_a_known_one_is_checked_all_the_same(shape):
    buffers = BufferPool()
    borrow_and_go(buffers, 1, "int8")
    borrow_and_go(buffers, (1, 2), "int8")
    if shape is True:  # an index like any other to numpy
        assert borrow_and_go(buffers, shape, "int8")
    else:
        with pytest.raises(TypeError):
            buffers.borrow(shape, "int8")


# NumPy 2.5 warns of it, and lets it happen.
@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
def test_what_a_borrower_did_to_its_array_is_not_seen_by_the_next():
    buffers = BufferPool()

    def spoil():
        with buffers.borrow((4, 8), "int8") as a:
            a.flags.writeable = False
            a.shape = (32,)

    spoil()
    with buffers.borrow((4, 8), "int8") as a:
        assert a.shape == (4, 8)
        a.fill(1)
    assert buffers.stats()["reused"] == 1


@pytest.mark.parametrize("n_bytes", [(4 << 20) - 1, 4 << 20, (5 << 20) + 3])
def test_large_buffers_can_be_written_to_the_last_byte(n_bytes):
    buffers = BufferPool()
    with buffers.borrow(n_bytes, "uint8", zeroed=True) as a:
        assert not a.any()
        a[-1] = a[0] = 7
        assert address(a) % 64 == 0


def test_shrink_keeps_a_share():
    buffers = BufferPool()
    leases = [buffers.borrow(1024, "uint8") for _ in range(4)]
    for lease in leases:
        lease.__enter__()
    for lease in leases:
        lease.__exit__(None, None, None)
    assert buffers.shrink(0.5) == 2048
    assert buffers.shrink(0) == 2048


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BufferPool("big"), TypeError, "max_bytes is 'big'"),
        (lambda: BufferPool(-1), ValueError, "max_bytes is -1"),
        (lambda: BufferPool().borrow(3, object), TypeError, "dtype is object"),
        (lambda: BufferPool().borrow((3, -1)), ValueError, "no negative side"),
        (lambda: BufferPool().borrow_bytes(-1), ValueError, "size is -1"),
        (lambda: BufferPool().borrow_bytes(1.5), TypeError, "size is 1.5"),
        (lambda: BufferPool().trim(-1), ValueError, "keep_bytes is -1"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_threads_never_share_a_buffer():
    buffers = BufferPool(max_bytes=1 << 20)
    errors: list[BaseException] = []

    def work(seed):
        mine = random.Random(seed)
        try:
            for _ in range(300):
                n = mine.choice([100, 1000, 5000])
                with buffers.borrow(n, "int64") as a, buffers.borrow_bytes(n) as b:
                    a.fill(seed)
                    b[:] = bytes([seed]) * n
                    assert (a == seed).all()
                    assert b.count(seed) == n
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert buffers.stats()["in_use"] == 0
