"""Two things that NumPy arrays lack and the boosting kernels need: prefetching, and a barrier between threads.

A parallel kernel here is an ordinary `nogil` function that each thread of a `ThreadPoolExecutor` calls with its own
number `t` of `n_threads`; the calls meet at barriers. Nothing depends on OpenMP: no oversubscription by a second pool,
no trouble after a fork, and a fit inside a joblib worker costs what it costs outside.
"""

from __future__ import annotations

import platform
import sys

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_yield_processor = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())
_LONG = types.int64
_system_call = types.ExternalFunction("syscall", _LONG(_LONG, _LONG, _LONG, _LONG, _LONG, _LONG, _LONG))
_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine(), 0) if sys.platform == "linux" else 0
_WAIT, _WAKE = 128, 129  # private to the process
SPINS = 200_000  # about a millisecond: waking a thread takes a tenth of one, and phases are shorter
MOST_HALVINGS = 6  # of SPINS, while waits end in sleep: on a busy machine the spinning keeps from its core who is due


@intrinsic
def prefetch(typingctx, array, index):
    """Ask the processor to fetch `array[index]`; reads nothing, so that any index inside the array is safe."""

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        byte_pointer = ir.IntType(8).as_pointer()
        int32 = ir.IntType(32)
        address = builder.bitcast(builder.gep(view.data, [args[1]]), byte_pointer)
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, int32, int32, int32])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        read, keep_in_all_caches, data = ir.Constant(int32, 0), ir.Constant(int32, 3), ir.Constant(int32, 1)
        builder.call(function, [address, read, keep_in_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def _fetch_add(typingctx, array, index, amount):
    """Atomically add to `array[index]` and return what stood there before."""

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.atomic_rmw("add", builder.gep(view.data, [args[1]]), args[2], ordering="seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def barrier(sync, n_threads):
    """Wait until all `n_threads` have come here.

    `sync` is int64[32], zero at first: arrivals at 0, generation at 8, sleepers at 16, halvings of SPINS at 24. Who
    waits long sleeps in the kernel where Linux offers it, and yields elsewhere: a yield on a busy machine gives a whole
    time slice away.
    """
    if n_threads == 1:
        return
    generation = _fetch_add(sync, 8, 0)
    if _fetch_add(sync, 0, 1) == n_threads - 1:
        _fetch_add(sync, 0, -n_threads)
        _fetch_add(sync, 8, 1)
        if _FUTEX and _fetch_add(sync, 16, 0) > 0:
            _system_call(_FUTEX, sync.ctypes.data + 64, _WAKE, n_threads, 0, 0, 0)
        return
    spins = 0
    patience = SPINS >> max(0, _fetch_add(sync, 24, 0))
    while _fetch_add(sync, 8, 0) == generation:
        spins += 1
        if spins <= patience:
            continue
        if _FUTEX:
            _fetch_add(sync, 16, 1)
            _system_call(_FUTEX, sync.ctypes.data + 64, _WAIT, generation & 0xFFFFFFFF, 0, 0, 0)
            _fetch_add(sync, 16, -1)
        else:
            _yield_processor()
    if spins > patience and patience > SPINS >> MOST_HALVINGS:
        _fetch_add(sync, 24, 2)
    elif spins <= patience < SPINS:
        _fetch_add(sync, 24, -1)
