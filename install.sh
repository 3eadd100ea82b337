#!/bin/sh
# Installs k3s on this machine as a service of systemd or OpenRC, and changes an installation that is there.
#
#   curl -sfL URL/install.sh | sh -                      a server
#   curl -sfL URL/install.sh | sh -s - server --FLAG …   a server with flags
#   curl -sfL URL/install.sh | K3S_URL=… K3S_TOKEN=… sh -   an agent
#   ./install.sh --dry-run …                             tells what would change, and changes nothing
#
# The executable comes from a release server, from a folder that `build` left, or is there already. It is verified, and checks
# the arguments, before anything of an earlier installation is touched.
#
# What to install:
#   INSTALL_K3S_MIRROR, INSTALL_K3S_ARTIFACT_URL  address of the releases (the first wins); default RELEASES_URL below
#   INSTALL_K3S_VERSION           release, such as v1.30.1+k3s1; else the newest of the channel
#   INSTALL_K3S_CHANNEL           default stable
#   INSTALL_K3S_CHANNEL_URL       address of the channels; default <releases>/channels
#   INSTALL_K3S_COMMIT, INSTALL_K3S_PR  builds between releases: <releases>/commit-<id>, <releases>/pr-<number>
#   INSTALL_K3S_DIST              folder with the executable that `build` left; default: dist beside this script, when nothing above is given
#   INSTALL_K3S_SKIP_DOWNLOAD     true or binary: the executable is in the folder of commands already
#   INSTALL_K3S_IMAGES            image archive, or folder of them, for a machine without internet
# Where and how:
#   INSTALL_K3S_BIN_DIR           folder of commands; default /usr/local/bin, or /opt/bin where only that can be written
#   INSTALL_K3S_BIN_DIR_READ_ONLY true: write nothing there
#   INSTALL_K3S_SYSTEMD_DIR       folder of unit and environment; default /etc/systemd/system
#   TRANSACTIONAL_UPDATE          true, as transactional-update sets it: the service starts with the next start of the machine
#   INSTALL_K3S_EXEC              command and flags, before those of the command line; quotes as in a shell
#   INSTALL_K3S_NAME              the service becomes k3s-<name>
#   INSTALL_K3S_TYPE              type of the systemd service; default notify
#   INSTALL_K3S_SYMLINK           skip or force; default: those of kubectl, ctr and crictl that the executable holds and the machine has not
#   INSTALL_K3S_SKIP_ENABLE       true: write files only
#   INSTALL_K3S_SKIP_START        true: enable, but do not start
#   INSTALL_K3S_FORCE_RESTART     true: restart though nothing changed
#   INSTALL_K3S_SELINUX_WARN, INSTALL_K3S_SKIP_SELINUX_RPM  true: a missing SELinux policy is a warning
#   INSTALL_K3S_KEEP              false: forget flags, environment, folders and type of the earlier installation
#   INSTALL_K3S_READY_TIMEOUT     seconds to wait until the service and its node are ready; default 300; 0: do not wait
#   INSTALL_K3S_DRY_RUN           true: as --dry-run
#   KILLALL_K3S_SH, UNINSTALL_K3S_SH  where those scripts go; default: k3s-killall.sh and k3s-uninstall.sh in the folder of commands
# All exported K3S_*, CONTAINERD_*, KINE_* and proxy variables are kept in the service's environment file; one that is
# exported empty is removed from it.
set -eu

# The one place that says where releases lie: <RELEASES_URL>/<version>/k3s, …/sha256sum-<arch>.txt. Who publishes releases
# writes their address here.
RELEASES_URL=

DEFAULT_DATA_DIR=/var/lib/rancher/k3s
DEFAULT_SYSTEMD_DIR=/etc/systemd/system
OPENRC_RUN=/sbin/openrc-run
# What the unpacked programs, an empty datastore and the first image take.
DATA_NEEDED_MIB=700

info() { echo "[INFO]  $*"; }
warn() { echo "[WARN]  $*" >&2; }

fatal() {
    echo "[ERROR] $1" >&2
    echo "        $2" >&2
    exit 1
}

usage() {
    cat <<'EOF'
Installs k3s on this machine as a service, and changes an installation that is there.

  install.sh [--dry-run] [server|agent] [FLAG ...]

  curl -sfL URL/install.sh | sh -                           a server
  curl -sfL URL/install.sh | sh -s - server --FLAG ...      a server with flags
  curl -sfL URL/install.sh | K3S_URL=... K3S_TOKEN=... sh -   an agent

  --dry-run   tells what would change, and changes nothing

Flags are those of "k3s server" and "k3s agent". The top of the script lists the INSTALL_K3S_ variables.
EOF
}

# switch NAME DEFAULT: prints true or false as the variable says.
switch() {
    value=$(eval "printf '%s' \"\${$1:-$2}\"")
    case $value in
        true | True | TRUE | yes | on | 1) echo true ;;
        false | False | FALSE | no | off | 0) echo false ;;
        *) fatal "Cannot read $1: \"$value\" says neither yes nor no" "Set it to true or false" ;;
    esac
}

# --- changing the machine: nothing else does, so that --dry-run holds ---

# Runs a command that changes the machine.
run() {
    if [ "$dry_run" = true ]; then
        info "Would run: $*"
    else
        $sudo "$@"
    fi
}

# put SOURCE TARGET MODE: replaces a file in one step, when it differs.
put() {
    if $sudo cmp -s "$1" "$2"; then return 0; fi
    changed=true
    if [ "$dry_run" = true ]; then
        info "Would write $2"
        return 0
    fi
    $sudo mkdir -p "$(dirname "$2")"
    # It may hold a secret: nobody else may read it at any moment.
    if ! (umask 077 && $sudo cp "$1" "$2.new.$$"); then
        $sudo rm -f "$2.new.$$"
        fatal "Cannot write $2" "See the message above"
    fi
    $sudo chmod "$3" "$2.new.$$"
    if [ "$(id -u)" = 0 ] || [ -n "$sudo" ]; then $sudo chown 0:0 "$2.new.$$"; fi
    $sudo mv -f "$2.new.$$" "$2"
}

# As `put`, for what a running service takes notice of by itself.
place() {
    changed_before=$changed
    put "$1" "$2" 644
    changed=$changed_before
}

read_privileged() { $sudo cat "$1" 2>/dev/null || true; }

# Sets `tmp`, a folder of ours from which programs may run.
make_temporary_folder() {
    for folder in "${TMPDIR:-/tmp}" /var/tmp "${HOME:-/root}"; do
        tmp=$(mktemp -d "$folder/k3s-install.XXXXXX" 2>/dev/null) || continue
        trap remove_temporary_folder EXIT
        trap 'exit 1' HUP INT TERM
        { echo '#!/bin/sh' >"$tmp/try" && chmod 700 "$tmp/try" && "$tmp/try"; } 2>/dev/null && return 0
        rm -rf "$tmp"
    done
    fatal "Cannot install k3s: no folder for temporary files can be written and holds programs" "Name one in TMPDIR"
}

# What ran with sudo may have left files of its own there.
remove_temporary_folder() { rm -rf "$tmp" 2>/dev/null || $sudo rm -rf "$tmp"; }

# --- the machine ---

check_machine() {
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 || fatal "Cannot install k3s: not root" "Run this script as root, for instance with sudo"
        sudo=sudo
    fi
    if [ -x "$OPENRC_RUN" ]; then
        init=openrc
    elif command -v systemctl >/dev/null 2>&1 || [ "$skip_enable" = true ]; then
        init=systemd
    else
        fatal "Cannot install k3s: neither systemd nor OpenRC is here" "Set INSTALL_K3S_SKIP_ENABLE=true and start \"k3s server\" by other means"
    fi
    machine=${ARCH:-$(uname -m)}
    case $machine in
        x86_64 | amd64) arch=amd64 suffix= ;;
        aarch64 | arm64) arch=arm64 suffix=-arm64 ;;
        s390x) arch=s390x suffix=-s390x ;;
        arm*) arch=arm suffix=-armhf ;;
        *) fatal "Cannot install k3s: no programs for $machine" "Use an amd64 or arm64 machine" ;;
    esac
    if ! grep -qw memory /proc/cgroups /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
        warn "The kernel offers no memory cgroup; on a Raspberry Pi add cgroup_memory=1 cgroup_enable=memory to its command line"
    fi
    if [ -n "${GITHUB_URL:-}" ]; then warn "GITHUB_URL is not read; name the address of the releases in INSTALL_K3S_ARTIFACT_URL"; fi
}

check_selinux() {
    [ -f /etc/selinux/config ] && grep -q '^SELINUX=enforcing' /etc/selinux/config || return 0
    [ ! -f /usr/share/selinux/packages/k3s.pp ] || return 0
    if [ "$selinux_warn" = true ] || [ "$skip_selinux_rpm" = true ] ||
        [ "$skip_download" = true ] || [ "$skip_download" = selinux ]; then
        warn "SELinux is enforcing and the policy k3s-selinux is not installed: pods may be refused what they need"
    else
        fatal "Cannot install k3s: SELinux is enforcing and the policy k3s-selinux is missing" \
            "Install the package k3s-selinux of your distribution, or set INSTALL_K3S_SELINUX_WARN=true"
    fi
}

# Sets `bin_dir`, if nothing did.
choose_bin_dir() {
    bin_dir=${INSTALL_K3S_BIN_DIR:-$bin_dir}
    if [ -n "$bin_dir" ]; then return 0; fi
    bin_dir=/usr/local/bin
    if [ -z "$sudo" ] && [ -d "$bin_dir" ] && [ ! -w "$bin_dir" ] && [ -d /opt/bin ]; then bin_dir=/opt/bin; fi
}

# --- arguments and environment ---

# Prints the words of a text, one per line, quotes understood as a shell does; prints what is wrong with them and fails. Words may
# be secrets, so no process gets them as arguments.
split_words() {
    awk '
        function finish() { if (open) words = words word "\n"; word = ""; open = 0 }
        function quoted(c) {
            if (c == "\n") wrong = "a word has a line break"
            if (c == quote) quote = ""; else word = word c
        }
        { text = text $0 "\n" }
        END {
            for (i = 1; i < length(text) && !wrong; i++) {
                c = substr(text, i, 1)
                next_one = substr(text, i + 1, 1)
                if (quote == "\047") quoted(c)
                else if (c == "\\" && (quote == "" || next_one ~ /["\\$`]/)) { i++; if (next_one != "\n") { word = word next_one; open = 1 } }
                else if (quote != "") quoted(c)
                else if (c == "\"" || c == "\047") { quote = c; open = 1 }
                else if (c ~ /[ \t\n]/) finish()
                else { word = word c; open = 1 }
            }
            finish()
            if (!wrong && quote != "") wrong = "a quote is not closed"
            if (wrong) print wrong; else printf "%s", words
            exit (wrong != "")
        }'
}

# One argument per line from here on.
read_arguments() {
    : >"$tmp/given"
    if [ -n "${INSTALL_K3S_EXEC:-}" ]; then
        printf '%s\n' "$INSTALL_K3S_EXEC" | split_words >"$tmp/given" || fatal "Cannot read INSTALL_K3S_EXEC: $(cat "$tmp/given")" "Correct its quotes"
    fi
    if grep -qxe --help -e -h "$tmp/given"; then fatal "Cannot install a service that prints its help" "Leave --help out of INSTALL_K3S_EXEC"; fi
    for word in "$@"; do
        case $word in
            --dry-run) dry_run=true ;;
            *"
"*) fatal "Cannot install an argument with a line break" "Put its value into the config file" ;;
            *) printf '%s\n' "$word" >>"$tmp/given" ;;
        esac
    done
    subcommand=$(sed -n '1{/^[^-]/p;}' "$tmp/given")
    if [ -n "$subcommand" ]; then
        sed 1d "$tmp/given" >"$tmp/flags"
    else
        cp "$tmp/given" "$tmp/flags"
    fi
}

# Prints the words of a service file's start command, the executable first: of ours, and of those that k3s wrote.
start_command() {
    if [ "$init" = openrc ]; then
        sed -n 's/^command="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$1"
        if grep -q '^# argument: ' "$1"; then sed -n 's/^# argument: //p' "$1"; else sed -n 's/^command_args="\([a-z]*\).*/\1/p' "$1"; fi
        return 0
    fi
    awk '
        !found && sub(/^ExecStart=[-@:+!]*/, "") { found = 1 }
        found { more = sub(/\\[ \t]*$/, ""); text = text " " $0; if (!more) exit }
        function finish() {
            if (open) { gsub(/%%/, "%", word); gsub(/\$\$/, "$", word); print word }
            word = ""; open = 0
        }
        END {
            for (i = 1; i <= length(text); i++) {
                c = substr(text, i, 1)
                if (c == "\\") { i++; word = word substr(text, i, 1); open = 1 }
                else if (quote != "") { if (c == quote) quote = ""; else word = word c }
                else if (c == "\"" || c == "\047") { quote = c; open = 1 }
                else if (c == " " || c == "\t") finish()
                else { word = word c; open = 1 }
            }
            finish()
        }' "$1"
}

# Prints "server" or "agent" when this is the service file of one.
role_of() {
    read_privileged "$1" >"$tmp/service.other"
    start_command "$tmp/service.other" | awk 'NR == 1 && !/(^|\/)k3s$/ { exit } NR == 2 && /^(server|agent)$/ { print }'
}

service_file_of() {
    if [ "$init" = openrc ]; then echo "/etc/init.d/$1"; else echo "$systemd_dir/$1.service"; fi
}

# Folders of units: the one that was asked for, then the usual ones.
unit_folders() {
    for folder in "${INSTALL_K3S_SYSTEMD_DIR:-}" "$DEFAULT_SYSTEMD_DIR" /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
        if [ -n "$folder" ] && [ -d "$folder" ]; then echo "$folder"; fi
    done
}

# Prints the file of a service that is installed, wherever it lies, without links; else nothing.
installed_file_of() {
    if [ "$init" = openrc ]; then
        if [ -f "/etc/init.d/$1" ]; then echo "/etc/init.d/$1"; fi
        return 0
    fi
    {
        if [ -n "${INSTALL_K3S_SYSTEMD_DIR:-}" ]; then echo "$INSTALL_K3S_SYSTEMD_DIR/$1.service"; fi
        systemctl show -p FragmentPath "$1.service" 2>/dev/null | sed -n 's/^FragmentPath=//p'
        unit_folders | sed "s|\$|/$1.service|"
    } | while IFS= read -r file; do
        if [ -f "$file" ]; then readlink -f "$file" && break; fi
    done
}

# Sets `subcommand`, `service` and `earlier_file`, the service file of an earlier installation or nothing.
choose_service() {
    if [ -z "$subcommand" ]; then
        subcommand=server
        if [ "$keep" = true ] && [ -n "${INSTALL_K3S_NAME:-}" ]; then
            earlier=$(installed_file_of "k3s-$INSTALL_K3S_NAME")
            if [ -n "$earlier" ] && [ "$(role_of "$earlier")" = agent ]; then subcommand=agent; fi
        elif [ "$keep" = true ] && [ -z "$(installed_file_of k3s)" ] && [ -n "$(installed_file_of k3s-agent)" ]; then
            subcommand=agent
        fi
        if [ -n "${K3S_URL:-}" ]; then subcommand=agent; fi
    fi
    service=k3s
    if [ "$subcommand" != server ]; then service=k3s-$subcommand; fi
    if [ -n "${INSTALL_K3S_NAME:-}" ]; then service=k3s-$INSTALL_K3S_NAME; fi
    case $service in
        *[!a-zA-Z0-9_-]*) fatal "Cannot install service \"$service\": odd characters in its name" "Use letters, digits, - and _" ;;
    esac
    case ${K3S_URL:-https://} in
        https://*) ;;
        *) fatal "Cannot join \"$K3S_URL\": not an https address" "Set K3S_URL=https://SERVER:6443" ;;
    esac
    earlier_file=$(installed_file_of "$service")
}

# Sets where things go, and the type of the service: as asked for, else as the earlier installation has it.
choose_places() {
    : >"$tmp/earlier"
    earlier_type='' earlier_bin_dir='' earlier_systemd_dir=''
    if [ -n "$earlier_file" ]; then
        read_privileged "$earlier_file" >"$tmp/earlier"
        earlier_type=$(sed -n 's/^Type=//p' "$tmp/earlier" | tail -n 1)
        earlier_bin_dir=$(start_command "$tmp/earlier" | sed -n '1s|/k3s$||p')
        if [ "$init" = systemd ]; then earlier_systemd_dir=$(dirname "$earlier_file"); fi
    fi
    if [ "$keep" = true ]; then
        type=$earlier_type bin_dir=$earlier_bin_dir systemd_dir=$earlier_systemd_dir
    else
        type='' bin_dir='' systemd_dir=''
    fi
    type=${INSTALL_K3S_TYPE:-${type:-notify}}
    choose_bin_dir
    systemd_dir=${INSTALL_K3S_SYSTEMD_DIR:-${systemd_dir:-$DEFAULT_SYSTEMD_DIR}}
    # An earlier file has no links in its path, and must not be taken for another one.
    if [ -d "$systemd_dir" ]; then systemd_dir=$(cd -P "$systemd_dir" && pwd -P); fi
    killall_script=${KILLALL_K3S_SH:-$bin_dir/k3s-killall.sh}
    service_file=$(service_file_of "$service")
    if [ "$init" = openrc ]; then env_file=/etc/rancher/k3s/$service.env; else env_file=$service_file.env; fi
    print_places "$earlier_type" "$earlier_bin_dir" "$earlier_systemd_dir" >"$tmp/places.before"
    print_places "$type" "$bin_dir" "$systemd_dir" >"$tmp/places.after"
}

# print_places TYPE BIN_DIR SYSTEMD_DIR
print_places() {
    if [ "$init" = systemd ]; then printf 'INSTALL_K3S_TYPE=%s\nINSTALL_K3S_SYSTEMD_DIR=%s\n' "$1" "$3"; fi
    printf 'INSTALL_K3S_BIN_DIR=%s\n' "$2"
}

# Prints the flags of the earlier installation that were not given again, then those given. A flag has the words after it
# that do not begin with a dash.
merge_flags() {
    awk '
        function key(word) {
            sub(/=.*/, "", word)
            if (word ~ /^-[a-z][a-z]/) word = "-" word
            return (word in full) ? full[word] : word
        }
        BEGIN { split("-d --data-dir -t --token -s --server -c --config -l --log", a, " "); for (i = 1; i in a; i += 2) full[a[i]] = a[i + 1] }
        /^-/ { item = key($0) }
        pass == 1 { given[item] = 1 }
        pass == 2 && !(item in given)
        pass == 3' pass=1 "$2" pass=2 "$1" pass=3 "$2"
}

# Prints the earlier environment, with what is exported now in the place of what has its name. A line is one that both
# systemd and a shell understand.
merge_environment() {
    LC_ALL=C awk '
        function encode(value) {
            if (value ~ /^[A-Za-z0-9_.\/:@,+=-]*$/) return value
            gsub(/[\\"$`]/, "\\\\&", value)
            return "\"" value "\""
        }
        function decode(text,   first, value, i) {
            first = substr(text, 1, 1)
            if (first != "\"" && first != "\047") return text
            text = substr(text, 2, length(text) - 2)
            if (first == "\047") return text
            for (i = 1; i <= length(text); i++) {
                if (substr(text, i, 1) == "\\") i++
                value = value substr(text, i, 1)
            }
            return value
        }
        BEGIN {
            for (name in ENVIRON) {
                if (name !~ /^(K3S_|CONTAINERD_|KINE_)[A-Za-z0-9_]*$/ && tolower(name) !~ /^(no|http|https)_proxy$/) continue
                given[name] = 1
                if (ENVIRON[name] ~ /\n/) { print "Cannot keep " name ": a line break" >"/dev/stderr"; exit 1 }
                if (ENVIRON[name] != "") print name "=" encode(ENVIRON[name])
            }
        }
        { sub(/^export /, "") }
        /^[A-Za-z_][A-Za-z0-9_]*=/ {
            name = $0; sub(/=.*/, "", name)
            if (!(name in given)) print name "=" encode(decode(substr($0, length(name) + 2)))
        }' "$1" >"$1.merged" || fatal "Cannot write the environment of $service" "Remove the line break from the variable named above"
    LC_ALL=C sort "$1.merged"
}

# Prints what was added (+) and removed (-) between two lists of flags or variables. Secrets are not shown.
show_difference() {
    awk '
        function secret(name) { return tolower(name) ~ /token$|password|secret|access.?key|vpn.?auth$|datastore.?endpoint|_proxy$/ }
        function shown(item,   at) {
            at = match(item, /[= ]/)
            return at > 0 && secret(substr(item, 1, at - 1)) ? substr(item, 1, at) "(hidden)" : item
        }
        function flush() { if (item != "") { if (old) before[item] = ++n; else { after[item] = 1; list[++m] = item } } item = "" }
        FNR == 1 { flush() }
        { if ($0 ~ /^-/ || item !~ /^-/) { flush(); item = $0 } else item = item " " $0; old = pass == 1 }
        END {
            flush()
            for (item in before) if (!(item in after)) print "  - " shown(item)
            for (i = 1; i <= m; i++) if (!(list[i] in before)) print "  + " shown(list[i])
        }' pass=1 "$1" pass=2 "$2"
}

collect_settings() {
    : >"$tmp/flags.before"
    : >"$tmp/environment.before"
    installed=false
    if [ -n "$earlier_file" ]; then
        installed=true
        start_command "$tmp/earlier" | sed 1,2d >"$tmp/flags.before"
        if [ "$init" = openrc ]; then earlier_env=$env_file; else earlier_env=$earlier_file.env; fi
        read_privileged "$earlier_env" >"$tmp/environment.before"
    fi
    if [ "$keep" = true ]; then
        merge_flags "$tmp/flags.before" "$tmp/flags" >"$tmp/flags.after"
        cp "$tmp/environment.before" "$tmp/environment.kept"
    else
        cp "$tmp/flags" "$tmp/flags.after"
        : >"$tmp/environment.kept"
    fi
    merge_environment "$tmp/environment.kept" >"$tmp/environment.after"
}

show_changes() {
    if [ "$installed" = false ]; then
        info "Installing service $service: k3s $subcommand"
        return 0
    fi
    changes=$(for part in places flags environment; do show_difference "$tmp/$part.before" "$tmp/$part.after"; done)
    if [ -n "$changes" ]; then
        info "Changing the settings of $service (the others stay):"
        echo "$changes"
    else
        info "Keeping the settings of $service"
    fi
}

# Two k3s on one machine want the same ports, interfaces and rules. One that only starts with the machine counts as well.
check_other_services() {
    if [ "$skip_enable" = true ] || [ "$skip_start" = true ]; then return 0; fi
    other=$(other_service)
    [ -z "$other" ] || fatal "Cannot install service \"$service\": service \"$other\" of k3s is on this machine" \
        "Uninstall $other first ($(uninstaller_of "$other")), or set INSTALL_K3S_SKIP_START=true"
}

# Prints the name of a server or agent that runs or would. Whatever else is called k3s-… is not ours.
other_service() {
    if [ "$init" = openrc ]; then
        ls -d /etc/init.d/k3s /etc/init.d/k3s-* 2>/dev/null || true
    else
        { echo "$systemd_dir" && unit_folders; } | while IFS= read -r folder; do
            ls -d "$folder"/k3s.service "$folder"/k3s-*.service 2>/dev/null || true
        done
    fi | while IFS= read -r file; do
        name=$(basename "$file" .service)
        if [ "$name" = "$service" ] || [ ! -f "$file" ] || [ -z "$(role_of "$file")" ]; then continue; fi
        if is_running "$name" || is_enabled "$name"; then echo "$name" && break; fi
    done
}

is_running() {
    if [ "$init" = openrc ]; then
        rc-service "$1" status >/dev/null 2>&1
    else
        case $(systemctl show -p ActiveState "$1" 2>/dev/null) in
            ActiveState=active | ActiveState=activating | ActiveState=reloading) return 0 ;;
            *) return 1 ;;
        esac
    fi
}

is_enabled() {
    if [ "$init" = openrc ]; then
        rc-update show default 2>/dev/null | grep -qw -- "$1"
    else
        systemctl is-enabled --quiet "$1" 2>/dev/null
    fi
}

uninstaller_of() { echo "$bin_dir/$1-uninstall.sh"; }

# --- the executable ---

# Sets `kind` (file, present) and `candidate`, an executable that can be run already.
obtain_executable() {
    if [ "$skip_download" = true ] || [ "$skip_download" = binary ]; then
        kind=present candidate=$bin_dir/k3s
        [ -x "$candidate" ] || fatal "Cannot install k3s: \"$candidate\" is missing" "Copy the executable there, or unset INSTALL_K3S_SKIP_DOWNLOAD"
    elif find_dist; then
        candidate=$dist/k3s
        [ -x "$candidate" ] || fatal "Cannot install k3s: \"$candidate\" is missing" "Build it first, or name its folder in INSTALL_K3S_DIST"
        kind="file"
    else
        kind="file"
        download
    fi
}

find_dist() {
    dist=${INSTALL_K3S_DIST:-}
    if [ -n "$dist" ]; then return 0; fi
    for source in MIRROR ARTIFACT_URL VERSION CHANNEL COMMIT PR; do
        if eval "[ -n \"\${INSTALL_K3S_$source:-}\" ]"; then return 1; fi
    done
    # A script that comes through a pipe has no folder of its own.
    [ -f "$0" ] && [ "$(basename "$0")" = install.sh ] || return 1
    dist=$(cd "$(dirname "$0")" && pwd)/dist
    [ -x "$dist/k3s" ]
}

# fetch ADDRESS FILE
# shellcheck disable=SC2086 # patience: one word each
fetch() {
    case $fetcher in
        curl) curl -fsSL --connect-timeout 20 --speed-limit 1000 --speed-time 60 -o "$2" "$1" ;;
        wget) wget -q $patience -O "$2" "$1" ;;
    esac
}

# Prints the release that a channel stands for: where it redirects to, else what it says.
# shellcheck disable=SC2086 # patience: one word each
resolve_channel() {
    address=$1
    case $fetcher in
        curl) effective=$(curl -fsSL --connect-timeout 20 -w '%{url_effective}' -o "$tmp/channel" "$address") ;;
        wget) effective=$(wget -S $patience -O "$tmp/channel" "$address" 2>&1 | sed -n 's/^ *[Ll]ocation: *\([^ ]*\).*/\1/p' | tail -n 1) ;;
    esac || return 1
    case ${effective##*/} in
        v[0-9]*) echo "${effective##*/}" ;;
        *) sed -n '1{/^v[0-9][0-9A-Za-z.+-]*$/p;}' "$tmp/channel" ;;
    esac | sed 's/%2[Bb]/+/g'
}

choose_release() {
    if [ -n "${INSTALL_K3S_PR:-}" ]; then
        release=pr-$INSTALL_K3S_PR
    elif [ -n "${INSTALL_K3S_COMMIT:-}" ]; then
        release=commit-$INSTALL_K3S_COMMIT
    elif [ -n "${INSTALL_K3S_VERSION:-}" ]; then
        release=$INSTALL_K3S_VERSION
    else
        channel=${INSTALL_K3S_CHANNEL:-stable}
        channel_url=${INSTALL_K3S_CHANNEL_URL:-$releases/channels}
        info "Finding the release of channel $channel"
        release=$(resolve_channel "$channel_url/$channel") || release=
        [ -n "$release" ] || fatal "Cannot find the release of channel \"$channel\" at $channel_url" "Check the address, or name a release in INSTALL_K3S_VERSION"
    fi
    info "Using $release as release"
}

download() {
    releases=${INSTALL_K3S_MIRROR:-${INSTALL_K3S_ARTIFACT_URL:-$RELEASES_URL}}
    releases=${releases%/}
    [ -n "$releases" ] || fatal "Cannot download k3s: no address of releases" "Set INSTALL_K3S_MIRROR to one, for instance https://HOST/releases; or INSTALL_K3S_DIST to a folder that was built"
    fetcher=
    for tool in wget curl; do
        if command -v "$tool" >/dev/null 2>&1; then fetcher=$tool; fi
    done
    [ -n "$fetcher" ] || fatal "Cannot download k3s: neither curl nor wget is here" "Install one of them"
    # That of busybox has its own limit, and builds of it that cannot take another one.
    patience=
    if [ "$fetcher" = wget ] && wget --version 2>/dev/null | grep -q GNU; then patience="-T 60"; fi
    command -v sha256sum >/dev/null 2>&1 || fatal "Cannot verify k3s: sha256sum is not here" "Install coreutils"
    choose_release
    base=$releases/$(printf '%s' "$release" | sed 's/+/%2B/g')
    fetch "$base/sha256sum-$arch.txt" "$tmp/sums" || download_failed "$base/sha256sum-$arch.txt" $?
    expected=$(sum_of "k3s$suffix")
    [ -n "$expected" ] || fatal "Cannot verify k3s$suffix: $base/sha256sum-$arch.txt does not name it" "Tell the publisher of the releases"
    if [ -x "$bin_dir/k3s" ] && [ "$(hash_of "$bin_dir/k3s")" = "$expected" ]; then
        info "The installed executable is that of the release; skipping its download"
        kind=present candidate=$bin_dir/k3s
        return 0
    fi
    download_executable
    candidate=$tmp/k3s
}

# The smallest form that this machine can unpack.
download_executable() {
    for form in zst:zstd gz:gzip :cat; do
        ending=${form%%:*} unpacker=${form#*:} name=k3s$suffix${form%%:*}
        if [ -n "$ending" ]; then name=k3s$suffix.$ending; fi
        if [ -z "$(sum_of "$name")" ] || ! command -v "$unpacker" >/dev/null 2>&1; then continue; fi
        info "Downloading $base/$name"
        fetch "$base/$name" "$tmp/download" || download_failed "$base/$name" $?
        verify "$tmp/download" "$name"
        case $unpacker in
            cat) mv "$tmp/download" "$tmp/k3s" ;;
            *) "$unpacker" -dc <"$tmp/download" >"$tmp/k3s" || fatal "Cannot unpack $name into \"$tmp\": $(free_space "$tmp") MiB are free" "Free some space, or name another folder in TMPDIR" ;;
        esac
        rm -f "$tmp/download"
        verify "$tmp/k3s" "k3s$suffix"
        chmod 755 "$tmp/k3s"
        return 0
    done
}

# download_failed ADDRESS CODE: says why, by the code with which curl or wget ended.
download_failed() {
    why="it did not arrive" cure="Check the address, the release and the network"
    case $fetcher:$2 in
        curl:6) why="its host is not known" cure="Check the address and the name servers of this machine" ;;
        curl:7) why="its server cannot be reached" cure="Check the address, the network and the firewall" ;;
        curl:22 | wget:8) why="its server does not have it or refuses it" cure="Check the address and the release" ;;
        curl:28) why="its server takes too long" cure="Run this script again; nothing was changed" ;;
        curl:18 | curl:52 | curl:56 | curl:92) why="it ended early" cure="Run this script again; nothing was changed" ;;
        curl:35 | curl:51 | curl:58 | curl:60 | curl:77 | wget:5) why="no secure connection can be made" cure="Check the clock and the certificate authorities of this machine" ;;
        wget:4) why="the network failed" ;;
    esac
    if [ "$fetcher:$2" = curl:23 ] || [ "$(free_space "$tmp")" = 0 ]; then
        why="the disk of \"$tmp\" is full" cure="Free some space, or name another folder in TMPDIR"
    fi
    fatal "Cannot download $1: $why" "$cure"
}

sum_of() { awk -v name="$1" '{ sub(/^\*/, "", $2) } $2 == name || $2 == "dist/artifacts/" name { print $1; exit }' "$tmp/sums"; }
hash_of() { sha256sum "$1" | cut -d ' ' -f 1; }

verify() {
    [ "$(hash_of "$1")" = "$(sum_of "$2")" ] ||
        fatal "Cannot install $2: what came is not what the release's checksum says" "Run this script again; if it stays, tell the publisher of the releases"
}

# MiB
free_space() {
    place=$1
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    df -Pk "$place" | awk 'NR == 2 { print int($4 / 1024) }'
}

check_space() {
    if [ "$kind" = present ]; then return 0; fi
    needed=$(du -k "$candidate" | awk '{ print int($1 / 1024) + 1 }')
    free=$(free_space "$bin_dir")
    [ "$free" -ge "$needed" ] || fatal "Cannot install k3s into \"$bin_dir\": $free MiB are free, $needed MiB are needed" "Free some space, or name another folder in INSTALL_K3S_BIN_DIR"
}

# A new node only: an old one has made room for itself.
check_data_space() {
    if $sudo test -d "$data_dir/data"; then return 0; fi
    free=$(free_space "$data_dir")
    [ "$free" -ge "$DATA_NEEDED_MIB" ] || fatal "Cannot install k3s with its data in \"$data_dir\": $free MiB are free, $DATA_NEEDED_MIB MiB are needed" \
        "Free some space, or name another folder with --data-dir"
}

# Prints what a service manager reads from a file of variables, as lines that a shell understands.
unit_environment() {
    read_privileged "$1" | LC_ALL=C awk '
        function encode(value) {
            gsub(/[\\"$`]/, "\\\\&", value)
            return "\"" value "\""
        }
        function finish() {
            sub(/^[ \t]+/, "", name); sub(/[ \t]+$/, "", name)
            if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/) print name "=" encode(substr(value, 1, kept))
            name = value = ""; kept = 0; state = "name"
        }
        function add(c) { value = value c; kept = length(value) }
        function take(c, following) {
            if (state == "comment") { if (c == "\n") state = "name" }
            else if (state == "name") {
                if (c == "=") state = "start"
                else if (c == "\n") name = ""
                else if (name == "" && (c == "#" || c == ";")) state = "comment"
                else name = name c
            } else if (state == "single") { if (c == "\047") state = "start"; else add(c) }
            else if (state == "double") {
                if (c == "\"") state = "start"
                else if (c == "\\" && following ~ /["\\$`\n]/) { i++; if (following != "\n") add(following) }
                else add(c)
            } else if (c == "\n") finish()
            else if (c == "\\") { i++; state = "plain"; if (following != "\n") add(following) }
            else if (state == "start" && c == "\047") state = "single"
            else if (state == "start" && c == "\"") state = "double"
            else if (c ~ /[ \t]/) { if (state == "plain") value = value c }
            else { state = "plain"; add(c) }
        }
        { text = text $0 "\n" }
        END {
            state = "name"
            for (i = 1; i <= length(text); i++) take(substr(text, i, 1), substr(text, i + 1, 1))
        }'
}

# Prints lines as a list in JSON.
json_list() {
    LC_ALL=C awk '
        BEGIN { for (i = 1; i < 32; i++) code[sprintf("%c", i)] = sprintf("\\u%04x", i); printf "[" }
        {
            gsub(/[\\"]/, "\\\\&")
            if ($0 ~ /[\001-\037]/) for (c in code) gsub(c, code[c])
            printf "%s\"%s\"", (NR > 1 ? "," : ""), $0
        }
        END { print "]" }'
}

# With the settings that the service will have, and as its user. The running service is not touched yet. Arguments go by a
# variable, which the executable takes in their place: a process list shows arguments to everybody.
validate_arguments() {
    version=$("$candidate" --version 2>"$tmp/said") || cannot_run
    version=$(printf '%s\n' "$version" | sed -n 1p)
    if [ "$init" = openrc ]; then
        machine_environment=/etc/environment
        : >"$tmp/environment.machine"
    else
        machine_environment=
        for place in default sysconfig; do unit_environment "/etc/$place/$service"; done >"$tmp/environment.machine"
    fi
    { printf '%s\n' validate "$subcommand" && cat "$tmp/flags.after"; } | json_list >"$tmp/arguments"
    # shellcheck disable=SC2016 # for the shell that is started here
    $sudo sh -c '
        set -a
        if [ -f "$4" ]; then . "$4"; fi
        . "$1/environment.machine"
        . "$1/environment.after"
        K3S_ARGUMENTS=$(cat "$1/arguments")
        exec "$2" validate "$3"' sh "$tmp" "$candidate" "$subcommand" "$machine_environment" </dev/null >"$tmp/facts" ||
        fatal "Cannot install service \"$service\": k3s refuses its settings" "Correct what is named above; nothing was changed"
    sed -n 's/^Warning: //p' "$tmp/facts" | while IFS= read -r line; do warn "$line"; done
    data_dir=$(sed -n 's/^Data directory: //p' "$tmp/facts")
    data_dir=${data_dir:-$DEFAULT_DATA_DIR}
    node=$(sed -n 's/^Node: //p' "$tmp/facts")
    tools=$(sed -n 's/^Tools: //p' "$tmp/facts")
}

# Says why, as far as the file and the machine tell.
cannot_run() {
    cat "$tmp/said" >&2
    what="Cannot run k3s on this machine"
    # An executable of Linux says in its header what processor it is for.
    if [ "$(header_bytes 0 4)" = 7f454c46 ]; then
        case $(uname -m) in
            x86_64) processor=3e loader=/lib64/ld-linux-x86-64.so.2 ;;
            aarch64) processor=b7 loader=/lib/ld-linux-aarch64.so.1 ;;
            *) processor=$(header_bytes 18 1) loader=/ ;;
        esac
        [ "$(header_bytes 18 1)" = "$processor" ] || fatal "$what: the executable is for another processor than $(uname -m)" \
            "Unset ARCH, or take the executable that is made for $(uname -m)"
        [ -e "$loader" ] || fatal "$what: it needs glibc, and there is none ($loader is missing)" \
            "Use a distribution with glibc, such as Debian, Ubuntu, Fedora or SUSE; Alpine Linux has musl in its place"
        ! grep -q 'GLIBC.* not found' "$tmp/said" || fatal "$what: its glibc is too old" "Use a newer release of this distribution"
    fi
    fatal "$what" "See the message above; may programs run from the folder of \"$candidate\"?"
}

# header_bytes OFFSET COUNT: bytes of the executable in hexadecimal.
header_bytes() { od -An -v -tx1 -j "$1" -N "$2" "$candidate" | tr -d ' \n'; }

install_executable() {
    if [ "$kind" = file ]; then put "$candidate" "$bin_dir/k3s" 755; fi
    if [ "$kind" != present ] && [ "$dry_run" = false ] && command -v chcon >/dev/null 2>&1; then
        $sudo chcon -u system_u -r object_r -t container_runtime_exec_t "$bin_dir/k3s" 2>/dev/null || true # no SELinux
    fi
    info "Using $version as $bin_dir/k3s"
}

link_tools() {
    symlink=${INSTALL_K3S_SYMLINK:-}
    if [ "$bin_dir_read_only" = true ] || [ "$symlink" = skip ]; then return 0; fi
    for tool in ${tools:-kubectl ctr}; do
        if [ "$symlink" != force ] && { [ -e "$bin_dir/$tool" ] || command -v "$tool" >/dev/null 2>&1; }; then continue; fi
        if [ "$(readlink "$bin_dir/$tool" 2>/dev/null || true)" != k3s ]; then run ln -sf k3s "$bin_dir/$tool"; fi
    done
}

install_images() {
    images=${INSTALL_K3S_IMAGES:-}
    target=$data_dir/agent/images
    if [ -n "$images" ]; then
        [ -e "$images" ] || fatal "Cannot install images: \"$images\" is missing" "Name an image archive, or a folder of them, in INSTALL_K3S_IMAGES"
        if [ -d "$images" ]; then
            for archive in "$images"/*.tar "$images"/*.tar.* "$images"/*.t?z "$images"/*.tzst; do
                if [ -f "$archive" ]; then place "$archive" "$target/$(basename "$archive")"; fi
            done
        else
            place "$images" "$target/$(basename "$images")"
        fi
    fi
}

# --- service files ---

# Quotes a word for a unit file, where $ and % mean something.
unit_quote() {
    printf '"%s"' "$(printf '%s' "$1" | sed -e 's/[\\"]/\\&/g' -e 's/%/%%/g' -e 's/\$/$$/g')"
}

# Quotes a word for a shell that reads it out of double quotes.
openrc_quote() {
    printf '%s' "$1" | sed -e "s/'/'\\\\''/g" -e "1s/^/'/" -e "\$s/\$/'/" | sed -e 's/[\\"$`]/\\&/g'
}

make_unit() {
    cat <<EOF
[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=$type
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
TimeoutStopSec=90s
Restart=always
RestartSec=5s
EOF
    if [ "$type" = notify ]; then echo "WatchdogSec=3min"; fi
    cat <<EOF
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
EOF
    # Pods outlive a stop of the service; when the machine goes down they end here, while their network and disks are there.
    if [ "$bin_dir_read_only" = false ]; then echo "ExecStopPost=-$killall_script --if-shutdown"; fi
    printf 'ExecStart=%s \\\n    %s' "$bin_dir/k3s" "$subcommand"
    while IFS= read -r word; do printf ' \\\n\t%s' "$(unit_quote "$word")"; done <"$tmp/flags.after"
    echo
}

make_openrc_script() {
    printf '#!%s\n' "$OPENRC_RUN"
    printf '# argument: %s\n' "$subcommand"
    sed 's/^/# argument: /' "$tmp/flags.after"
    cat <<EOF

depend() {
    after network-online
    want cgroups
}

start_pre() {
    rm -f /tmp/k3s.*
}

supervisor=supervise-daemon
name=$service
command="$bin_dir/k3s"
EOF
    printf 'command_args="%s' "$subcommand"
    while IFS= read -r word; do printf ' \\\n    %s' "$(openrc_quote "$word")"; done <"$tmp/flags.after"
    echo '"'
    if [ "$bin_dir_read_only" = false ]; then
        cat <<EOF

# Pods outlive every other stop; see the unit for systemd.
stop_post() {
    "$killall_script" --if-shutdown
    return 0
}
EOF
    fi
    cat <<EOF

output_log=/var/log/$service.log
error_log=/var/log/$service.log

pidfile="/var/run/$service.pid"
respawn_delay=5
respawn_max=0

set -o allexport
if [ -f /etc/environment ]; then . /etc/environment; fi
if [ -f $env_file ]; then . $env_file; fi
set +o allexport
EOF
}

write_service() {
    is_moved=false
    if [ "$installed" = true ] && [ "$earlier_file" != "$service_file" ]; then is_moved=true; fi
    # A link to a unit in another folder.
    if [ "$is_moved" = true ] && [ -L "$service_file" ]; then run rm -f "$service_file"; fi
    if [ "$init" = openrc ]; then
        make_openrc_script >"$tmp/service"
        put "$tmp/service" "$service_file" 700
        cat >"$tmp/logrotate" <<EOF
/var/log/$service.log {
    missingok
    notifempty
    copytruncate
}
EOF
        put "$tmp/logrotate" "/etc/logrotate.d/$service" 644
    else
        make_unit >"$tmp/service"
        put "$tmp/service" "$service_file" 600 # arguments may hold a token
        if [ "$dry_run" = false ] && command -v restorecon >/dev/null 2>&1; then $sudo restorecon -R -i "$service_file" || true; fi
    fi
    put "$tmp/environment.after" "$env_file" 600
    write_pod_order
    if [ "$is_moved" = true ]; then
        run systemctl disable "$service" 2>/dev/null || true
        pod_order=$(dirname "$earlier_file")/cri-containerd-.scope.d
        run rm -f "$earlier_file" "$earlier_file.env" "$pod_order/$service.conf"
        if [ -d "$pod_order" ]; then run rmdir "$pod_order" 2>/dev/null || true; fi # others may have theirs there
    fi
}

# systemd ends the scopes of containers with everything else when the machine goes down. What comes before a unit is stopped after
# it, and the service ends pods in their order. A drop-in of this name is for all units whose names begin so.
write_pod_order() {
    if [ "$init" != systemd ] || [ "$bin_dir_read_only" = true ]; then return 0; fi
    printf '[Unit]\nBefore=%s.service\n' "$service" >"$tmp/order"
    place "$tmp/order" "$systemd_dir/cri-containerd-.scope.d/$service.conf"
}

# --- the scripts that end and remove it ---

shell_quote() { printf '%s' "$1" | sed -e "s/'/'\\\\''/g" -e "1s/^/'/" -e "\$s/\$/'/"; }

# Functions of both scripts: what is mounted where, and how to remove things without reaching into it.
removal_functions() {
    cat <<'EOF'

# Prints the path of a folder without links; any other path as it is.
real_path() {
    if [ -d "$1" ]; then (cd -P -- "$1" && pwd -P) || printf '%s\n' "$1"; else printf '%s\n' "$1"; fi
}

# Prints a path as the kernel does where it lists mount points.
listed_path() { printf '%s\n' "$1" | sed -e 's/\\/\\134/g' -e 's/ /\\040/g' -e "s/$(printf '\t')/\\\\011/g"; }

# mounts_below PATH [PREFIX]: mount points at or below a real path, or inside it with names that begin so; as the kernel lists them.
mounts_below() {
    top=$(listed_path "$1") prefix=${2:-} awk '
        BEGIN { top = ENVIRON["top"]; prefix = ENVIRON["prefix"] }
        index($5, top "/" prefix) == 1 || (prefix == "" && $5 == top) { print $5 }' /proc/self/mountinfo
}

is_mount_point() { mounts_below "$1" | grep -Fqx -- "$(listed_path "$1")"; }

# Removes what has this real path, but nothing that is mounted there or below: that is somebody else's.
remove_around() {
    if [ -L "$1" ] || [ ! -d "$1" ]; then
        rm -f -- "$1"
    elif [ -z "$(mounts_below "$1")" ]; then
        # shellcheck disable=SC2086 # an option or nothing
        rm -rf $same_disk -- "$1"
    elif is_mount_point "$1"; then
        echo "$1 stays: something is mounted there" >&2
    else
        empty_around "$1"
        rmdir -- "$1" 2>/dev/null
    fi
}

empty_around() (
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -e "$entry" ] || [ -L "$entry" ]; then remove_around "$entry"; fi
    done
)

# Removes a folder of ours. One that is a link or a mount point was made so by somebody: it is emptied.
remove() {
    path=$(real_path "$1")
    if ! is_own_folder "$path"; then
        echo "$1 stays: it leads to $path" >&2
    elif [ -d "$path" ] && { [ -L "$1" ] || is_mount_point "$path"; }; then
        empty_around "$path"
        echo "$1 stays: it is a link or a mount point" >&2
    else
        remove_around "$path"
    fi
}

# No folder of the system is.
is_own_folder() {
    case $1 in
        / | /bin | /boot | /dev | /etc | /home | /lib | /lib32 | /lib64 | /libx32 | /media | /mnt | /opt | /proc | /root | /run | /sbin | /srv | /sys | /tmp | /usr | /var) return 1 ;;
        /usr/bin | /usr/lib | /usr/lib64 | /usr/libexec | /usr/local | /usr/sbin | /usr/share | /var/cache | /var/lib | /var/log | /var/run | /var/spool | /var/tmp) return 1 ;;
        /*) return 0 ;;
        *) return 1 ;;
    esac
}

# Where rm can, it stops at other disks by itself: one may be mounted at any moment.
same_disk=
if rm -f --one-file-system 2>/dev/null; then same_disk=--one-file-system; fi

while [ "${data_dir%/}" != "$data_dir" ]; do data_dir=${data_dir%/}; done
if ! is_own_folder "$data_dir" || ! is_own_folder "$(real_path "$data_dir")"; then
    echo "Cannot end k3s with its data in \"${data_dir:-/}\": that is not a folder of its own" >&2
    exit 1
fi
EOF
}

write_killall() {
    if [ "$bin_dir_read_only" = true ]; then return 0; fi
    {
        echo '#!/bin/sh'
        echo "data_dir=\${K3S_DATA_DIR:-$(shell_quote "$data_dir")}"
        echo "systemd_dir=$(shell_quote "$systemd_dir")"
        cat <<'EOF'
# Ends k3s and its pods on this machine and takes their network and mounts away. Data and configuration stay.
#
#   k3s-killall.sh                 everything, at once
#   k3s-killall.sh --if-shutdown   for the service: asks pods to end when the machine goes down, else does nothing
set -u

RUN_DIR=/run/k3s
KUBELET_DIR=/var/lib/kubelet
CGROUPS=/sys/fs/cgroup
# For each of two groups of pods; together less than the service may take to stop.
SHUTDOWN_GRACE_SECONDS=30

if [ "$(id -u)" != 0 ]; then exec sudo --preserve-env=K3S_DATA_DIR "$0" "$@"; fi
EOF
        removal_functions
        cat <<'EOF'

# Where the machine has no iptables, the rules were made with those that k3s brings.
for tools in "$data_dir"/data/current/bin/aux "$data_dir"/data/*/bin/aux; do PATH=$PATH:$tools; done

# Names of the services of k3s on this machine.
services() {
    for file in "$systemd_dir"/k3s*.service /etc/systemd/system/k3s*.service /etc/init.d/k3s*; do
        if [ -f "$file" ]; then basename "$file" .service; fi
    done | sort -u
}

stop_services() {
    for service in $(services); do
        if [ -x "/etc/init.d/$service" ]; then "/etc/init.d/$service" stop; fi
        # Also where it only tries to start again and again.
        if command -v systemctl >/dev/null 2>&1; then systemctl stop "$service.service" 2>/dev/null; fi
    done
}

# The hierarchies of version 1, and the tree of version 2.
hierarchies() {
    for root in "$CGROUPS" "$CGROUPS"/*; do
        if [ -f "$root/cgroup.procs" ]; then echo "$root"; fi
    done
}

# Folders in which our containerd keeps its containers, of every namespace: their names are the ids.
bundles() {
    for folder in "$RUN_DIR"/containerd/io.containerd.runtime.v*/*/*; do
        if [ -d "$folder" ]; then echo "$folder"; fi
    done
}

# Ids that are nobody else's name.
container_ids() { bundles | sed 's|.*/||' | grep -Ex '[0-9a-f]{64}'; }

# Cgroups of the containers that a person has named, as their configuration says: an absolute path, or the parts of a scope's name.
named_cgroups() {
    bundles | grep -Ev '/[0-9a-f]{64}$' | while IFS= read -r folder; do
        { tr -d '[:space:]' <"$folder/config.json" && echo; } 2>/dev/null | sed -n 's/.*"cgroupsPath":"\([^"]*\)".*/\1/p'
    done | sed -e 's/^\([^:/]*\):\([^:/]*\):\([^:/]*\)$/\/\1\/\2-\3.scope/' | grep -E '^/[^/].*/[^/]+$' | grep -v '/\.\.'
}

# Folders of the cgroups that belong to k3s: its services (runtime and shims are in there), its containers and its pods.
# A name of the kernel's interface or of an id cannot hold a blank.
own_cgroups() {
    services_now=$(services)
    ids=$({ container_ids; ls "$KUBELET_DIR/pods" 2>/dev/null; } | sort -u)
    named=$(named_cgroups)
    for root in $(hierarchies); do
        for service in $services_now; do
            for path in "system.slice/$service.service" "openrc/$service" "openrc.$service" "$service"; do
                if [ -d "$root/$path" ]; then echo "$root/$path"; fi
            done
        done
        if [ -d "$root/k3s" ] && [ -d "$RUN_DIR" ]; then echo "$root/k3s"; fi
        for path in $named; do
            if [ -d "$root$path" ]; then echo "$root$path"; fi
        done
        # systemd writes _ for - in the name of a slice.
        find "$root" -mindepth 1 -type d 2>/dev/null | awk -v ids="$ids" '
            BEGIN { n = split(ids, a, "\n"); for (i = 1; i <= n; i++) own[a[i]] = 1 }
            { name = $0; sub(/.*\//, "", name); sub(/\.(scope|slice)$/, "", name); sub(/^cri-containerd-/, "", name)
              if (name in own) { print; next }
              if (sub(/^.*pod/, "", name)) { gsub(/_/, "-", name); if (name in own) print } }'
    done | sort -u
}

# Ids of the processes in cgroups, our own left out.
processes_in() {
    for folder in "$@"; do
        find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null
    done | sort -un | grep -vx -e 0 -e "$$" -e "$PPID"
}

pause() { sleep 0.1 2>/dev/null || sleep 1; }

# In rounds, since a process may have started another one meanwhile.
kill_cgroups() {
    if [ $# = 0 ]; then return 0; fi
    round=0
    while [ "$round" -lt 100 ]; do
        pids=$(processes_in "$@")
        if [ -z "$pids" ]; then return 0; fi
        # shellcheck disable=SC2086 # one word each
        kill -KILL $pids 2>/dev/null
        pause
        round=$((round + 1))
    done
    echo "Cannot end processes $(echo "$pids" | tr '\n' ' ')" >&2
}

# Innermost first; a process that died a moment ago may hold its cgroup for another one.
remove_cgroups() {
    for folder in "$@"; do
        find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null
    done
    for root in $(hierarchies); do
        for top in "$root/kubepods" "$root/kubepods.slice" "$root/k3s"; do
            if [ -d "$top" ]; then find "$top" -depth -type d -exec rmdir {} + 2>/dev/null; fi
        done
    done
}

# systemd would go on listing the slices that were made for pods.
stop_slice() {
    if ! command -v systemctl >/dev/null 2>&1 || [ -n "$(processes_in "$CGROUPS"/kubepods.slice "$CGROUPS"/*/kubepods.slice 2>/dev/null)" ]; then return 0; fi
    systemctl stop kubepods.slice 2>/dev/null
}

# As `mounts_below`, innermost first.
unmount_below() {
    mounts_below "$(real_path "$1")" "${2:-}" | sort -r | while IFS= read -r listed; do
        point=$(printf '%b\n' "$(printf '%s' "$listed" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")
        umount "$point" 2>/dev/null || umount -f -l "$point"
    done
}

# Whether a folder is mounted on itself. Another disk there, or another folder, is somebody else's.
is_bound_to_itself() {
    awk -v top="$1" '
        { device[$1] = $3 }
        $5 == top { parent = $2; own = $3; root = $4 }
        END { exit !(own != "" && device[parent] == own && root != "/" && substr(top, length(top) - length(root) + 1) == root) }' /proc/self/mountinfo
}

remove_network() {
    if command -v ip >/dev/null 2>&1; then
        ip netns list 2>/dev/null | awk '/^cni-/ { print $1 }' | while read -r name; do ip netns delete "$name"; done
        ip -o link show master cni0 2>/dev/null | awk -F ': ' '{ sub(/@.*/, "", $2); print $2 }' |
            while read -r name; do ip link delete "$name"; done
        for name in cni0 flannel.1 flannel-v6.1 kube-ipvs0 flannel-wg flannel-wg-v6; do
            if [ -d "/sys/class/net/$name" ]; then ip link delete "$name"; fi
        done
    fi
    remove /var/lib/cni
    for family in iptables ip6tables; do
        rules=$("$family-save" 2>/dev/null) || continue
        if ! echo "$rules" | grep -Eiq 'KUBE-|CNI-|flannel'; then continue; fi
        echo "$rules" | grep -v KUBE- | grep -v CNI- | grep -iv flannel | "$family-restore"
    done
}

# Prints "PLACE PID" for each container that runs: first the pods of users, then those of the system, on which the others lean.
# Sandboxes hold the network, and stay.
running_containers() {
    bundles | while IFS= read -r folder; do
        pid=$(cat "$folder/init.pid" 2>/dev/null) || continue
        # The number may have been given to another process since.
        if ! grep -Eq "[/-]${folder##*/}(\.scope)?$" "/proc/$pid/cgroup" 2>/dev/null; then continue; fi
        case $(tr -d '[:space:]' <"$folder/config.json" 2>/dev/null) in
            *'"io.kubernetes.cri.container-type":"sandbox"'*) ;;
            *'"io.kubernetes.cri.sandbox-namespace":"kube-system"'*) echo "2 $pid" ;;
            *) echo "1 $pid" ;;
        esac
    done
}

is_alive() { [ -d "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

# As systemd says, or OpenRC in the environment of its scripts.
machine_goes_down() { [ "${RC_GOINGDOWN:-}" = YES ] || [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]; }

# When the machine goes down: asks each container to end, waits, and ends those that do not listen. Their runtime has gone, so none
# is started again.
end_pods_gently() {
    machine_goes_down || return 0
    running=$(running_containers)
    for turn in 1 2; do
        pids=$(echo "$running" | sed -n "s/^$turn //p")
        # shellcheck disable=SC2086 # one word each
        if [ -n "$pids" ]; then kill -TERM $pids 2>/dev/null; fi
        ends=$(($(date +%s) + SHUTDOWN_GRACE_SECONDS))
        for pid in $pids; do
            while is_alive "$pid" && [ "$(date +%s)" -lt "$ends" ]; do pause; done
            if is_alive "$pid"; then kill -KILL "$pid" 2>/dev/null; fi
        done
    done
}

case ${1:-} in
    --if-shutdown)
        end_pods_gently
        exit 0
        ;;
    ?*)
        echo "usage: $0   (ends every program and pod of k3s on this machine, and keeps the data)" >&2
        exit 2
        ;;
esac

# Taken before the services are gone: a cgroup of systemd keeps its name as long as something runs in it.
cgroups=$(own_cgroups)
stop_services
# shellcheck disable=SC2046,SC2086 # names without blanks
kill_cgroups $cgroups $(own_cgroups)
stop_slice
# shellcheck disable=SC2046,SC2086
remove_cgroups $cgroups
for folder in "$RUN_DIR" "$KUBELET_DIR/pods" "$KUBELET_DIR/plugins"; do unmount_below "$folder"; done
unmount_below /run/netns cni-
unmount_below "$data_dir/agent/containerd" io.containerd.
# A kubelet binds its folder to itself where mounts are private.
while is_bound_to_itself "$(real_path "$KUBELET_DIR")"; do umount "$KUBELET_DIR" || break; done
for folder in "$RUN_DIR" "$KUBELET_DIR/pods" "$KUBELET_DIR/plugins"; do remove "$folder"; done
remove_network
exit 0
EOF
    } >"$tmp/killall"
    put "$tmp/killall" "$killall_script" 755
}

write_uninstall() {
    if [ "$bin_dir_read_only" = true ]; then return 0; fi
    {
        echo '#!/bin/sh'
        echo "data_dir=\${K3S_DATA_DIR:-$(shell_quote "$data_dir")}"
        echo "service=$(shell_quote "$service")"
        echo "service_file=$(shell_quote "$service_file")"
        echo "env_file=$(shell_quote "$env_file")"
        echo "bin_dir=$(shell_quote "$bin_dir")"
        echo "killall_script=$(shell_quote "$killall_script")"
        cat <<'EOF'
# Removes k3s from this machine.
#
#   --keep-data   leaves images, the datastore and /etc/rancher
#   --purge       removes also the identity of this node (/etc/rancher/node), with which it may join again under its name
set -u

if [ "$(id -u)" != 0 ]; then exec sudo --preserve-env=K3S_DATA_DIR "$0" "$@"; fi

keep_data=false
purge=false
for word in "$@"; do
    case $word in
        --keep-data) keep_data=true ;;
        --purge) purge=true ;;
        *) echo "usage: $0 [--keep-data] [--purge]" >&2; exit 2 ;;
    esac
done

EOF
        removal_functions
        cat <<'EOF'

remove_service() {
    if [ -x /sbin/openrc-run ]; then
        rc-update delete "$service" default 2>/dev/null
    elif command -v systemctl >/dev/null 2>&1; then
        systemctl disable "$service" 2>/dev/null
        systemctl reset-failed "$service" 2>/dev/null
    fi
    pod_order=$(dirname "$service_file")/cri-containerd-.scope.d
    rm -f "$service_file" "$env_file" "$pod_order/$service.conf" "/etc/logrotate.d/$service" "/var/log/$service.log"
    rmdir "$pod_order" 2>/dev/null
    if command -v systemctl >/dev/null 2>&1; then systemctl daemon-reload 2>/dev/null; fi
    rm -f "$0"
}

# Service files of other servers and agents; whatever else is called k3s-… is not ours.
other_services() {
    for folder in "$(dirname "$service_file")" /etc/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system; do
        ls -d "$folder"/k3s.service "$folder"/k3s-*.service /etc/init.d/k3s /etc/init.d/k3s-* 2>/dev/null
    done | sort -u | while IFS= read -r file; do
        if sed -e ':join' -e '/\\$/{' -e 'N' -e 's/\\\n/ /' -e 'b join' -e '}' "$file" |
            grep -Eq '^(ExecStart=[-@:+!"]*([^[:space:]"]*/)?k3s"?[[:space:]]+"?|command_args="|# argument: )(server|agent)'; then echo "$file"; fi
    done
}

remove_programs() {
    for tool in kubectl crictl ctr; do
        if [ -L "$bin_dir/$tool" ] && [ "$(readlink "$bin_dir/$tool")" = k3s ]; then rm -f "$bin_dir/$tool"; fi
    done
    rm -f "$bin_dir/k3s" "$killall_script"
}

remove_data() {
    remove /run/k3s
    remove /run/flannel
    remove /var/lib/kubelet
    remove /var/log/pods
    rm -f /var/log/containers/*_*_*-*.log
    rmdir /var/log/containers 2>/dev/null
    # A kubelet makes it for plugins of users, which stay.
    (cd /usr/libexec 2>/dev/null && rmdir -p kubernetes/kubelet-plugins/volume/exec 2>/dev/null)
    if [ "$keep_data" = true ]; then
        echo "Kept: $data_dir /etc/rancher"
        return
    fi
    remove "$data_dir"
    # Without a word of another folder the tools unpack their programs here.
    remove /var/lib/rancher/k3s/data
    rmdir /var/lib/rancher/k3s /var/lib/rancher 2>/dev/null
    remove /etc/rancher/k3s
    if [ "$purge" = true ]; then remove /etc/rancher/node; fi
    rmdir /etc/rancher 2>/dev/null
    if [ -d /etc/rancher/node ]; then echo "Kept: /etc/rancher/node, with which this machine may join again under its name (--purge removes it)"; fi
}

if [ -x "$killall_script" ]; then K3S_DATA_DIR=$data_dir "$killall_script"; fi
remove_service
left=$(other_services)
if [ -n "$left" ]; then
    echo "Another k3s stays on this machine, and so do programs and data: $(echo "$left" | tr '\n' ' ')"
    exit 0
fi
remove_programs
remove_data
EOF
    } >"$tmp/uninstall"
    put "$tmp/uninstall" "${UNINSTALL_K3S_SH:-$(uninstaller_of "$service")}" 755
}

# --- starting ---

start_service() {
    if [ "$skip_enable" = true ]; then return 0; fi
    if [ "$init" = openrc ]; then
        run rc-update add "$service" default
    else
        run systemctl daemon-reload
        run systemctl enable "$service_file"
    fi
    if [ "$skip_start" = true ]; then return 0; fi
    if [ "${TRANSACTIONAL_UPDATE:-}" = true ]; then
        info "Restart the machine: $service starts with the system that is being put together"
        return 0
    fi
    if [ "$changed" = false ] && [ "$force_restart" = false ] && is_running "$service"; then
        info "No change detected so skipping service start"
        return 0
    fi
    log_file=/var/log/$service.log
    log_size=$({ wc -c <"$log_file"; } 2>/dev/null || echo 0)
    started_at=$(date +%s)
    info "Starting $service"
    if [ "$init" = openrc ]; then
        run rc-service "$service" restart
    else
        run systemctl reset-failed "$service" 2>/dev/null || true
        run systemctl restart --no-block "$service"
    fi
    if [ "$dry_run" = false ] && [ "$ready_timeout" != 0 ]; then wait_until_ready; fi
}

# Sets `state` (ready, starting, ended) and `step`, what the service is doing.
read_state() {
    if [ "$init" = openrc ]; then
        step=$(new_log | grep -F starting | tail -n 1 | cut -c 1-200)
        state=starting
        if new_log | grep -Eq 'k3s (agent )?is up'; then state=ready; fi
        return 0
    fi
    properties=$(systemctl show -p ActiveState -p SubState -p StatusText -p NRestarts -p Job "$service")
    step=$(echo "$properties" | sed -n 's/^StatusText=//p')
    restarts=$(echo "$properties" | sed -n 's/^NRestarts=//p')
    state=starting
    case $properties in
        *ActiveState=active*) if ! echo "$properties" | grep -q '^Job=[1-9]'; then state=ready; fi ;;
        *ActiveState=failed*) state=ended ;;
    esac
    # Once may be a peer that is late; three times is a fault.
    if [ "${restarts:-0}" -ge 3 ]; then state=ended; fi
}

# A server is up before its node is. Agents are not: their service is ready when their node is a member.
read_node_state() {
    if [ "$state" != ready ] || [ "$subcommand" != server ] || [ -z "$node" ]; then return 0; fi
    condition=$($sudo env K3S_DATA_DIR="$data_dir" "$bin_dir/k3s" kubectl --request-timeout=5s --cache-dir "$tmp/kubectl" \
        --kubeconfig "$data_dir/server/cred/admin.kubeconfig" get node "$node" -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status}: {.message}{end}' 2>&1 | tail -n 1)
    case $condition in
        True:*) ;;
        *) state=starting step="its node $node, which is not Ready (${condition#*: })" ;;
    esac
}

new_log() { tail -c "+$((log_size + 1))" "$log_file" 2>/dev/null || true; }

recent_errors() {
    if [ "$init" = openrc ]; then
        new_log
    else
        $sudo journalctl -u "$service" --since "@$started_at" --no-pager -o cat 2>/dev/null
    fi >"$tmp/said"
    # A program that ends without a word of its own: what was said of it.
    { grep -E '(^|[[:space:]])(WARN|ERROR)[[:space:]]|^Error |cannot' "$tmp/said" || cat "$tmp/said"; } |
        tail -n 8 | cut -c 1-400 | sed 's/^/          /'
}

wait_until_ready() {
    ends=$(($(date +%s) + ready_timeout))
    step_before=
    while :; do
        read_state
        read_node_state
        if [ "$state" = ready ]; then
            info "$service is ready"
            return 0
        fi
        if [ -n "$step" ] && [ "$step" != "$step_before" ]; then info "  $step"; fi
        if [ -n "$step" ]; then step_before=$step; fi
        if [ "$state" = ended ] || [ "$(date +%s)" -ge "$ends" ]; then break; fi
        sleep 1
    done
    echo "[ERROR] $service is not ready: $(blocked_because)" >&2
    recent_errors >&2 || true
    echo "        It goes on trying; follow it with: $follow" >&2
    exit 1
}

blocked_because() {
    if [ "$state" = ended ]; then
        echo "it ended again and again${step_before:+, last at \"$step_before\"}"
    else
        echo "after $ready_timeout s it is still at ${step_before:-its start}"
    fi
}

read_switches() {
    keep=$(switch INSTALL_K3S_KEEP true)
    dry_run=$(switch INSTALL_K3S_DRY_RUN false)
    skip_download=${INSTALL_K3S_SKIP_DOWNLOAD:-false}
    case $skip_download in binary | selinux) ;; *) skip_download=$(switch INSTALL_K3S_SKIP_DOWNLOAD false) ;; esac
    skip_enable=$(switch INSTALL_K3S_SKIP_ENABLE false)
    skip_start=$(switch INSTALL_K3S_SKIP_START false)
    force_restart=$(switch INSTALL_K3S_FORCE_RESTART false)
    selinux_warn=$(switch INSTALL_K3S_SELINUX_WARN false)
    skip_selinux_rpm=$(switch INSTALL_K3S_SKIP_SELINUX_RPM false)
    bin_dir_read_only=$(switch INSTALL_K3S_BIN_DIR_READ_ONLY false)
    ready_timeout=${INSTALL_K3S_READY_TIMEOUT:-300}
    case $ready_timeout in
        *[!0-9]*) fatal "Cannot wait \"$ready_timeout\" (INSTALL_K3S_READY_TIMEOUT): not a number of seconds" "Set it to a whole number; 0 does not wait" ;;
    esac
}

main() {
    for word in "$@"; do
        case $word in --help | -h) usage && exit 0 ;; esac
    done
    read_switches
    if [ "$bin_dir_read_only" = true ]; then skip_download=true; fi
    changed=false
    sudo=

    umask 022
    make_temporary_folder

    check_machine
    read_arguments "$@"
    choose_service
    choose_places
    if [ "$init" = openrc ]; then follow="tail -f /var/log/$service.log"; else follow="journalctl -fu $service"; fi
    collect_settings
    check_other_services
    check_selinux
    obtain_executable
    check_space
    validate_arguments
    check_data_space
    show_changes

    install_executable
    link_tools
    install_images
    write_killall
    write_uninstall
    write_service
    start_service
}

# In braces, so that a script that was cut off in this line does nothing either.
{ main "$@"; }
