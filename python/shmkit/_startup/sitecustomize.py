# SPDX-License-Identifier: MIT
# Imported by every Python that is started below `python -m shmkit run`, of
# whatever version: replace the modules if it is the right kind, then be gone
# and let the sitecustomize that the user has come.
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
scope = {}  # type: dict
with open(os.path.join(here, "load.py")) as code:
    exec(compile(code.read(), code.name, "exec"), scope)
scope["load"](os.path.join(os.path.dirname(here), "_replace.py"),
              os.environ.get("SHMKIT_RUN"), True)
sys.path[:] = [one for one in sys.path if one != here]
del sys.modules["sitecustomize"]
__import__("sitecustomize")
