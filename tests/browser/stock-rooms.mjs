// The buttons of the stock web app that need the XMPP side only, pressed by the stock library: who did what, and what everybody
// else was told. Run by hand, since the library is not part of the project:
//
//   node tests/browser/stock-rooms.mjs --lib DIR      DIR holds lib-jitsi-meet.min.js, built from its public repository
//     --only NAME                                     only the scenario of that name
//
// Prints a line a thing that was seen; exit code 1 when something was missing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { parseArgs } from 'node:util';
import { launch } from './lib/chromium.mjs';
import { Server } from './lib/server.mjs';
import { StockParticipant } from './lib/stock-participant.mjs';

const { values: args } = parseArgs({
  options: { lib: { type: 'string' }, only: { type: 'string' }, log: { type: 'boolean', default: false } },
});
if (!args.lib) {
  console.error('usage: node stock-rooms.mjs --lib DIR-with-lib-jitsi-meet.min.js [--only NAME] [--log]');
  process.exit(2);
}

const say = (text) => console.log(`  ${text}`);

/** A room, and those who were opened in it. */
class Room {
  #opened = [];

  constructor(browser, url, name) {
    this.browser = browser;
    this.url = url;
    this.name = name;
  }

  open(index, options = {}) {
    return this.#open({ index, url: this.url, ...options });
  }

  async #open(options) {
    const stock = await StockParticipant.open({ browser: this.browser, lib: args.lib, log: args.log, room: this.name, ...options });
    this.#opened.push(stock);
    return stock;
  }

  async join(index, options) {
    const stock = await this.open(index, options);
    await stock.until('joined', (now) => now.state === 'joined');
    stock.id = (await stock.state()).id;
    return stock;
  }

  /** The first is the moderator. */
  async joinAll(count) {
    const all = [];
    for (let index = 0; index < count; index += 1) {
      all.push(await this.join(index));
    }
    await all[0].until('a moderator', () => window.conference.isModerator());
    for (const stock of all) {
      await stock.until('told of the others', (now, others) => Object.keys(now.users).length === others, count - 1);
    }
    return all;
  }

  close() {
    return Promise.all(this.#opened.map((stock) => stock.context.close()));
  }
}

const byId = (details, id) => details[0] === id;

async function chat(room) {
  const [ada, bob, cy] = await room.joinAll(3);
  await ada.does((conference) => conference.sendTextMessage('hello'));
  await bob.hears('MESSAGE_RECEIVED', (details, id) => details[0] === id && details[1] === 'hello', ada.id);
  const messageId = (await bob.told('MESSAGE_RECEIVED')).find((details) => details[1] === 'hello')[5];
  assert.ok(messageId);
  await cy.hears('MESSAGE_RECEIVED', (details, id) => details[5] === id, messageId);
  say('a message reaches all, under one id');

  await bob.does((conference, id) => conference.sendReaction('👍', id), messageId);
  await ada.hears('REACTION_RECEIVED', (details, [from, id]) => details[0] === from && details[1].includes('👍') && details[2] === id, [bob.id, messageId]);
  say('a reaction shows at its author’s message');

  await bob.does((conference, to) => conference.sendPrivateTextMessage(to, 'psst'), ada.id);
  await ada.hears('PRIVATE_MESSAGE_RECEIVED', (details, id) => details[0] === id && details[1] === 'psst', bob.id);
  assert.deepEqual(await cy.told('PRIVATE_MESSAGE_RECEIVED'), []);
  say('a private message reaches one');

  await ada.does((conference, id) => conference.sendMessageRetraction(id), messageId);
  await cy.hears('MESSAGE_RETRACTED', (details, id) => details[1] === id, messageId);
  say('its author takes the message back');
  const late = await room.join(3);
  assert.ok(!(await late.told('MESSAGE_RECEIVED')).some((details) => details[1] === 'hello'));
  say('who comes later does not see it');
}

async function moderator(room) {
  const [ada, bob] = await room.joinAll(2);
  assert.equal(await bob.does((conference) => conference.isModerator()), false);
  await ada.does((conference, id) => conference.grantOwner(id), bob.id);
  await bob.until('a moderator', () => window.conference.isModerator());
  await ada.hears('USER_ROLE_CHANGED', (details, id) => details[0] === id && details[1] === 'moderator', bob.id);
  say('who is made a moderator is told, and so are the others');
  await ada.does((conference) => conference.setSubject('Planning'));
  await bob.hears('SUBJECT_CHANGED', (details) => details[0] === 'Planning');
  say('the subject shows at the others');
}

async function password(room) {
  const [ada, bob] = await room.joinAll(2);
  await ada.does((conference) => conference.lock('sesame'));
  for (const one of [ada, bob]) {
    await one.hears('LOCK_STATE_CHANGED', (details) => details[0] === true);
  }
  const cy = await room.open(2);
  await cy.hears('CONFERENCE_FAILED', (details) => details[0] === 'conference.passwordRequired');
  await cy.does((conference) => conference.join('wrong'));
  await cy.until('refused twice', (now) => now.events.filter((event) => event.name === 'CONFERENCE_FAILED').length === 2);
  await cy.does((conference) => conference.join('sesame'));
  await cy.until('joined', (now) => now.state === 'joined');
  say('no password and a wrong one are refused, the right one opens');
  await ada.does((conference) => conference.unlock());
  await bob.hears('LOCK_STATE_CHANGED', (details) => details[0] === false);
  await room.join(3);
  say('without the lock everybody gets in');
}

async function lobby(room) {
  const [ada, bob] = await room.joinAll(2);
  await ada.does((conference) => conference.enableLobby());
  await bob.hears('MEMBERS_ONLY_CHANGED', (details) => details[0] === true);
  const cy = await room.open(2);
  await cy.hears('CONFERENCE_FAILED', (details) => details[0] === 'conference.connectionError.membersOnly');
  await cy.does((conference) => conference.joinLobby('Cy in front', ''));
  await ada.hears('LOBBY_USER_JOINED', (details) => details[1] === 'Cy in front');
  const knocking = (await ada.told('LOBBY_USER_JOINED')).at(-1)[0];
  assert.deepEqual(await bob.told('LOBBY_USER_JOINED'), []);
  say('who knocks shows at the moderator, and at him only');
  await ada.does((conference, id) => conference.lobbyDenyAccess(id), knocking);
  await cy.hears('CONFERENCE_FAILED', (details) => details[0] === 'conference.connectionError.accessDenied');
  say('who is denied is told');

  const di = await room.open(3);
  await di.hears('CONFERENCE_FAILED', (details) => details[0] === 'conference.connectionError.membersOnly');
  await di.does((conference) => conference.joinLobby('Di in front', ''));
  await ada.hears('LOBBY_USER_JOINED', (details) => details[1] === 'Di in front');
  const second = (await ada.told('LOBBY_USER_JOINED')).find((details) => details[1] === 'Di in front')[0];
  await ada.does((conference, id) => conference.lobbyApproveAccess(id), second);
  await di.until('joined', (now) => now.state === 'joined');
  await bob.until('told of the new one', (now) => Object.values(now.users).some((name) => name?.startsWith('Stock 3') || name?.startsWith('Di')));
  say('who is let in is in');
  await ada.does((conference) => conference.disableLobby());
  await bob.hears('MEMBERS_ONLY_CHANGED', (details) => details[0] === false);
  say('the lobby ends');
}

async function kick(room) {
  const [ada, bob, cy] = await room.joinAll(3);
  await bob.does((conference, id) => conference.kickParticipant(id, 'try'), cy.id);
  await ada.does((conference, id) => conference.kickParticipant(id, 'enough'), bob.id);
  await bob.hears('KICKED', (details, id) => details[0] === id && details[1] === 'enough', ada.id);
  await cy.hears('PARTICIPANT_KICKED', (details, ids) => details[0] === ids[0] && details[1] === ids[1], [ada.id, bob.id]);
  assert.deepEqual(await cy.told('KICKED'), []);
  say('a moderator removes somebody, who is told by whom and why; a guest cannot');
}

async function moderation(room) {
  const [ada, bob, cy] = await room.joinAll(3);
  assert.equal(await ada.does((conference) => conference.isAVModerationSupported()), true);
  await ada.does((conference) => conference.enableAVModeration('audio'));
  for (const one of [bob, cy]) {
    await one.hears('AV_MODERATION_CHANGED', (details) => details[0].enabled === true && details[0].mediaType === 'audio');
  }
  await ada.does((conference, id) => conference.avModerationApprove('audio', id), bob.id);
  await bob.hears('AV_MODERATION_APPROVED', (details) => details[0].mediaType === 'audio');
  await ada.hears('AV_MODERATION_PARTICIPANT_APPROVED', (details, id) => details[0].participant === id, bob.id);
  assert.deepEqual(await cy.told('AV_MODERATION_APPROVED'), []);
  await ada.does((conference, id) => conference.avModerationReject('audio', id), bob.id);
  await bob.hears('AV_MODERATION_REJECTED');
  await ada.does((conference) => conference.disableAVModeration('audio'));
  await cy.hears('AV_MODERATION_CHANGED', (details) => details[0].enabled === false);
  say('moderation of audio begins, approves, rejects and ends');
  await ada.does((conference, id) => conference.muteParticipant(id, 'audio'), bob.id);
  await bob.hears('TRACK_MUTE_CHANGED', (details, id) => details[1] === id, ada.id);
  await cy.until('showing the mute', (now, id) => now.tracks.some((track) => track.owner === id && track.kind === 'audio' && track.muted), bob.id);
  say('a moderator mutes somebody, who is told by whom');
  await ada.does((conference) => conference.setStartMutedPolicy({ audio: true, video: false }));
  await bob.hears('METADATA_UPDATED', (details) => details[0].startMuted?.audio === true);
  const late = await room.join(3);
  await late.hears('START_MUTED_POLICY_CHANGED', (details) => details[0].audio === true);
  say('who comes later is told to start muted');
}

async function breakout(room) {
  const [ada, bob, cy] = await room.joinAll(3);
  await ada.does((conference) => conference.getBreakoutRooms().createBreakoutRoom('Group one'));
  const named = (rooms, name) => Object.values(rooms).find((one) => one.name === name);
  await bob.hears('BREAKOUT_ROOMS_UPDATED', (details) => Object.values(details[0].rooms).some((one) => one.name === 'Group one'));
  const latest = async (one) => (await one.told('BREAKOUT_ROOMS_UPDATED')).at(-1)[0].rooms;
  const group = named(await latest(bob), 'Group one');
  await ada.does((conference, jid) => conference.getBreakoutRooms().renameBreakoutRoom(jid, 'Group two'), group.jid);
  await cy.hears('BREAKOUT_ROOMS_UPDATED', (details) => Object.values(details[0].rooms).some((one) => one.name === 'Group two'));
  say('a room is made and renamed');
  const main = Object.values(await latest(ada)).find((one) => one.isMainRoom);
  const [, { jid: bobJid }] = Object.entries(main.participants).find(([occupant]) => occupant.endsWith(`/${bob.id}`));
  await ada.does((conference, [participant, jid]) => conference.getBreakoutRooms().sendParticipantToRoom(participant, jid), [bobJid, group.jid]);
  await bob.hears('BREAKOUT_ROOMS_MOVE_TO_ROOM', byId, group.jid);
  const [name, domain] = group.jid.split('@');
  await bob.page.evaluate(([to, at]) => window.stock.enter(to, at), [name, domain]);
  await bob.until('in the breakout room', (_, jid) => window.conference.room?.roomjid === jid && window.conference.isJoined(), group.jid);
  await ada.hears('BREAKOUT_ROOMS_UPDATED', (details, jid) => Object.values(details[0].rooms).some((one) => one.jid === jid && Object.keys(one.participants).length === 1), group.jid);
  say('who is sent there is there, and shows there at the moderator');
  await ada.does((conference, jid) => conference.getBreakoutRooms().removeBreakoutRoom(jid), group.jid);
  await bob.hears('CONFERENCE_FAILED', (details) => details[0] === 'conference.destroyed' && details[1] === 'Breakout room removed.');
  await bob.page.evaluate((to) => window.stock.enter(to), room.name);
  await ada.until('told that he is back', (now, id) => id in now.users, bob.id);
  await ada.hears('BREAKOUT_ROOMS_UPDATED', (details) => Object.keys(details[0].rooms).length === 1);
  say('when it is closed, its people are told, and can go back');
}

async function polls(room) {
  const [ada, bob] = await room.joinAll(2);
  await ada.does((conference) => conference.getPolls().createPoll('poll-1', 'Tea?', [{ name: 'Yes' }, { name: 'No' }]));
  await bob.hears('POLL_RECEIVED', (details) => details[0].pollId === 'poll-1' && details[0].question === 'Tea?');
  await bob.does((conference) => conference.getPolls().answerPoll('poll-1', [true, false]));
  await ada.hears('POLL_ANSWER_RECEIVED', (details) => details[0].pollId === 'poll-1' && details[0].answers[0] === true);
  const late = await room.join(2);
  await late.hears('POLL_RECEIVED', (details) => details[0].pollId === 'poll-1' && details[0].history === true);
  say('a poll is asked and answered; who comes later sees it');
}

async function speakers(room) {
  const [, bob] = await room.joinAll(2);
  await bob.until('counting somebody’s speech', () => Object.values(window.conference.getSpeakerStats()).some((one) => one.getTotalDominantSpeakerTime() > 0));
  const late = await room.join(2);
  await late.until('told of the speech before it came', (now) => {
    const others = Object.entries(window.conference.getSpeakerStats()).filter(([id]) => id !== now.id);
    return others.some(([, one]) => one.totalDominantSpeakerTime > 0);
  });
  say('speaker times count, and who comes later is told of them');
}

async function metadata(room) {
  const [ada, bob] = await room.joinAll(2);
  await bob.does((conference) => conference.getMetadataHandler().setMetadata('recording', { isTranscribingEnabled: false, by: 'bob' }));
  await ada.does((conference) => conference.getMetadataHandler().setMetadata('recording', { isTranscribingEnabled: true }));
  await bob.hears('METADATA_UPDATED', (details) => details[0].recording?.isTranscribingEnabled === true);
  assert.ok(!(await ada.told('METADATA_UPDATED')).some((details) => details[0].recording?.by === 'bob'));
  const late = await room.join(2);
  await late.hears('METADATA_UPDATED', (details) => details[0].recording?.isTranscribingEnabled === true);
  say('a moderator’s metadata reaches all and later ones, a guest’s nobody');
}

async function end(room) {
  const [ada, bob] = await room.joinAll(2);
  assert.equal(await ada.does((conference) => conference.isEndConferenceSupported()), true);
  await ada.does((conference) => conference.end());
  for (const one of [bob, ada]) {
    await one.hears('CONFERENCE_FAILED', (details) => details[0] === 'conference.destroyed');
  }
  say('the meeting ends for all');
}

/** A line that can be cut: what the other side sees is a connection that is reset. */
class Line {
  #server;
  #sockets = new Set();
  #isDown = false;

  static async to(url) {
    const line = new Line();
    const { hostname, port } = new URL(url);
    line.#server = createServer((near) => {
      if (line.#isDown) {
        near.resetAndDestroy();
        return;
      }
      const far = connect(Number(port), hostname);
      for (const [one, other] of [[near, far], [far, near]]) {
        line.#sockets.add(one);
        one.on('error', () => {}).on('close', () => {
          line.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    }).listen(0, '127.0.0.1');
    await once(line.#server, 'listening');
    line.url = `https://localhost:${line.#server.address().port}`;
    return line;
  }

  cut() {
    this.#isDown = true;
    for (const socket of this.#sockets) {
      socket.resetAndDestroy();
    }
  }

  mend() {
    this.#isDown = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}

async function drop(room) {
  const line = await Line.to(room.url);
  try {
    const ada = await room.join(0);
    const bob = await room.join(1, { url: line.url });
    await ada.until('told of the other', (now, id) => id in now.users, bob.id);
    line.cut();
    await ada.does((conference) => conference.sendTextMessage('while you were away'));
    await bob.page.waitForTimeout(3000);
    line.mend();
    await bob.hears('MESSAGE_RECEIVED', (details) => details[1] === 'while you were away');
    await bob.does((conference) => conference.sendTextMessage('back'));
    await ada.hears('MESSAGE_RECEIVED', (details) => details[1] === 'back');
    assert.equal((await bob.told('MESSAGE_RECEIVED')).filter((details) => details[1] === 'while you were away').length, 1);
    assert.deepEqual(await ada.told('USER_LEFT'), []);
    assert.equal((await bob.state()).id, bob.id);
    assert.equal((await bob.told('CONFERENCE_JOINED')).length, 1);
    say('a connection that broke is resumed: nobody left, nothing lost, nothing twice');
  } finally {
    line.close();
  }
}

const SCENARIOS = { chat, moderator, password, lobby, kick, moderation, breakout, polls, speakers, metadata, end, drop };

const server = await Server.start({ isPublic: true });
const browser = await launch();
let missing = 0;
try {
  for (const [name, scenario] of Object.entries(SCENARIOS).filter(([one]) => !args.only || one === args.only)) {
    console.log(`\n${name}`);
    const room = new Room(browser, server.url, `stock-${name}`);
    try {
      await scenario(room);
    } catch (error) {
      missing += 1;
      console.error(error);
    } finally {
      await room.close();
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
console.log(missing ? `\n${missing} missing` : '\nall seen');
process.exitCode = missing ? 1 : 0;
