# SPDX-License-Identifier: MIT
# Executed by other interpreters before they do anything, whatever their
# version.
import sys


def load(path, tag, is_root):
    """Load _replace.py without its package and let it replace modules, if
    this is the kind of interpreter that `tag` means."""
    implementation = getattr(sys, "implementation", None)
    if not tag or getattr(implementation, "cache_tag", None) != tag:
        return
    from importlib.util import module_from_spec, spec_from_file_location
    module = sys.modules.get("shmkit._replace")
    if module is None:
        spec = spec_from_file_location("shmkit._replace", path)
        module = module_from_spec(spec)
        sys.modules["shmkit._replace"] = module
        spec.loader.exec_module(module)
    module.arm(is_root)
