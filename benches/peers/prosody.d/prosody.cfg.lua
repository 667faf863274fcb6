-- Prosody with a plain MUC: guests, WebSocket, stream management, and rooms as Jitsi has them. Nothing slows it down: no
-- modules of Jitsi, no limits.

local domain = ENV_PEER_DOMAIN
local state = ENV_PEER_STATE

run_as_root = true
pidfile = state .. "/prosody.pid"
data_path = state .. "/data"
certificates = state
log = { warn = "*console" }
admins = { "focus@auth." .. domain }
gc = { mode = "incremental", threshold = 400, speed = 250, step_size = 13 }

modules_enabled = { "saslauth", "disco", "posix", "ping" }
modules_disabled = { "offline", "register", "s2s" }
allow_registration = false

c2s_ports = {}
http_interfaces = { ENV_PEER_ADDRESS }
http_ports = { tonumber(ENV_PEER_HTTP_PORT) }
https_ports = {}
http_default_host = domain
consider_websocket_secure = true
cross_domain_websocket = true

smacks_max_unacked_stanzas = 5
smacks_hibernation_time = 60
smacks_max_old_sessions = 1
storage = { smacks_h = "memory" }

VirtualHost(domain)
    authentication = "anonymous"
    modules_enabled = { "websocket", "smacks" }

-- The account that opens rooms is a file under data_path, laid by the script that starts this.
VirtualHost("auth." .. domain)
    authentication = "internal_plain"
    modules_enabled = { "smacks" }

Component("muc." .. domain) "muc"
    storage = "memory"
    restrict_room_creation = "admin"
    component_admins_as_room_owners = true
    muc_room_locking = false
    muc_room_default_public_jids = true
    muc_room_cache_size = 10000
    muc_tombstones = false
