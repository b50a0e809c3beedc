"""The kernels' builds: one extension for each dtype and instruction set, all from src/fastmlp/_kernels.pyx.

Everything else about the package stands in pyproject.toml.
"""

import os
import platform
import re
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src/fastmlp")
WRAPPERS = Path("build/wrappers")

sys.path.insert(0, str(SOURCE.resolve()))  # importing fastmlp itself would need the kernels
from _spec import generate  # noqa: E402

# Instruction set -> (bytes of a vector, compiler flags). Levels as in the x86-64 psABI; the baseline is what every
# machine of the architecture has, with its usual vectors.
INSTRUCTION_SETS = {"baseline": (16, [])}
if platform.machine().lower() in ("x86_64", "amd64"):
    # prefetchw is not part of the levels, but every processor of level 3 takes it, if only as a hint that it ignores.
    INSTRUCTION_SETS["x86-64-v3"] = (32, ["-march=x86-64-v3", "-mprfchw"])
    # GCC and Clang prefer 32-byte vectors at this level in what they vectorise themselves; our own are 64 bytes.
    INSTRUCTION_SETS["x86-64-v4"] = (64, ["-march=x86-64-v4", "-mprfchw", "-mprefer-vector-width=512"])

# One instruction set is enough for trying a kernel: FASTMLP_BUILDS=x86-64-v3 builds that one alone.
if only := os.environ.get("FASTMLP_BUILDS"):
    if unknown := set(only.split(",")) - set(INSTRUCTION_SETS):
        raise SystemExit(
            f"FASTMLP_BUILDS: got {', '.join(unknown)}; of {', '.join(INSTRUCTION_SETS)} some are accepted"
        )
    INSTRUCTION_SETS = {name: INSTRUCTION_SETS[name] for name in only.split(",")}

FLAGS = [
    "-O3",
    "-fno-math-errno",  # sqrt is one instruction; errno is never read
    "-fno-trapping-math",  # both sides of a select may be computed; floating point traps stay masked
    "-ffp-contract=fast",  # a * b + c is one rounding where the machine has it: GCC's default, not Clang's
    "-fvisibility=hidden",  # the module's init function is all that a loader needs to see
]

MACROS = [
    # Tiles are inlined functions whose sizes are constants: left to its own guess, the compiler does not inline
    # them, and accumulators go through memory.
    ("CYTHON_INLINE", "__inline__ __attribute__((always_inline))"),
]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,  # the arrays were checked at the edge
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,  # C's division: no test for zero in an inner loop
    "embedsignature": False,
}


class BuildKernels(build_ext):
    """build_ext that refuses a compiler without vector extensions before it fails in a thousand lines."""

    def build_extensions(self) -> None:
        """Refuse MSVC, else build."""
        if self.compiler.compiler_type == "msvc":
            raise SystemExit(
                "fastmlp: MSVC has no vector extension, which the kernels are written with; build with GCC or Clang "
                "(on Windows: MinGW-w64, `pip install . --config-settings=--build-option=--compiler=mingw32`)"
            )
        super().build_extensions()


def wrapper(bits: int, instruction_set: str) -> Extension:
    """Return one build: a source of one line that includes the kernels, and macros that choose dtype and vectors."""
    vector_bytes, flags = INSTRUCTION_SETS[instruction_set]
    name = f"_kernels_float{bits}_{re.sub('[^0-9a-z]', '_', instruction_set)}"
    source = WRAPPERS / f"{name}.pyx"
    text = 'include "_kernels.pyx"\n'
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    parts = [*SOURCE.glob("*.pyx"), *SOURCE.glob("kernels/*"), *WRAPPERS.glob("*.pxi")]
    return Extension(
        f"fastmlp.{name}",
        [str(source)],
        include_dirs=[str(SOURCE)],
        depends=[str(part) for part in sorted(parts)],
        define_macros=[("REAL_BITS", str(bits)), ("VECTOR_BYTES", str(vector_bytes)), *MACROS],
        extra_compile_args=FLAGS + flags,
        language="c",
    )


if sys.maxsize <= 2**32:
    raise SystemExit("fastmlp: a 64-bit Python is needed; this one is 32-bit")

generate.write(WRAPPERS)
setup(
    ext_modules=cythonize(
        [wrapper(bits, instruction_set) for bits in (32, 64) for instruction_set in INSTRUCTION_SETS],
        include_path=[str(SOURCE), str(WRAPPERS)],
        compiler_directives=DIRECTIVES,
        force=True,  # Cython's own dependency check does not see through the wrapper's include
    ),
    cmdclass={"build_ext": BuildKernels},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
