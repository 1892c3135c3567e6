#!/usr/bin/env python3
"""Checks the layers of the tree by its #include lines; prints one line per offence, exits 1.

A file may include what its own folder and the folders named for it in MAY_INCLUDE hold. Libraries
other than the C++ and C ones stay out of headers, except for the internal headers listed in
HEADERS_WITH_LIBRARIES. Every own include is written from the root of the tree and exists.
"""
import re
import subprocess
import sys
from pathlib import Path

# The same arrows as the LINK lists of the CMakeLists.txt files. Tests and benchmarks may use all.
MAY_INCLUDE = {
    "core": set(),
    "kernels": {"core"},
    "sharding": {"core", "kernels"},
    "runtime/config": {"core"},
    "runtime/io": {"core"},
    "runtime/data": {"core"},
    "runtime/report": {"core", "runtime/io"},
    "runtime/model": {"core", "kernels", "sharding", "runtime/io", "runtime/data"},
    "runtime/optim": {"core", "kernels", "sharding"},
    "runtime/checkpoint": {"core", "kernels", "sharding", "runtime/config", "runtime/io",
                           "runtime/optim", "proto"},
    "runtime/train": {"core", "kernels", "sharding", "runtime/config", "runtime/io",
                      "runtime/data", "runtime/report", "runtime/model", "runtime/optim",
                      "runtime/checkpoint", "proto"},
    "launcher": {"core", "kernels", "sharding", "runtime/config", "runtime/io", "runtime/data",
                 "runtime/model", "runtime/optim", "runtime/checkpoint", "runtime/train", "proto"},
    "proto": set(),
}
FREE = {"tests", "bench"}

# Internal headers: included by .cpp files of their own folder only, but for those that others share.
HEADERS_WITH_LIBRARIES = {
    "runtime/data/json_field.h": {"nlohmann/json_fwd.hpp"},
    "runtime/data/json_text.h": {"nlohmann/json_fwd.hpp"},
    "runtime/io/strict_json.h": {"nlohmann/json.hpp"},
    "runtime/model/families/json_reader.h": {"nlohmann/json.hpp"},
}
SHARED = {"runtime/io/strict_json.h"}
LIBRARY = re.compile(r"^(nlohmann|yaml-cpp|spdlog|fmt|CLI|gtest|gmock|grpcpp?|google|proto)/|^(mpi|pcre2|nccl|liburing|xxhash)")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def layer(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "runtime" and len(parts) > 2 else parts[0]


def offences(path, text, tracked):
    own = layer(path)
    if own not in MAY_INCLUDE and own not in FREE:
        yield 0, f"folder {own} is not in MAY_INCLUDE of tools/check_includes.py"
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, name = match.groups()
        if kind == '"':
            if name not in tracked:
                yield number, f"{name} is not a file of this tree, named from its root"
                continue
            target = layer(name)
            if own not in FREE and target != own and target not in MAY_INCLUDE[own]:
                yield number, f"{own} may not include {name}"
            elif target != own and name in HEADERS_WITH_LIBRARIES.keys() - SHARED and own not in FREE:
                yield number, f"{name} is internal to {target}"
        elif path.endswith(".h") and own not in FREE and LIBRARY.search(name):
            if name not in HEADERS_WITH_LIBRARIES.get(path, set()):
                yield number, f"<{name}> in a public header"


def main():
    root = Path(__file__).resolve().parent.parent
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard",
         "*.h", "*.cpp", "*.cu", "*.cuh"],
        cwd=root, check=True, capture_output=True, text=True).stdout
    tracked = {name for name in listing.splitlines() if (root / name).is_file()}
    found = 0
    for path in sorted(tracked):
        for number, message in offences(path, (root / path).read_text(encoding="utf-8"), tracked):
            print(f"{path}:{number}: {message}")
            found += 1
    print(f"check_includes: {len(tracked)} files, {found} offences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
