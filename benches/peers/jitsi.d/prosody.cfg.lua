-- Prosody of a Jitsi deployment, for one host and without authentication. Jitsi's own modules come from the directory of
-- PEER_PLUGINS. What is enabled follows a stock installation; rates and limits too.

local domain = ENV_PEER_DOMAIN
local state = ENV_PEER_STATE
local auth_domain = "auth." .. domain
local muc_domain = "muc." .. domain
local focus = "focus@" .. auth_domain
local jvb = "jvb@" .. auth_domain

run_as_root = true
pidfile = state .. "/prosody.pid"
data_path = state .. "/prosody"
plugin_paths = { ENV_PEER_PLUGINS }
log = { info = "*console" }

admins = { focus, jvb }
unlimited_jids = { focus, jvb }
component_admins_as_room_owners = true
limits = { c2s = { rate = "10kb/s" } }
gc = { mode = "incremental", threshold = 400, speed = 250, step_size = 13 }

modules_enabled = { "roster", "saslauth", "tls", "disco", "posix", "private", "limits", "version", "ping" }
modules_disabled = { "offline", "register", "s2s" }
allow_registration = false

interfaces = { "127.0.0.1" }
c2s_ports = { tonumber(ENV_PEER_C2S_PORT) }
c2s_require_encryption = true
http_interfaces = { "127.0.0.1" }
http_ports = { tonumber(ENV_PEER_XMPP_HTTP_PORT) }
https_ports = {}
http_default_host = domain
trusted_proxies = { "127.0.0.1" }
consider_bosh_secure = true
consider_websocket_secure = true
cross_domain_websocket = true

smacks_max_unacked_stanzas = 5
smacks_hibernation_time = 60
smacks_max_old_sessions = 1
storage = { smacks_h = "memory" }

certificates = state
ssl = { key = state .. "/key.pem", certificate = state .. "/cert.pem" }

-- Rooms that live as long as someone is in them, and that only admins open: the focus does when it is asked for one.
local function temporary_rooms()
    storage = "memory"
    restrict_room_creation = true
    muc_room_locking = false
    muc_room_default_public_jids = true
    muc_room_cache_size = 10000
    muc_tombstones = false
    muc_room_allow_persistent = false
end

muc_mapper_domain_base = domain
muc_mapper_domain_prefix = "muc"

VirtualHost(domain)
    authentication = "jitsi-anonymous"
    modules_enabled = {
        "bosh", "websocket", "smacks", "features_identity", "conference_duration", "muc_lobby_rooms", "muc_breakout_rooms",
    }
    main_muc = muc_domain
    lobby_muc = "lobby." .. domain
    breakout_rooms_muc = "breakout." .. domain

-- The accounts of focus and bridge are files under data_path, laid by the script that starts this.
VirtualHost(auth_domain)
    authentication = "internal_plain"
    modules_enabled = { "limits_exception", "smacks" }
    smacks_hibernation_time = 15

Component("internal-muc." .. domain) "muc"
    temporary_rooms()
    modules_enabled = { "muc_hide_all", "muc_filter_access" }
    muc_filter_whitelist = auth_domain

Component(muc_domain) "muc"
    temporary_rooms()
    modules_enabled = { "muc_hide_all", "muc_meeting_id", "muc_domain_mapper", "muc_password_whitelist", "muc_resource_validate" }
    anonymous_strict = false
    muc_password_whitelist = { focus }

Component("lobby." .. domain) "muc"
    temporary_rooms()
    modules_enabled = { "muc_hide_all" }

Component("breakout." .. domain) "muc"
    temporary_rooms()
    modules_enabled = { "muc_hide_all", "muc_meeting_id" }

Component("focus." .. domain) "client_proxy"
    target_address = focus

Component("speakerstats." .. domain) "speakerstats_component"
    muc_component = muc_domain

Component("endconference." .. domain) "end_conference"
    muc_component = muc_domain

Component("avmoderation." .. domain) "av_moderation_component"
    muc_component = muc_domain

Component("metadata." .. domain) "room_metadata_component"
    muc_component = muc_domain
    breakout_rooms_component = "breakout." .. domain

Component("polls." .. domain) "polls_component"
