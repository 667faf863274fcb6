// A page on the stock library (lib-jitsi-meet), through its public API alone: joins a room, sends camera and microphone,
// shows every remote track as an element that `probes.mjs` can read, and keeps `window.stock` up to date for the test.
//
// Query: `room`, `name`, `preferSctp` (bridge channel as data channel, or as WebSocket). Not here: the library itself,
// which the test serves from a folder outside the project.

const query = new URLSearchParams(location.search);
const room = query.get('room');
const events = JitsiMeetJS.events;

const stock = {
  version: JitsiMeetJS.version ?? null,
  /** 'connecting', 'connected', 'joined', 'left' or 'failed' */
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
  errors: [],
  // Put in place once joined:
  setMuted: null,
  sendToEndpoint: null,
  sendChat: null,
  leave: null,
};
window.stock = stock;

const fail = (what, ...details) => {
  stock.errors.push([what, ...details.map(String)].join(' '));
  stock.state = 'failed';
};

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
  on('CONFERENCE_FAILED', (...details) => fail('conference failed', ...details));
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
  on('MESSAGE_RECEIVED', (from, text) => stock.chat.push({ from, text }));

  stock.setMuted = (kind, muted) => {
    const track = localTracks.find((local) => local.getType() === kind);
    return muted ? track.mute() : track.unmute();
  };
  stock.sendToEndpoint = (to, payload) => conference.sendEndpointMessage(to, payload);
  stock.sendChat = (text) => conference.sendTextMessage(text);
}

async function join(connection, options) {
  const localTracks = await JitsiMeetJS.createLocalTracks({ devices: ['audio', 'video'], resolution: 360 });
  const conference = connection.initJitsiConference(room, options);
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
  const connection = new JitsiMeetJS.JitsiConnection(null, null, options);
  connection.addEventListener(events.connection.CONNECTION_ESTABLISHED, () => {
    stock.state = 'connected';
    join(connection, options).catch((error) => fail('join', error?.message ?? error));
  });
  connection.addEventListener(events.connection.CONNECTION_FAILED, (...details) => fail('connection failed', ...details));
  connection.connect({ name: room });
}

start();
