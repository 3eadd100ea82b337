#!/bin/sh
# Installs a built k3s (dist/k3s) on this machine as a systemd service.
#
#   ./install.sh [server flags…]
#
# Variables, as in k3s:
#   INSTALL_K3S_DIST          folder with the executable; default: dist beside this script
#   INSTALL_K3S_BIN_DIR       where the command goes; default /usr/local/bin
#   INSTALL_K3S_SYSTEMD_DIR   where unit and environment go; default /etc/systemd/system
#   INSTALL_K3S_NAME          the service becomes k3s-<name>; default k3s
#   INSTALL_K3S_EXEC          further arguments, before those of the command line
#   INSTALL_K3S_SKIP_ENABLE   true: write files only
#   INSTALL_K3S_SKIP_START    true: enable, but do not start
# All exported K3S_*, CONTAINERD_* and proxy variables are kept in the service's environment file.
set -eu

info() { echo "[INFO]  $*"; }

fatal() {
    echo "[ERROR] $1" >&2
    echo "        $2" >&2
    exit 1
}

# Quotes a word for a unit file, where $ and % mean something.
unit_quote() {
    printf '"%s"' "$(printf '%s' "$1" | sed -e 's/[\\"]/\\&/g' -e 's/%/%%/g' -e 's/\$/$$/g')"
}

check_machine() {
    [ "$(id -u)" = 0 ] || fatal "Cannot install k3s: not root" "Run this script as root, for instance with sudo"
    [ "$(uname -m)" = x86_64 ] || fatal "Cannot install k3s: no programs for $(uname -m)" "Use an x86_64 machine"
    [ -x "$dist/k3s" ] || fatal "Cannot install k3s: \"$dist/k3s\" is missing" "Build it first, or name its folder in INSTALL_K3S_DIST"
    case $service in
        *[!a-zA-Z0-9_-]*) fatal "Cannot install service \"$service\": odd characters in INSTALL_K3S_NAME" "Use letters, digits, - and _" ;;
    esac
    if [ "$skip_enable" != true ] && ! command -v systemctl >/dev/null 2>&1; then
        fatal "Cannot install service \"$service\": no systemd" "Set INSTALL_K3S_SKIP_ENABLE=true and start \"k3s server\" by other means"
    fi
}

# The new file is complete before it takes the place of the old one, which runs on until it is restarted.
install_files() {
    mkdir -p "$bin_dir"
    cp "$dist/k3s" "$bin_dir/.k3s-new"
    chmod 755 "$bin_dir/.k3s-new"
    mv -fT "$bin_dir/.k3s-new" "$bin_dir/k3s"
    for tool in kubectl crictl ctr; do
        if ! command -v "$tool" >/dev/null 2>&1; then ln -s k3s "$bin_dir/$tool"; fi
    done
    info "Installed $("$bin_dir/k3s" --version | head -n 1) as $bin_dir/k3s"
}

write_environment() {
    umask_before=$(umask)
    umask 077
    env | grep -E '^(K3S_|CONTAINERD_|(no|http|https)_proxy=|(NO|HTTP|HTTPS)_PROXY=)' >"$env_file.new" || true
    umask "$umask_before"
    mv -f "$env_file.new" "$env_file"
}

write_unit() {
    arguments=server
    for word in ${INSTALL_K3S_EXEC:-}; do arguments="$arguments $(unit_quote "$word")"; done
    for word in "$@"; do arguments="$arguments $(unit_quote "$word")"; done
    umask_before=$(umask)
    umask 077 # arguments may hold a token
    cat >"$unit_file.new" <<EOF
[Unit]
Description=Lightweight Kubernetes
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-$env_file
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=$bin_dir/k3s $arguments
EOF
    umask "$umask_before"
    mv -f "$unit_file.new" "$unit_file"
}

start_service() {
    if [ "$skip_enable" = true ]; then return; fi
    systemctl daemon-reload
    systemctl enable "$service" >/dev/null
    if [ "$skip_start" = true ]; then return; fi
    info "Starting $service; follow it with: journalctl -fu $service"
    systemctl restart "$service"
}

main() {
    here=$(cd "$(dirname "$0")" && pwd)
    dist=${INSTALL_K3S_DIST:-$here/dist}
    bin_dir=${INSTALL_K3S_BIN_DIR:-/usr/local/bin}
    systemd_dir=${INSTALL_K3S_SYSTEMD_DIR:-/etc/systemd/system}
    skip_enable=${INSTALL_K3S_SKIP_ENABLE:-false}
    skip_start=${INSTALL_K3S_SKIP_START:-false}
    service=k3s${INSTALL_K3S_NAME:+-$INSTALL_K3S_NAME}
    unit_file=$systemd_dir/$service.service
    env_file=$unit_file.env

    check_machine
    install_files
    mkdir -p "$systemd_dir"
    write_environment
    write_unit "$@"
    start_service
}

main "$@"
