"""Precision, plotting back end, caches and shared data for all tests."""

import contextlib
import ctypes
import functools
import gc
import os
from pathlib import Path

# Before anything imports pyplot: no window is opened where there is no display.
os.environ.setdefault("MPLBACKEND", "Agg")
# Small programs are compiled by the hundred: code that is quick to make, not quick to run, halves
# the time of the suite, and to cut a program in pieces for many threads costs more than it gains
# on the one core of a worker. The benchmarks run what a user runs.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 "
    "--xla_cpu_parallel_codegen_split_count=1",
)

import equinox.internal
import jax
import pytest

ROOT = Path(__file__).resolve().parent.parent


def _memory() -> float:
    """Gigabytes of a worker beyond which it forgets its compiled programs.

    Files share hundreds of small ones, so that it is worth a quarter of what the machine has; not
    more than 6, since each program takes a few of the mappings that a process may have.
    """
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (OSError, ValueError, AttributeError):
        return 3.0
    return min(max(3.0, total / 4), 6.0)


MEMORY = _memory()
_FORGOTTEN = []


def pytest_configure(config):
    jax.config.update("jax_enable_x64", True)
    # A host callback copies its arguments: with few threads and asynchronous dispatch that copy can
    # wait for the thread that the callback holds, for ever.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # Where each operation was written is of no use here, and is compiled with it.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    _keep_compilations(config)
    _share_context()
    _share_rounding()
    if os.environ.get("PHYSML_TEST_TYPES"):
        _check_annotations()


def _keep_compilations(config):
    """Keep compiled programs between runs, in a folder of this worker's own.

    `-p no:cacheprovider` does without: in a fresh clone they are of no use to anyone.

    Writes to JAX's cache are not atomic: a worker that reads what another is writing would warn.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    if hasattr(config, "cache"):
        folder = config.cache.mkdir(f"jax-{worker}")
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def _share_context():
    """Lower all programs in one context of MLIR: to make one takes longer than a small program.

    It keeps the constants of what was lowered in it, until `_bound_memory` lets it go.
    """
    with contextlib.suppress(ImportError, AttributeError):  # internals of JAX, which may move
        from jax._src.interpreters import mlir

        make = mlir.make_ir_context
        shared = functools.cache(make)

        def choose():
            # What is compiled while another program is lowered must not become a part of it.
            return shared() if mlir.ir.Context.current is None else make()

        choose()
        mlir.make_ir_context = choose
        _FORGOTTEN.append(shared.cache_clear)


def _share_rounding():
    """diffrax steps from the end of time to the number below a hundred times in every program."""
    with contextlib.suppress(AttributeError):  # internals of Equinox, which may move
        equinox.internal.prevbefore = jax.jit(equinox.internal.prevbefore)


def _check_annotations():
    """Check annotations and array shapes of the three packages at run time."""
    import jaxtyping

    # The hook looks the checker up as an attribute of a module that must be loaded by then.
    import tests._annotations  # noqa: F401

    jaxtyping.install_import_hook(["pdes", "solvers", "physml"], "tests._annotations.check")


def pytest_collection_modifyitems(items):
    # The longest first: begun last, one would keep a worker busy when the others are done.
    items.sort(key=lambda item: item.path.name != "test_examples.py")


def pytest_collection_finish():
    # Tracing makes many small objects: what is there already is not searched for garbage again.
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


@pytest.fixture(autouse=True, scope="module")
def _bound_memory():
    """Forget compiled programs when they fill the memory, not sooner: files share small ones."""
    yield
    if _gigabytes() > MEMORY:
        jax.clear_caches()
        for forget in _FORGOTTEN:
            forget()
        gc.collect()
        _give_back()


def _give_back():
    """What was freed goes back to the system: the C library of Linux keeps most of it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _gigabytes() -> float:
    """Resident memory of this process; infinite where the system doesn't say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("inf")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


@pytest.fixture
def float32():
    """Run one test in single precision."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of meshes that other tools wrote, beside the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no folder of shared meshes at {folder}")
    return folder
