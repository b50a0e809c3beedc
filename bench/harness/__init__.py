"""What the benchmark's scripts share: cases, rivals, timing, records, command lines.

`bench/sklearn.py` has the name of what it measures. The scripts' folder is therefore searched after all others, where
scikit-learn comes first.
"""

import sys
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.sort(key=lambda entry: Path(entry).resolve() == _SCRIPTS)  # stable: nothing else changes its place
