# SPDX-License-Identifier: MIT
"""Tell the build about this interpreter: a line each for the folder of its
headers, the ending of its extensions, and the folder of packages below the
prefix."""

import sysconfig

print(sysconfig.get_path("include"))
print(sysconfig.get_config_var("EXT_SUFFIX").lstrip("."))
print(sysconfig.get_path(
    "platlib", vars={"platbase": "", "base": "", "installed_platbase": "",
                     "installed_base": ""}).lstrip("/"))
