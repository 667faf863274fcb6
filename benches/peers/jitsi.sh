# Pieces of a deployment with Prosody, Jicofo, Jitsi Videobridge and nginx on one host, for scripts that put them together.
# shellcheck shell=bash
#
# A script sets what host.sh wants and sources this. `check NAME…` tells of each of `prosody`, `jicofo`, `jvb` whether it is
# installed; after `create_host` and `take_places` a piece is started by `launch_NAME`, in a place (ports, domain, accounts)
# that something else can take as well.

pieces=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
videobridge=${JITSI_VIDEOBRIDGE_DIR:-/usr/share/jitsi-videobridge}
jicofo=${JICOFO_DIR:-/usr/share/jicofo}
plugins=${JITSI_PROSODY_PLUGINS_DIR:-/usr/share/jitsi-meet/prosody-plugins}
# shellcheck source=host.sh
. "$pieces/host.sh"

check() {
    local name
    require_commands nginx
    for name in "$@"; do
        case $name in
            prosody)
                require_commands prosody
                [ -r "$plugins/mod_client_proxy.lua" ] || fail "no mod_client_proxy.lua in JITSI_PROSODY_PLUGINS_DIR=$plugins"
                ;;
            jicofo)
                require_commands java
                [ -x "$jicofo/jicofo.sh" ] || fail "no jicofo.sh in JICOFO_DIR=$jicofo"
                ;;
            jvb)
                require_commands java
                [ -x "$videobridge/jvb.sh" ] || fail "no jvb.sh in JITSI_VIDEOBRIDGE_DIR=$videobridge"
                ;;
        esac
    done
}

# Who is where: ports count only inside the namespace.
take_places() {
    PEER_SECRET=$(cat "$state/secret")
    export PEER_SECRET PEER_STATE=$state PEER_ADDRESS=$address PEER_DOMAIN=jitsi.test PEER_PLUGINS=$plugins
    export PEER_SCTP=${JITSI_SCTP:-true} PEER_HTTPS_PORT=9443 PEER_MEDIA_PORT=10000 PEER_C2S_PORT=5222
    export PEER_XMPP_HTTP_PORT=5280 PEER_JICOFO_PORT=8888 PEER_JVB_ADMIN_PORT=8080 PEER_JVB_WS_PORT=9090
    export PEER_SECOND_WS_PORT=9091
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj "/CN=$PEER_DOMAIN" \
        -addext "subjectAltName=DNS:$PEER_DOMAIN,DNS:*.$PEER_DOMAIN,IP:$address" \
        -keyout "$state/key.pem" -out "$state/cert.pem" 2>/dev/null
}

fill_in() {
    sed -e "s|@STATE@|$state|g; s|@ADDRESS@|$address|g; s|@DOMAIN@|$PEER_DOMAIN|g; s|@HTTPS_PORT@|$PEER_HTTPS_PORT|g" \
        -e "s|@XMPP_HTTP_PORT@|$PEER_XMPP_HTTP_PORT|g; s|@JICOFO_PORT@|$PEER_JICOFO_PORT|g; s|@JVB_WS_PORT@|$PEER_JVB_WS_PORT|g" \
        -e "s|@SECOND_WS_PORT@|$PEER_SECOND_WS_PORT|g; s|@SCTP@|$PEER_SCTP|g" "$pieces/jitsi.d/$1" >"$state/$1"
}

launch_prosody() {
    # Prosody's own store: one directory a host, its name escaped as in a URL with lower-case digits.
    local store user
    store="$state/prosody/auth%2e${PEER_DOMAIN//./%2e}"
    mkdir -p "$store/accounts" "$store/roster"
    for user in focus jvb; do
        echo "return { [\"password\"] = \"$PEER_SECRET\" };" >"$store/accounts/$user.dat"
    done
    # The component that hands conference requests to the focus is told of its presence by way of its roster.
    echo "return { [false] = { [\"version\"] = 1; [\"pending\"] = {}; };" \
        "[\"focus.$PEER_DOMAIN\"] = { [\"subscription\"] = \"from\"; [\"groups\"] = {}; }; };" >"$store/roster/focus.dat"
    launch prosody prosody --config "$pieces/jitsi.d/prosody.cfg.lua" -F
    until_ready "XMPP server" get -o /dev/null -H "Host: $PEER_DOMAIN" "http://127.0.0.1:$PEER_XMPP_HTTP_PORT/http-bind"
}

launch_nginx() {
    fill_in nginx.conf
    fill_in config.js
    launch nginx nginx -c "$state/nginx.conf"
    until_ready "web server" get -o /dev/null "https://$address:$PEER_HTTPS_PORT/config.js"
}

launch_jicofo() {
    JAVA_SYS_PROPS="-Dconfig.file=$pieces/jitsi.d/jicofo.conf ${JICOFO_PROPERTIES:-}" launch jicofo "$jicofo/jicofo.sh"
}

launch_jvb() {
    JAVA_SYS_PROPS="-Dconfig.file=$pieces/jitsi.d/jvb.conf ${JVB_PROPERTIES:-}" launch jvb "$videobridge/jvb.sh"
}

get() {
    inside curl -fsk "$@"
}

# Whether a focus, whose statistics are at that port, knows of so many bridges that work.
has_bridges() {
    get "http://127.0.0.1:$1/stats" | grep -q "\"operational_bridge_count\": \?$2\b"
}

# What a focus or a bridge says of itself at that port.
version_at() {
    get "http://127.0.0.1:$1/about/version" | sed 's/.*"version": \?"\([^"]*\)".*/\1/'
}

prosody_version() {
    prosodyctl about 2>/dev/null </dev/null | sed -n 's/^Prosody \([0-9]\)/\1/p'
}

java_version() {
    java -version 2>&1 | sed -n '1s/.*"\(.*\)".*/\1/p'
}
