#!/usr/bin/env bash
# usage: tools/setup.sh GROUP...
#
# Installs what the groups of requirements/ name: Debian packages through apt (only what is missing,
# with sudo only when not root) and pinned Python packages into .venv. Quick when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=.venv
log=build/setup.log
mkdir -p build

say() { printf '==> %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
show() { grep -E "$1" || true; } # the lines that match; none is no failure
lines() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "not root and no sudo; please run as root: $*"
    fi
}

install_apt() {
    local missing=() name
    for name in $(lines "$1"); do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "apt: ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    if [ -z "${apt_updated:-}" ]; then
        as_root "${apt[@]}" update >>"$log" 2>&1 ||
            say "apt-get update failed; going on with the package lists at hand ($log)"
        apt_updated=1
    fi
    as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" 2>&1 | tee -a "$log" |
        show '^(Need to get|Fetched|E:|Err)' ||
        die "apt could not install: ${missing[*]} (the end of $log says why)"
}

make_venv() {
    [ ! -x $venv/bin/python ] || ! $venv/bin/python -m pip --version >/dev/null 2>&1 || return 0
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "Python 3.11 or newer is needed, $python is $("$python" -V 2>&1); set PYTHON="
    say "creating $venv with $("$python" -V)"
    "$python" -m venv --clear $venv >>"$log" 2>&1 ||
        die "'$python -m venv $venv' failed (the end of $log says why)"
}

install_pip() {
    local extra=()
    # PyPI's PyTorch carries the CUDA libraries, gigabytes that the tests do not use.
    if grep -q '^torch==' "$1" && ! $venv/bin/python -c 'import torch' 2>/dev/null &&
        $venv/bin/python -c 'import urllib.request as r
r.urlopen("https://download.pytorch.org/whl/cpu/torch/", timeout=5)' 2>/dev/null; then
        extra=(--extra-index-url https://download.pytorch.org/whl/cpu)
    fi
    say "pip: $(lines "$1" | tr '\n' ' ')"
    $venv/bin/python -m pip install --no-input --disable-pip-version-check --progress-bar off \
        "${extra[@]}" -r "$1" 2>&1 | tee -a "$log" |
        show '^ *(Downloading .*\(.*MB\)|Building|ERROR|error)' ||
        die "pip could not install $1 (the end of $log says why); is the package index reachable?"
}

[ $# -gt 0 ] || die "usage: tools/setup.sh GROUP..., one of requirements/GROUP.txt"
for group in "$@"; do
    [ -e "requirements/$group.txt" ] || [ -e "requirements/apt-$group.txt" ] ||
        die "no such group: $group"
    stamp=$venv/.setup-$group
    digest=$(cat tools/setup.sh requirements/{,apt-}"$group".txt 2>/dev/null | sha256sum || true)
    if [ -x $venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$digest" ]; then
        continue
    fi
    [ ! -e "requirements/apt-$group.txt" ] || if command -v apt-get >/dev/null; then
        install_apt "requirements/apt-$group.txt"
    else
        say "no apt-get here; needed by name: $(lines "requirements/apt-$group.txt" | tr '\n' ' ')"
    fi
    make_venv
    [ ! -e "requirements/$group.txt" ] || install_pip "requirements/$group.txt"
    printf '%s\n' "$digest" >"$stamp"
done
