# What the scripts beside this file share: a peer's host, which is a network namespace, and its processes.
# shellcheck shell=bash
#
# The peer sets `peer`, `services` (names, in the order in which they end), `state` and `subnet`, and sources this. Then:
# `create_host`, `launch NAME COMMAND…`, `until_ready WHAT COMMAND…`, `finish_start VERSIONS [LINE…]`, `stop`, `status`.

namespace=teranga-$peer
# Benchmarking range of RFC 2544: nobody's network. The middle two addresses of a /30 are the peer and who looks in.
address=198.18.77.$((subnet * 4 + 2))
outside=198.18.77.$((subnet * 4 + 1))
ready_within_s=${PEER_READY_WITHIN:-90}
stopped_within_s=15

fail() {
    echo "peers/$peer: $*" >&2
    exit 1
}

inside() {
    ip netns exec "$namespace" "$@"
}

require_commands() {
    [ "$(id -u)" = 0 ] || fail "needs root, for a network namespace"
    local command
    for command in ip setsid curl openssl "$@"; do
        command -v "$command" >/dev/null || fail "$command is missing (make setup-peers)"
    done
}

# Most servers offer no loopback address as ICE candidate, so that a peer gets a host of its own: a namespace with one end
# of a veth pair. What runs inside reaches the address by the namespace's loopback, as two local processes do.
create_host() {
    ip netns list | grep -qw "$namespace" && fail "already started (benches/peers/$peer stop)"
    if [ -e "$state" ] && [ ! -e "$state/secret" ] && [ -n "$(ls -A "$state")" ]; then
        fail "PEER_STATE=$state has something in it that is not ours"
    fi
    rm -rf "$state"
    umask 077
    mkdir -p "$state"
    state=$(cd "$state" && pwd)
    openssl rand -hex 24 >"$state/secret"
    trap 'stop; exit 130' INT TERM
    ip netns add "$namespace"
    ip -n "$namespace" link set lo up
    ip link add "veth-$peer" type veth peer name host netns "$namespace"
    ip -n "$namespace" address add "$address/30" dev host
    ip -n "$namespace" link set host up
    ip address add "$outside/30" dev "veth-$peer"
    ip link set "veth-$peer" up
    ulimit -n "$(ulimit -Hn)"
    SECONDS=0
}

# Runs a command in the namespace, in a session of its own, with its log in the state directory.
launch() {
    local name=$1 pid
    shift
    setsid ip netns exec "$namespace" "$@" >"$state/$name.log" 2>&1 </dev/null &
    pid=$!
    disown "$pid"
    echo "$pid $(started_at "$pid")" >"$state/$name.process"
}

# Prints the PID of a service that runs; it is ours only if its start time is the one noted. None is noted of what ended at once.
pid_of() {
    local pid started
    [ -r "$state/$1.process" ] || return 1
    read -r pid started <"$state/$1.process"
    [ -n "$started" ] && [ "$(started_at "$pid")" = "$started" ] && echo "$pid"
}

# With those that it works in: nginx has a master and a worker.
pids_of() {
    local pid
    pid=$(pid_of "$1")
    { echo "$pid" && cat "/proc/$pid/task/$pid/children"; } | tr -s ' \n' ',' | sed 's/,$//'
}

started_at() {
    # Field 22 of stat, counted behind the command's name, which may have blanks.
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# Repeats the command until it succeeds, or gives up with the logs' ends.
until_ready() {
    local what=$1 name
    shift
    until "$@" >/dev/null 2>&1; do
        for name in "${services[@]}"; do
            if [ -e "$state/$name.process" ] && ! pid_of "$name" >/dev/null; then
                tail -n 20 "$state/$name.log" >&2
                stop
                fail "$name ended while waiting for $what"
            fi
        done
        if [ "$SECONDS" -ge "$ready_within_s" ]; then
            for name in "${services[@]}"; do
                [ ! -e "$state/$name.log" ] || { echo "$name:" && tail -n 5 "$state/$name.log"; } >&2
            done
            stop
            fail "$what not ready within $ready_within_s s"
        fi
        sleep 0.2
    done
}

# Prints, and keeps for `status`, what a load generator has to be told: PIDs of each service, versions, further lines.
finish_start() {
    local versions=$1 name
    shift
    {
        printf '%s\n' "$@"
        for name in "${services[@]}"; do
            [ ! -e "$state/$name.process" ] || echo "PID_${name^^}=$(pids_of "$name")"
        done
        echo "VERSIONS=$versions"
    } >"$state/running"
    cat "$state/running"
}

stop() {
    local name pid deadline=$((SECONDS + stopped_within_s))
    for name in "${services[@]}"; do
        pid=$(pid_of "$name") && kill "$pid"
    done
    for name in "${services[@]}"; do
        while pid=$(pid_of "$name"); do
            [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$pid" || true
            sleep 0.1
        done
        rm -f "$state/$name.process"
    done
    rm -f "$state/running"
    # The outer end of the pair goes with the namespace, once nothing runs inside.
    ip netns delete "$namespace" 2>/dev/null || true
    ip link delete "veth-$peer" 2>/dev/null || true
}

status() {
    local name
    [ -r "$state/running" ] || fail "not started"
    cat "$state/running"
    for name in "${services[@]}"; do
        [ ! -e "$state/$name.process" ] || pid_of "$name" >/dev/null || fail "$name does not run (see $state/$name.log)"
    done
}

# The command line of all peers but what is a peer's own.
main() {
    case ${1:-} in
        start | stop | status)
            local command=$1
            shift
            "$command" "$@"
            ;;
        exec)
            shift
            [ $# -gt 0 ] || fail "exec what?"
            exec ip netns exec "$namespace" "$@"
            ;;
        *)
            # What the script says of itself, at its top.
            sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2
            exit 2
            ;;
    esac
}
