"""Time fastmlp.sklearn against scikit-learn's own estimators: `estimators.py`, under the name that is looked for.

python bench/sklearn.py [--datasets digits,letters] [--seeds 5] [--out FILE.csv]
"""

import sys

if __name__ == "sklearn":  # imported in the place of scikit-learn, which is not installed
    raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
if __name__ == "__main__":
    from estimators import SCRIPT

    sys.exit(SCRIPT.main())
