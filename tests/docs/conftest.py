"""Makes tools/ importable, as it is for whoever runs `python tools/reference.py` in the repository."""

import sys

from tests.docs.pages import ROOT

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
