# Two commands: `make run` builds and starts everything, `make test` checks everything.
# Both set up what they need on a fresh Debian 12 with Rust, Node 20 and npm.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

CARGO ?= cargo
NPM ?= npm
SERVER := target/release/teranga
# What is built of it. The tests want a bench too, under the features of the whole workspace, so that nothing is compiled twice.
RELEASED := --bin teranga
BENCHED := --workspace --bin bridge-bench $(if $(TERANGA_BIN),,--bin teranga)
test: RELEASED := $(BENCHED)
CLIENT := web-client/dist/index.html
CLIENT_SOURCES := $(shell find web-client -path '*/node_modules' -prune -o -path web-client/dist -prune -o -type f -print)
# What cargo would rebuild the server for: a second `make run` starts without asking cargo.
SERVER_SOURCES := Cargo.toml Cargo.lock $(shell find crates bridge signaling focus -name '*.rs' -o -name Cargo.toml)

.PHONY: run test client server released fmt clippy test-rust test-client test-browser setup setup-tests setup-browser setup-peers clean fuzz bench bench-cores bench-memory bench-instructions bench-idle bench-report load

run: $(SERVER)
	@exec $(SERVER) serve $(ARGS)

client: $(CLIENT)
server: $(SERVER)
# What the tests start of what is released.
released: $(CLIENT) | setup
	$(CARGO) build --release --locked $(BENCHED)

# A C compiler builds AWS-LC (TLS, DTLS, SRTP); nothing else of the system is needed to build.
setup:
	@command -v cc >/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends build-essential; }

# coturn's client is the other side of the TURN tests, slapd that of the LDAP tests, which start it themselves; masked, neither
# service starts by itself. tshark reads the packet traces, ffmpeg decodes what the load generator sends, valgrind counts
# instructions, iproute2 makes the hosts that lack something, which takes root; cmake and libclang build BoringSSL, with
# which our DTLS is compared.
setup-tests: setup tests/xmpp/node_modules/.installed
	@test -x /usr/bin/turnutils_uclient -a -x /usr/bin/tshark -a -x /usr/bin/ffmpeg -a -x /usr/bin/valgrind -a -x /usr/sbin/ip \
		-a -x /usr/bin/cmake -a -e /usr/lib/llvm-14/lib/libclang.so.1 -a -x /usr/sbin/slapd -a -x /usr/bin/ldapsearch || { \
		mkdir -p /etc/systemd/system && ln -sf /dev/null /etc/systemd/system/coturn.service && \
		ln -sf /dev/null /etc/systemd/system/slapd.service && \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends coturn tshark ffmpeg \
		slapd ldap-utils valgrind iproute2 cmake libclang1-14 libclang-common-14-dev; }

setup-browser: setup
	@test -x /usr/bin/chromium -a -x /usr/bin/firefox-esr -a -x /usr/sbin/nginx -a -x /usr/bin/openssl \
		-a -x /usr/sbin/nft -a -x /sbin/ip -a -x /sbin/sysctl -a -x /usr/bin/curl || { apt-get update -q && \
		apt-get install -qy --no-install-recommends chromium firefox-esr fonts-liberation nginx-light openssl nftables iproute2 procps curl; }

# What benches/peers starts beside the server, as far as Debian has it. Masked, none of it starts by itself. Not for the tests.
setup-peers:
	@test -x /usr/bin/prosody -a -x /usr/bin/janus -a -x /usr/sbin/nginx -a -x /usr/bin/java -a -x /usr/sbin/ip || { \
		mkdir -p /etc/systemd/system && ln -sf /dev/null /etc/systemd/system/prosody.service && \
		ln -sf /dev/null /etc/systemd/system/janus.service && apt-get update -q && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends prosody lua-sec lua-cjson lua-basexx \
		lua-luaossl lua-inspect janus nginx-light openssl curl iproute2 default-jre-headless; }

web-client/node_modules/.installed: web-client/package-lock.json
	$(NPM) --prefix web-client ci --no-audit --no-fund
	@touch $@

tests/browser/node_modules/.installed: tests/browser/package-lock.json
	$(NPM) --prefix tests/browser ci --no-audit --no-fund
	@touch $@

# XMPP libraries of others, which the tests of signaling start under Node.
tests/xmpp/node_modules/.installed: tests/xmpp/package-lock.json
	$(NPM) --prefix tests/xmpp ci --no-audit --no-fund
	@touch $@

$(CLIENT): web-client/node_modules/.installed $(CLIENT_SOURCES)
	$(NPM) --prefix web-client run build
	@touch $@

$(SERVER): $(CLIENT) $(SERVER_SOURCES) | setup
	$(CARGO) build --release --locked $(RELEASED)
	@touch $@

fmt:
	$(CARGO) fmt --all --check

clippy: $(CLIENT) | setup-tests
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

# OpenSSL waits up to a minute for what was lost, and needs no processor for it: the others run meanwhile.
WAITING := lost_fragments_only_cost_time
test-rust: $(CLIENT) | setup-tests
	$(CARGO) test --workspace --locked --no-run
	$(CARGO) test --workspace --locked --test openssl $(WAITING) & waits=$$!; \
		$(CARGO) test --workspace --locked -- --skip $(WAITING) || { kill $$waits; exit 1; }; wait $$waits

test-client: $(CLIENT)
	$(NPM) --prefix web-client run verify

# The all-in-one is tested as released, or the one that TERANGA_BIN names; the services as processes of their own in their debug
# form, which the Rust tests have built already.
test-browser: $(if $(TERANGA_BIN),,$(SERVER)) tests/browser/node_modules/.installed | setup-browser
	$(CARGO) build --workspace --bins --tests --locked
	$(NPM) --prefix tests/browser run lint
	$(NPM) --prefix tests/browser test

# In this order, also with make -j: what fails fast comes first, two cores are not shared by three compilers, and no compiler runs
# beside browsers, which tell of each fifth of a second without sound.
.NOTPARALLEL:
test: setup setup-tests setup-browser fmt test-client clippy test-rust released test-browser bench-instructions

# What pieces of the way of a packet and of a stanza cost, then what the bridge costs for a packet, beside a loop that only
# decrypts, seals and sends (benches/README.md). About eight minutes; ARGS="--scenario meeting16 --rounds 3" for a glance.
bench: | setup setup-tests
	$(CARGO) run --release --locked -p benches --bin bridge-bench -- micro
	$(CARGO) run --release --locked -p benches --bin bridge-bench -- $(ARGS)

# Whether a second media thread brings another core, what a participant takes of memory, and user-space instructions for
# a packet under valgrind, which have a limit.
bench-cores bench-memory bench-instructions: bench-%: | setup setup-tests
	$(CARGO) build --release --locked $(BENCHED)
	target/release/bridge-bench $* $(ARGS)

# Simulated participants against a deployment: make load ARGS="https://localhost:8443 --insecure --participants 20".
load: | setup
	$(CARGO) run --release --locked -p benches --bin teranga-load -- $(ARGS)

# Resident memory of an idle server, and the limit that it has to keep.
bench-idle: $(SERVER)
	benches/idle-memory $(SERVER)

# Fuzzes every parser of network input, one after the other, with a nightly compiler; TIME in seconds for each.
# TARGETS="stun sctp" for some of them; EXTEND=1 adds what reaches more to tests/fuzz/corpus.
fuzz: | setup
	TIME=$(TIME) EXTEND=$(EXTEND) tests/fuzz/run $(TARGETS)

# Teranga beside the Java stack under the same load, into README.md. The Java stack has to be on this host already
# (benches/peers/README.md): make bench-report JITSI_VIDEOBRIDGE_DIR=… JICOFO_DIR=… JITSI_PROSODY_PLUGINS_DIR=…
bench-report: $(SERVER) | setup setup-peers
	$(CARGO) build --release --locked -p benches --bin teranga-load
	benches/bench-report $(SERVER) target/release/teranga-load

clean:
	$(CARGO) clean
	rm -rf web-client/dist web-client/node_modules tests/browser/node_modules tests/xmpp/node_modules
