#!/usr/bin/env bash
# Installs what Athanor needs on Debian 12 or Ubuntu 24.04, from the distribution's own packages.
# Does nothing, quickly and without network, when all is there. Usage: setup.sh [--build-only | --full]
#   --build-only   what builds and runs the program; not what tests and checks need
#   --full         what .ci/full needs beyond the tests: clang, libFuzzer and strace
set -euo pipefail

# The distribution's own clang: 14 on Debian 12, 18 on Ubuntu 24.04.
clang_version() {
  if grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; then echo 18; else echo 14; fi
}

build=(build-essential cmake ninja-build pkg-config
       libcli11-dev libgrpc++-dev libhwloc-dev libopenmpi-dev libpcre2-dev libprotobuf-dev libspdlog-dev liburing-dev
       libutf8proc-dev libxxhash-dev libyaml-cpp-dev libzstd-dev nlohmann-json3-dev protobuf-compiler
       protobuf-compiler-grpc
       openmpi-bin openssh-client)  # mpirun does not start without ssh, even on one host
checks=(clang-format-14 git libboost-context-dev libgtest-dev python3 python3-yaml shellcheck)
full=(iproute2 strace clang "libclang-rt-$(clang_version)-dev")

packages=("${build[@]}")
case ${1:-} in
  --build-only) ;;
  "") packages+=("${checks[@]}") ;;
  --full) packages+=("${checks[@]}" "${full[@]}") ;;
  *) echo "usage: setup.sh [--build-only | --full]" >&2; exit 2 ;;
esac

if ! command -v apt-get dpkg-query >/dev/null; then
  echo "setup.sh: no apt here; install the equivalents of: ${packages[*]}" >&2
  exit 1
fi
missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "setup.sh: installing ${missing[*]}"
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q
         -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
"${apt_get[@]}" update </dev/null
"${apt_get[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
