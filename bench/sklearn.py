"""Time fastmlp.sklearn against scikit-learn's own estimators: `estimators.py`, under the name that is looked for.

    python bench/sklearn.py [--datasets digits,letters] [--seeds 5] [--out FILE.csv]

Where one of these scripts runs, this folder is searched before all others: what wants scikit-learn finds this file,
which then makes way for it.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

if __name__ == "sklearn":
    elsewhere = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]
    specification = importlib.machinery.PathFinder.find_spec("sklearn", elsewhere)
    if specification is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    sys.modules["sklearn"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(sys.modules["sklearn"])
elif __name__ == "__main__":
    from estimators import main

    sys.exit(main(sys.argv[1:]))
