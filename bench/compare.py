"""Time two installations of fastmlp against each other, in turns within one run.

    python bench/compare.py PYTHON_A PYTHON_B [--cases xor,mnist] [--estimators] [--datasets iris,digits]
                            [--threads 1,all] [--builds all] [--repeats 9] [--seconds 0.3]

PYTHON_A and PYTHON_B are interpreters, each with a fastmlp of its own. Each gets one process per build, which runs this
folder's cases through fastmlp's public interface alone, so that the versions may differ. Ratios are B's time divided by
A's; below 1, B is faster. `--estimators` times the fits of sklearn.py's data sets too, one fit per repeat.
"""

import argparse
import os
import pickle
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from harness.cases import CASES
from harness.datasets import DATASETS, fit
from harness.options import Script, add_list, thread_counts
from harness.records import Record, written
from harness.timing import REST_SECONDS, Ask, Entry, RivalError, time_entries

BUILDS = ("baseline", "x86-64-v3", "x86-64-v4")  # by name, since not every version lists its builds
CHOSEN = "chosen"
LINE = "  {:<16}{:>8}" + "{:>12}{:>12}{:>8}" * 2


# ----------------------------------------------------------------------------------- in the other interpreters


def serve() -> None:
    """Call the functions that come through standard input, and write back what they return."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What libraries print must not come between the replies.
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, function(*arguments)
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, replies, protocol=4)
        replies.flush()


def installation() -> str:
    """Return which fastmlp this process has, or raise if the build that is forced cannot be used."""
    import fastmlp

    fastmlp.Network((1, 1))
    return f"fastmlp {fastmlp.__version__}, {os.path.dirname(fastmlp.__file__)}, Python {sys.version.split()[0]}"


@contextmanager
def interpreter(python: str, build: str) -> Iterator[Ask]:
    """Start an interpreter whose fastmlp has a build forced; yields what has functions called there."""
    forced = {} if build == CHOSEN else {"FASTMLP_BACKEND": build}
    pipe = subprocess.PIPE
    with subprocess.Popen([python, __file__, "--serve"], stdin=pipe, stdout=pipe, env=os.environ | forced) as process:

        def ask(function: Callable[..., Any], *arguments: Any) -> Any:
            try:
                pickle.dump((function, arguments), process.stdin, protocol=4)
                process.stdin.flush()
                done, answer = pickle.load(process.stdout)
            except (EOFError, BrokenPipeError):
                with suppress(BrokenPipeError):  # of the request that it did not read
                    process.stdin.close()
                raise RivalError(f"{python} ended, exit code {process.wait()}") from None
            if not done:
                raise RivalError(answer)
            return answer

        yield ask


# ------------------------------------------------------------------------------------------------ in this one


def time_case(name: str, threads: int, asks: Sequence[Ask], given: argparse.Namespace) -> list[list[float]]:
    """Return the microseconds per step of a case, a list for A and one for B; RivalError if one of them fails."""
    entries = [Entry(CASES[name], "fastmlp", threads, ask) for ask in asks]
    time_entries(entries, given.repeats, given.seconds)
    if problems := [entry.problem for entry in entries if entry.problem]:
        raise RivalError(problems[0])
    return [[seconds / entry.steps * 1e6 for seconds in entry.seconds] for entry in entries]


def time_fits(name: str, _: str, asks: Sequence[Ask], given: argparse.Namespace) -> list[list[float]]:
    """Return the microseconds of an estimator's fits with the same seeds, a list for A and one for B."""
    for ask in asks:
        ask(fit, "fastmlp", name, 0)  # what is loaded late is paid for here
    found: list[list[float]] = [[] for _ in asks]
    for seed in range(given.repeats):
        for times, ask in zip(found, asks, strict=True):
            time.sleep(REST_SECONDS)
            times.append(ask(fit, "fastmlp", name, seed)["seconds"] * 1e6)
    return found


def compare(build: str, given: argparse.Namespace) -> int:
    """Time everything that was asked for with one build; print it, and return how many timings failed."""
    timings = [(time_case, name, threads) for name in given.cases for threads in given.threads]
    if given.estimators:
        timings += [(time_fits, name, "all") for name in given.datasets]
    failed = 0
    with ExitStack() as stack:
        asks = [stack.enter_context(interpreter(python, build)) for python in given.python]
        installations = [f"{side}: {ask(installation)}" for side, ask in zip("AB", asks, strict=True)]
        print(f"\nbuild: {build}", *installations, sep="\n")
        print(LINE.format("µs", "threads", *("median A", "B", "B/A"), *("minimum A", "B", "B/A")), flush=True)
        for action, name, threads in timings:
            try:
                a, b = action(name, threads, asks, given)
            except RivalError as error:
                failed += 1
                print(f"  {name:<16}failed: {str(error).strip().splitlines()[-1]}", flush=True)
                continue
            found = [(of(a), of(b), of(b) / of(a)) for of in (statistics.median, min)]
            print(LINE.format(name, threads, *(written(value, 4) for three in found for value in three)), flush=True)
    return failed


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("python", nargs=2, metavar="PYTHON", help="the interpreters, each with a fastmlp of its own")
    add_list(parser, "--cases", list(CASES), list(CASES))
    parser.add_argument("--estimators", action="store_true", help="time the estimators' fits too")
    add_list(parser, "--datasets", list(DATASETS), list(DATASETS))
    add_list(parser, "--builds", BUILDS, [CHOSEN], "builds that are forced (default: each installation's choice)")
    parser.add_argument("--threads", type=thread_counts, default="1,all", help="numbers of threads (default 1,all)")


def run(given: argparse.Namespace, _: Record) -> int:
    """Compare build by build; return 1 if a timing failed or no build could be timed."""
    failed, timed = 0, 0
    for build in given.builds:
        try:
            failed += compare(build, given)
            timed += 1
        except RivalError as error:
            print(f"\nbuild: {build} left out, since it cannot be used: {error}", flush=True)
    return int(failed > 0 or timed == 0)


SCRIPT = Script(__doc__, run, repeats=9, seconds=0.3, options=options)

if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1:] == ["--serve"] else SCRIPT.main())
