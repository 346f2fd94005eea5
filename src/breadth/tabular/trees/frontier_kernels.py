"""The frontier of best-first growth: a binary heap of node numbers, largest key on top."""

from numba import njit

_INTERNAL = {"cache": True, "nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


@njit(**_INTERNAL)
def sift_up(heap, key, at):
    """Restore the heap after heap[at] was appended: keys of parents are no smaller than those of their children."""
    node = heap[at]
    while at > 0 and key[heap[(at - 1) // 2]] < key[node]:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = node


@njit(**_INTERNAL)
def sift_down(heap, key, size):
    """Restore the heap of `size` entries after heap[0] was replaced."""
    node = heap[0]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and key[heap[child + 1]] > key[heap[child]]:
            child += 1
        if key[heap[child]] <= key[node]:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = node
