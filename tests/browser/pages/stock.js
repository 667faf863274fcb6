// A page on the stock library (lib-jitsi-meet), through its public API alone: joins a room, sends camera and microphone,
// shows every remote track as an element that `probes.mjs` can read, and keeps `window.stock` up to date for the test.
//
// Query: `room`, `name`, `preferSctp` (bridge channel as data channel, or as WebSocket), `jwt` (a token), `silent` (neither camera
// nor microphone), `preferVisitor` (comes as a visitor, as the stock web app does when asked to). What the buttons of the stock web app call stands at `window.conference`. Not here: the library itself, which
// the test serves from a folder outside the project.

const query = new URLSearchParams(location.search);
const room = query.get('room');
const events = JitsiMeetJS.events;

const stock = {
  version: JitsiMeetJS.version ?? null,
  /** 'connecting', 'connected', 'waiting' (for a host), 'lobby', 'refused' (by a gate that can be passed), 'joined', 'left' or 'failed' */
  state: 'connecting',
  /** own endpoint id */
  id: null,
  /** endpoint id → display name of the others */
  users: {},
  /** one entry a remote track: { owner, kind, muted, source } */
  tracks: [],
  channelOpen: false,
  dominantSpeaker: null,
  /** { from, payload } of each message through the bridge */
  endpointMessages: [],
  /** { from, text } of each chat message */
  chat: [],
  /** { name, details } of each event of the conference, in order; of people and tracks their ids */
  events: [],
  /** the visitor node that it is at, or null */
  vnode: null,
  /** whether this one moderates */
  moderator: false,
  /** endpoint id → display name of those who wait in the lobby, as moderators are told */
  knocking: {},
  errors: [],
  // Put in place once joined:
  setMuted: null,
  sendToEndpoint: null,
  sendChat: null,
  leave: null,
  enter: null,
  /** Leaves, and comes back as a visitor. */
  becomeVisitor: null,
  /** Logs a host in by the library's second stream; answers the error of a refusal, or null. */
  logIn: null,
};
window.stock = stock;
window.conference = null;

/** What can be told of an argument of an event outside of the page. */
function tell(detail) {
  if (typeof detail?.getParticipantId === 'function') {
    return detail.getParticipantId();
  }
  if (typeof detail?.getId === 'function') {
    return detail.getId();
  }
  if (detail === null || typeof detail !== 'object') {
    return detail ?? null;
  }
  // Of plain data only: other objects lead on to all of the library.
  if ([Object.prototype, Array.prototype].includes(Object.getPrototypeOf(detail))) {
    const entries = Object.entries(detail).map(([key, value]) => [key, tell(value)]);
    return Array.isArray(detail) ? entries.map(([, value]) => value) : Object.fromEntries(entries);
  }
  return String(detail);
}

function note(conference) {
  for (const [name, event] of Object.entries(events.conference)) {
    conference.on(event, (...details) => stock.events.push({ name, details: details.map(tell) }));
  }
}

const fail = (what, ...details) => {
  stock.errors.push([what, ...details.map(String)].join(' '));
  stock.state = 'failed';
};

/** As the stock web app asks again while its dialog says that the host is waited for. */
const HOST_INTERVAL_MS = 5_000;

/** Where the probes look for the track of that owner. */
const elementId = (track) => `remote-${track.getParticipantId()}-${track.getType()}`;

function show(track) {
  const element = document.createElement(track.getType());
  element.id = elementId(track);
  element.autoplay = true;
  document.body.append(element);
  track.attach(element);
  updateTracks(track.conference);
}

function hide(track) {
  const element = document.getElementById(elementId(track));
  if (element) {
    track.detach(element);
    element.remove();
  }
  updateTracks(track.conference);
}

function updateTracks(conference) {
  stock.tracks = conference
    .getParticipants()
    .flatMap((participant) => participant.getTracks())
    .map((track) => ({
      owner: track.getParticipantId(),
      kind: track.getType(),
      muted: track.isMuted(),
      source: track.getSourceName(),
    }));
}

function listen(conference, localTracks) {
  const on = (event, handler) => conference.on(events.conference[event], handler);
  on('CONFERENCE_JOINED', () => {
    stock.id = conference.myUserId();
    stock.state = 'joined';
  });
  on('CONFERENCE_LEFT', () => {
    stock.state = 'left';
  });
  on('CONFERENCE_FAILED', (error, ...details) => {
    const { AUTHENTICATION_REQUIRED, MEMBERS_ONLY_ERROR, PASSWORD_REQUIRED } = JitsiMeetJS.errors.conference;
    if (error === AUTHENTICATION_REQUIRED) {
      stock.state = 'waiting';
      setTimeout(() => stock.state === 'waiting' && conference.join(), HOST_INTERVAL_MS);
    } else if (error === MEMBERS_ONLY_ERROR) {
      stock.state = 'lobby';
    } else if (error === PASSWORD_REQUIRED) {
      stock.state = 'refused';
    } else {
      fail('conference failed', error, ...details);
    }
  });
  on('CONFERENCE_ERROR', (...details) => fail('conference error', ...details));
  on('USER_JOINED', (id, user) => {
    stock.users[id] = user.getDisplayName();
  });
  on('DISPLAY_NAME_CHANGED', (id, name) => {
    stock.users[id] = name;
  });
  on('USER_LEFT', (id) => {
    delete stock.users[id];
    updateTracks(conference);
  });
  on('USER_ROLE_CHANGED', () => {
    stock.moderator = conference.isModerator();
  });
  on('LOBBY_USER_JOINED', (id, name) => {
    stock.knocking[id] = name;
  });
  on('LOBBY_USER_LEFT', (id) => {
    delete stock.knocking[id];
  });
  on('TRACK_ADDED', (track) => !track.isLocal() && show(track));
  on('TRACK_REMOVED', (track) => !track.isLocal() && hide(track));
  on('TRACK_MUTE_CHANGED', () => updateTracks(conference));
  on('DATA_CHANNEL_OPENED', () => {
    stock.channelOpen = true;
  });
  on('DATA_CHANNEL_CLOSED', () => {
    stock.channelOpen = false;
  });
  on('DOMINANT_SPEAKER_CHANGED', (id) => {
    stock.dominantSpeaker = id;
  });
  on('ENDPOINT_MESSAGE_RECEIVED', (participant, payload) => {
    stock.endpointMessages.push({ from: participant.getId(), payload });
  });
  on('VISITORS_MESSAGE', ({ action, id }) => {
    if (action === 'demote-request' && id === conference.myUserId()) {
      stock.becomeVisitor().catch((error) => fail('demotion', error?.message ?? error));
    }
  });
  on('MESSAGE_RECEIVED', (from, text) => stock.chat.push({ from, text }));

  stock.logIn = (user, password) =>
    conference.authenticateAndUpgradeRole({ id: `${user}@${config.hosts.authdomain}`, password }).then(
      () => null,
      ({ connectionError, authenticationError, message }) => [connectionError ?? authenticationError, message].join(' '),
    );
  stock.setMuted = (kind, muted) => {
    const track = localTracks.find((local) => local.getType() === kind);
    return muted ? track.mute() : track.unmute();
  };
  stock.sendToEndpoint = (to, payload) => conference.sendEndpointMessage(to, payload);
  stock.sendChat = (text) => conference.sendTextMessage(text);
}

async function join(connection, options) {
  const devices = query.has('silent') ? [] : ['audio', 'video'];
  const localTracks = devices.length > 0 ? await JitsiMeetJS.createLocalTracks({ devices, resolution: 360 }) : [];
  await enter(connection, options, localTracks, room);
  stock.enter = async (name, domain) => {
    // By that the server keeps the place of who moves (jitsi-meet's CONFERENCE_LEAVE_REASONS).
    await window.conference.leave('switch_room');
    stock.tracks = [];
    stock.users = {};
    await enter(connection, { ...options, customDomain: domain }, localTracks, name);
  };
}

/** Joins a room over a connection that stands, as the stock web app does when it goes to a breakout room and back. */
async function enter(connection, options, localTracks, name) {
  const conference = connection.initJitsiConference(name, options);
  window.conference = conference;
  note(conference);
  listen(conference, localTracks);
  conference.setDisplayName(query.get('name'));
  await Promise.all(localTracks.map((track) => conference.addTrack(track)));
  conference.setReceiverConstraints({ lastN: -1, defaultConstraints: { maxHeight: 720 } });
  conference.join();
  stock.leave = async () => {
    await conference.leave();
    await connection.disconnect();
  };
}

/**
 * What the stock web app connects with to a visitor node, or back to the conference under the user name that a moderator let it have:
 * the node's domain in place of the server's, and from then on no request to the focus, which would send it to the node again.
 */
function redirected(options, vnode, focusUserJid, username) {
  const service = new URL(options.serviceUrl);
  if (!vnode) {
    service.searchParams.set('customusername', username);
    return { ...options, focusUserJid, disableFocus: true, serviceUrl: service.href };
  }
  service.searchParams.set('vnode', vnode);
  const domain = `${vnode}.${options.hosts.domain}`;
  const muc = options.hosts.muc.replace(options.hosts.domain, domain);
  return { ...options, hosts: { domain, muc }, focusUserJid, disableFocus: true, p2p: { enabled: false }, serviceUrl: service.href };
}

/** Connects, and again elsewhere when it is told to: `main` has the options of the conference. */
function connect(main, options, vnode = null) {
  const connection = new JitsiMeetJS.JitsiConnection(null, query.get('jwt'), options);
  stock.vnode = vnode;
  const move = async (to, where) => {
    await window.conference?.leave().catch(() => {});
    await connection.disconnect();
    Object.assign(stock, { state: 'connecting', id: null, users: {}, tracks: [] });
    connect(main, to, where);
  };
  connection.addEventListener(events.connection.CONNECTION_ESTABLISHED, () => {
    stock.state = 'connected';
    join(connection, options).catch((error) => fail('join', error?.message ?? error));
  });
  connection.addEventListener(events.connection.CONNECTION_FAILED, (...details) => fail('connection failed', ...details));
  connection.addEventListener(events.connection.CONNECTION_REDIRECTED, (node, focusJid, username) => {
    move(redirected(main, node, focusJid, username), node ?? null).catch((error) => fail('redirect', error?.message ?? error));
  });
  // A moderator makes a visitor of this one.
  stock.becomeVisitor = () => move({ ...main, preferVisitor: true }, null);
  connection.connect({ name: room });
}

function start() {
  JitsiMeetJS.setLogLevel(JitsiMeetJS.logLevels.WARN);
  JitsiMeetJS.init({ ...config, disableAudioLevels: true });
  // As the stock web app does it: the server's config.js, the room in the service URL, rewriting on unless refused.
  const service = new URL(config.websocket, location.href);
  service.protocol = service.protocol.replace('http', 'ws');
  service.searchParams.set('room', room);
  const options = {
    ...config,
    serviceUrl: service.href,
    flags: { ssrcRewritingEnabled: true, ...config.flags },
    bridgeChannel: { ...config.bridgeChannel, preferSctp: query.get('preferSctp') === 'true' },
  };
  connect(options, query.has('preferVisitor') ? { ...options, preferVisitor: true } : options);
}

start();
