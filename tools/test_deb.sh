#!/usr/bin/env bash
# Tries the .deb where it is meant to be: in fresh roots of Debian 12 and 13 (debootstrap), with systemd as their process 1,
# in namespaces of their own. Installs, runs (a board on a noisy pseudo-terminal, the gateway, a program that wants its
# messages), kills, upgrades, removes, installs again, purges; prints a line for each thing that holds. `make deb-test`.
#
#   sudo tools/test_deb.sh [bookworm] [trixie]        both, when none is named
#
# MIRROR         Debian's archive (http://deb.debian.org/debian)
# ROOTS          where the bare roots are kept for the next time, 300 MB each (build/deb-roots)
# PYTHON         builds the package (.venv/bin/python)
# Needs root, debootstrap, util-linux, 2 GB in ROOTS, the archive; nothing of this machine is changed.
set -euo pipefail
cd "$(dirname "$0")/.."

MIRROR=${MIRROR:-http://deb.debian.org/debian}
ROOTS=${ROOTS:-$PWD/build/deb-roots}
PYTHON=${PYTHON:-.venv/bin/python}
BARE=ca-certificates,systemd,systemd-sysv,dbus,udev,adduser
COUNT=300 # messages of the board

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || die "this needs root: it boots Debian in namespaces of its own"
command -v debootstrap >/dev/null || die "no debootstrap: apt-get install debootstrap"
mkdir -p "$ROOTS"
work=$(mktemp -d "$ROOTS/try.XXXXXX")
root=
init=
at=
group= # of processes

# inside COMMAND...: in the root that is tried, beside its systemd.
inside() { nsenter -t "$init" -m -p -u -i -n -C -- "$@"; }

shut_down() {
    if [ -n "$init" ]; then
        kill -KILL "$init" 2>/dev/null || true # its namespace ends with it
        while kill -0 "$init" 2>/dev/null; do sleep 0.1; done
        init=
        [ -z "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    fi
}
trap 'shut_down; rm -rf "$work"' EXIT

# fetch DEB: what it depends on comes into the root while that has this machine's network.
fetch() {
    local log=$work/fetch.log
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    if ! { chroot "$root" apt-get -q update && chroot "$root" apt-get -q -y --no-install-recommends --download-only install \
        "$1"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "what the package depends on cannot be fetched"
    fi
}

# boot: the root's systemd runs, in a network of its own that leads nowhere.
boot() {
    local cgroup
    printf '127.0.0.1 localhost pi\n' >"$root/etc/hosts" # an installer writes it, debootstrap does not
    for cgroup in /sys/fs/cgroup/unified /sys/fs/cgroup; do [ -e $cgroup/cgroup.procs ] && break; done
    group=$cgroup/mqttlite-$at
    mkdir -p "$group"
    (
        sh -c 'echo $PPID' >"$group/cgroup.procs"
        exec unshare -m -p -f -u -i -n -C --propagation private bash -ec '
            root=$1
            python3 -c "import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sH14x\", b\"lo\", 0x49)) # lo is up"
            mount --bind "$root" "$root"
            mount -t proc proc "$root/proc"
            mount -t sysfs -o ro sysfs "$root/sys"
            mount -t tmpfs tmpfs "$root/sys/fs/cgroup" 2>/dev/null || true
            mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
            mount -t tmpfs -o mode=755 tmpfs "$root/dev"
            for name in null zero full random urandom tty; do cp -a /dev/$name "$root/dev/"; done
            mkdir "$root/dev/pts" "$root/dev/shm"
            mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
            ln -s pts/ptmx "$root/dev/ptmx"
            ln -s /proc/self/fd "$root/dev/fd"
            mount -t tmpfs tmpfs "$root/dev/shm"
            mount -t tmpfs -o mode=755 tmpfs "$root/run"
            mount -t tmpfs tmpfs "$root/tmp"
            hostname pi
            cd "$root"
            mkdir -p .old
            pivot_root . .old
            umount -l /.old
            mount --make-rshared / # as on a machine: credentials are mounted beside the service and have to be seen by it
            exec env -i container=mqttlite PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
                /lib/systemd/systemd --system --log-target=console --show-status=0 --unit=multi-user.target
        ' _ "$root" </dev/null >"$work/boot.log" 2>&1
    ) &
    local unshare=$! tries=0
    until init=$(pgrep -P "$unshare") && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { cat "$work/boot.log" >&2 && die "systemd does not start in $root"; }
        sleep 0.1
    done
}

# ok WHAT COMMAND...: COMMAND holds.
ok() {
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        printf 'ok     %-8s  %s\n' "$at" "$what"
    else
        printf 'WRONG  %-8s  %s\n' "$at" "$what"
        sed 's/^/           /' "$work/said" | tail -n 30
        inside journalctl --no-pager -n 40 -u 'mqttlite*' 2>/dev/null | sed 's/^/           /' || true
        exit 1
    fi
}

no() { ! "$@"; }
says() { { inside sh -c "$2" || true; } | grep -qxE "$1"; }                  # a line of what it prints
mode() { [ "$(inside stat -c '%a %U:%G' "$1")" = "$2" ]; }
state() { [ "$(inside systemctl is-active "$1")" = "$2" ]; }
journal() { inside journalctl --no-pager -o cat -u mqttlite-gateway | grep -qE "$1"; }
at_most() { awk "BEGIN { exit !($1 <= $2) }"; }
exposure() { inside systemd-analyze security --no-pager "$1" | sed -nE 's/.*exposure level[^0-9]*([0-9.]+).*/\1/p'; }
apt() { inside env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends "$@"; }

# until_true COMMAND...: within 30 s.
until_true() {
    local tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || return 1
        sleep 0.1
    done
}

main_pid() { inside systemctl show -p MainPID --value mqttlite-gateway; }

# inbox SECONDS: the program that wants the messages is there for so long; what came, a number a line, is in /inbox.
inbox() { inside sh -c "timeout $1 mqttlite sub -c -i inbox -q 2 -t 'sensors/#' >>/inbox 2>/inbox.log || true"; }

published() { [ "$(grep -c published "$work/board" || true)" -ge "$1" ]; }
all_there() { [ "$(inside sh -c 'wc -l </inbox')" -ge "$1" ]; }
in_order() { diff <(seq 0 $(($1 - 1))) <(inside cat /inbox); }

settings() {
    inside sh -c 'cat >/etc/mqttlite/gateway.toml' <<'TOML'
# changed by whoever owns this machine
mode = "bridge"

[[serial]]
path = "/dev/ttyTEST0"
TOML
}

try() {
    local board before
    ok "the package and what it depends on install" apt install /packages/old.deb
    ok "$(inside mqttlite --version), Python $(inside python3 -c 'import sys; print(sys.version.split()[0])')" true
    ok "there is a user and a group mqttlite" inside getent passwd mqttlite
    ok "settings are root's and the service's alone" mode /etc/mqttlite/gateway.toml "640 root:mqttlite"
    ok "settings that came with it are in order" inside mqttlite gateway --config /etc/mqttlite/gateway.toml --test-config
    ok "the gateway runs, and has said so to systemd" until_true state mqttlite-gateway active
    ok "it starts with the machine" says enabled "systemctl is-enabled mqttlite-gateway"
    ok "its log is in the journal with fields" says 'control socket .*' \
        "journalctl -o cat SYSLOG_IDENTIFIER=mqttlite-gateway LOGGER=mqttlite.broker | grep -o 'control socket .*'"
    ok "mqttlite doctor finds it and its version" says "ok +gateway .*" "mqttlite doctor --only gateway"
    ok "mqttlite ctl reaches it" inside mqttlite ctl status
    ok "a broker that nobody has asked for does not" says disabled "systemctl is-enabled mqttlite-broker"
    ok "systemd-analyze security: gateway $(exposure mqttlite-gateway), broker $(exposure mqttlite-broker)" \
        at_most "$(exposure mqttlite-gateway)" 2.0
    ok "its page answers" inside python3 -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/')"
    ok "its queues are the service's alone" mode /var/lib/mqttlite "700 mqttlite:mqttlite"
    ok "it is confined: no new privileges, no capabilities, system calls filtered" says \
        'NoNewPrivs:.1|CapEff:.0+|Seccomp:.2' "grep -E 'NoNewPrivs|CapEff|Seccomp:' /proc/$(main_pid)/status"

    inside systemctl stop mqttlite-gateway
    ok "systemd listens in its place (socket activation)" inside systemctl enable --now mqttlite-gateway.socket
    ok "and starts it for the first who comes" inside mqttlite pub -q 2 -t a -m b
    ok "while it is started again, nobody is refused" inside sh -c \
        "systemctl restart --no-block mqttlite-gateway; mqttlite pub -q 2 -t a -m b"
    ok "nothing that systemd listens on is left alone" no journal 'no setting says that it does'
    ok "systemd listens no more" inside systemctl disable --now mqttlite-gateway.socket
    ok "mqttlite broker init makes users and certificates" inside mqttlite broker init /etc/mqttlite --group mqttlite
    inside systemctl stop mqttlite-gateway # which has the same port
    ok "the broker alone runs with them, confined" inside systemctl start mqttlite-broker
    inside systemctl stop mqttlite-broker
    inside sh -c "cd /etc/mqttlite && ls -A | grep -vx -e gateway.toml -e secrets | xargs rm -r"
    settings
    inside systemctl restart mqttlite-gateway
    ok "with settings of the owner's it runs" until_true state mqttlite-gateway active
    inbox 3
    inside python3 - /dev/ttyTEST0 $COUNT <tools/deb/board.py >"$work/board" 2>&1 &
    board=$!
    ok "a board on a noisy line has its messages confirmed" until_true published 20
    inbox 2
    before=$(main_pid)
    inside sh -c "kill -KILL $before"
    ok "killed (kill -9), the gateway is started again" until_true sh -c \
        "p=\$(nsenter -t $init -m -p -u -i -n -C -- systemctl show -p MainPID --value mqttlite-gateway); [ \$p != 0 ] && [ \$p != $before ]"
    ok "and the board goes on" until_true published 60
    before=$(main_pid)
    ok "the new package installs over the running one" apt install /packages/new.deb
    ok "the gateway runs again: another process" [ "$(main_pid)" != "$before" ]
    ok "the owner's settings are as they were" inside grep -q "changed by whoever owns this machine" /etc/mqttlite/gateway.toml
    ok "and the board goes on" until_true published 120
    inbox 2
    wait "$board" || { cat "$work/board" >&2 && die "the board has failed"; }
    ok "the board: $(tail -n 1 "$work/board")" grep -q "all confirmed" "$work/board"
    inbox 4
    ok "each of $COUNT messages of QoS 2 came once, in order, over kill -9 and upgrade" in_order $COUNT

    inside mqttlite pub -q 2 -t sensors/number -m 300
    inside mqttlite pub -q 2 -t sensors/number -m 301
    ok "two more wait for a program that is away" says 2 "mqttlite store count /var/lib/mqttlite/gateway.db"
    ok "it is removed" apt remove mqttlite
    ok "its service has ended" no state mqttlite-gateway active
    ok "queue and settings are still there" inside test -e /var/lib/mqttlite/gateway.db -a -e /etc/mqttlite/gateway.toml
    ok "nothing of the program is" no inside test -e /usr/lib/python3/dist-packages/mqttlite
    ok "it is installed again" apt install /packages/new.deb
    ok "and runs" until_true state mqttlite-gateway active
    inbox 4
    ok "the two messages come" in_order $((COUNT + 2))

    ok "a backup is made while it runs" inside mqttlite gateway --backup /pi.tar.gz
    inside mqttlite pub -q 2 -t sensors/number -m 302
    ok "a purge that nobody answers" apt purge mqttlite
    ok "deletes no message that is not delivered" inside test -e /var/lib/mqttlite/gateway.db
    ok "the settings are gone" no inside test -e /etc/mqttlite/gateway.toml
    apt install /packages/new.deb >/dev/null 2>&1
    inside sh -c "echo mqttlite mqttlite/purge_undelivered boolean true | debconf-set-selections"
    ok "a purge that is answered with yes" apt purge mqttlite
    ok "leaves nothing behind" no inside sh -c "ls -d /var/lib/mqttlite* /etc/mqttlite* /usr/bin/mqttlite 2>/dev/null"

    inside python3 -m venv --system-site-packages --without-pip /opt/mqttlite
    inside sh -c "python3 -m zipfile -e /packages/*.whl /opt/mqttlite/lib/python3*/site-packages/"
    inside sh -c "printf '#!/opt/mqttlite/bin/python3\nimport sys\nfrom mqttlite.cli import main\nsys.exit(main())\n' >/opt/mqttlite/bin/mqttlite"
    inside chmod +x /opt/mqttlite/bin/mqttlite
    ok "the wheel alone makes a service of itself" inside /opt/mqttlite/bin/mqttlite gateway --install
    ok "which runs" until_true state mqttlite-gateway active
    ok "again, there is nothing to do" says 'there already: the gateway starts now' "/opt/mqttlite/bin/mqttlite gateway --install"
    ok "and takes itself away" inside /opt/mqttlite/bin/mqttlite gateway --uninstall
    ok "its service has ended" no state mqttlite-gateway active
}

[ $# -gt 0 ] || set -- bookworm trixie
began=$SECONDS
"$PYTHON" -m hatchling build -t wheel -d "$work/wheel" >/dev/null
"$PYTHON" -m tools.deb.build --into "$work/old" --wheel "$work"/wheel/*.whl >/dev/null
old=$(echo "$work"/old/*.deb)
version=$(dpkg-deb -f "$old" Version)
"$PYTHON" -m tools.deb.build --into "$work/again" >/dev/null
at=build
ok "twice built, the package has the same bytes: $(sha256sum <"$old" | cut -c1-16)…" cmp "$old" "$work"/again/*.deb
"$PYTHON" -m tools.deb.build --into "$work/new" --version "$version+next" --wheel "$work"/wheel/*.whl >/dev/null
for suite in "$@"; do
    at=$suite
    if [ ! -e "$ROOTS/$suite/.complete" ]; then
        rm -rf "${ROOTS:?}/$suite"
        debootstrap --variant=minbase --include=$BARE "$suite" "$ROOTS/$suite" "$MIRROR" >"$work/debootstrap.log" 2>&1 ||
            { tail -n 20 "$work/debootstrap.log" >&2 && die "debootstrap of $suite has failed"; }
        touch "$ROOTS/$suite/.complete"
    fi
    root=$work/$suite
    cp -a "$ROOTS/$suite" "$root"
    mkdir -p "$root/packages"
    cp "$old" "$root/packages/old.deb"
    cp "$work"/new/*.deb "$root/packages/new.deb"
    cp "$work"/wheel/*.whl "$root/packages/"
    fetch /packages/old.deb
    boot
    ok "Debian $(cat "$root/etc/debian_version"), systemd $(inside systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p') is process 1" true
    try
    shut_down
    rm -rf "$root"
done
at=
printf 'all is well: %s, in %d s\n' "$*" $((SECONDS - began))
