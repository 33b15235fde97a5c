// Real-time notifications by the unmodified JavaScript SDK: two users, all ten events at both, their
// payloads compared with what REST says; and connections that are cut.
//
// The SDK has real-time for browsers only. In Node it is had with the resolution condition `browser`
// and four globals, so this script runs itself again with them.
//
//     node realtime.mjs --state STATE --results RESULTS PHASE...

import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { isDeepStrictEqual, parseArgs } from "node:util";

const FLAGS = ["-C", "browser", "--experimental-websocket", "--no-warnings"];
if (!process.execArgv.includes("browser")) {
  const { status } = spawnSync(process.execPath, [...FLAGS, ...process.argv.slice(1)], {
    stdio: "inherit",
  });
  process.exit(status ?? 1);
}

const endpoint = process.env.COMMUNICATION_SERVICES_ENDPOINT;
const { values, positionals } = parseArgs({
  options: { state: { type: "string" }, results: { type: "string" } },
  allowPositionals: true,
});
const state = existsSync(values.state) ? JSON.parse(readFileSync(values.state, "utf8")) : {};
const WAIT_MS = 30_000;

const { hostname, port, protocol } = new URL(endpoint);
const sockets = [];
const NodeWebSocket = globalThis.WebSocket;
globalThis.self = globalThis;
globalThis.location = { hostname, port, protocol };
globalThis.WebSocket = class extends NodeWebSocket {
  constructor(...given) {
    super(...given);
    sockets.push(this);
  }
};
/** As much of it as the handshake needs. */
globalThis.XMLHttpRequest = class {
  readyState = 0;
  status = 0;
  responseText = "";
  headers = {};
  open(method, url) {
    Object.assign(this, { method, url, readyState: 1 });
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  getResponseHeader(name) {
    return this.answered?.get(name) ?? null;
  }
  getAllResponseHeaders() {
    return "";
  }
  abort() {}
  send(body) {
    const { method, headers } = this;
    fetch(this.url, { method, headers, body: method === "GET" ? undefined : body })
      .then(async (answer) => {
        this.status = answer.status;
        this.answered = answer.headers;
        this.responseText = this.response = await answer.text();
      })
      .catch(() => (this.status = 0))
      .finally(() => {
        this.readyState = 4;
        this.onreadystatechange?.();
        this.onload?.();
      });
  }
};

const { ChatClient } = await import("@azure/communication-chat");
const { AzureCommunicationTokenCredential } = await import("@azure/communication-common");
const { CommunicationIdentityClient } = await import("@azure/communication-identity");

let section = "";
let run = "";

function record(check, passed, detail) {
  const outcome = { section: `${run}: ${section}`, check, outcome: passed ? "pass" : "fail" };
  if (!passed) outcome.detail = detail;
  appendFileSync(values.results, JSON.stringify(outcome) + "\n");
}

/** Records whether a statement is true; an error makes it false. */
async function holds(check, statement) {
  try {
    record(check, Boolean(await statement()), "it is not so");
  } catch (error) {
    record(check, false, String(error));
  }
}

const EVENTS = [
  "chatMessageReceived",
  "chatMessageEdited",
  "chatMessageDeleted",
  "typingIndicatorReceived",
  "readReceiptReceived",
  "chatThreadCreated",
  "chatThreadDeleted",
  "chatThreadPropertiesUpdated",
  "participantsAdded",
  "participantsRemoved",
];

/** A user who listens. */
async function listen(name, user) {
  const credential = new AzureCommunicationTokenCredential(user.token);
  const client = new ChatClient(endpoint, credential);
  const seen = [];
  const connected = new Promise((done) => client.on("realTimeNotificationConnected", done));
  await client.startRealtimeNotifications();
  for (const event of EVENTS) client.on(event, (payload) => seen.push({ event, payload }));
  await within(connected, `${name} is not connected`);
  return { name, id: user.user.communicationUserId, client, seen };
}

function within(promise, what) {
  const late = new Promise((_, refuse) => setTimeout(refuse, WAIT_MS, new Error(what)).unref());
  return Promise.race([promise, late]);
}

/** The first event of that name that fits, once it is there. */
async function event(listener, name, fits = () => true) {
  const begin = Date.now();
  for (;;) {
    const found = listener.seen.find((seen) => seen.event === name && fits(seen.payload));
    if (found) return found.payload;
    if (Date.now() - begin > WAIT_MS) throw new Error(`${listener.name} saw no ${name}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

const second = (time) => Math.floor(new Date(time).getTime() / 1000);

/** Both see the event, and it says what is expected. */
async function both(listeners, name, fits, expected) {
  for (const listener of listeners) {
    await holds(`${listener.name} sees ${name}, as REST tells it`, async () => {
      const payload = await event(listener, name, fits);
      for (const [key, value] of Object.entries(expected)) {
        const found = key.endsWith("On") ? second(payload[key]) : payload[key];
        const wanted = key.endsWith("On") ? second(value) : value;
        if (!isDeepStrictEqual(found, wanted)) {
          throw new Error(`${key}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
        }
      }
      return true;
    });
  }
}

const TOPIC = 'a "topic" with %22, <b>markup</b> and \u{1F427}';
const person = (user, displayName) => ({ id: { communicationUserId: user }, displayName });
const kind = (id) => ({ communicationUserId: id, kind: "communicationUser" });

async function messages(listeners, thread, threadId) {
  const [alice] = listeners;
  section = "Messages";
  const metadata = { tag: "100 %22" };
  const sent = await thread.sendMessage(
    { content: "hello %22 \u{1F427}" },
    { senderDisplayName: "Alice", metadata },
  );
  const fits = (payload) => payload.id === sent.id;
  const asRest = async () => {
    const { id, version, createdOn, senderDisplayName } = await thread.getMessage(sent.id);
    return { id, version, createdOn, senderDisplayName, threadId, sender: kind(alice.id) };
  };
  const common = { type: "Text", message: "hello %22 \u{1F427}", metadata };
  await both(listeners, "chatMessageReceived", fits, { ...(await asRest()), ...common });
  await thread.updateMessage(sent.id, { content: "bye" });
  const { editedOn } = await thread.getMessage(sent.id);
  const edited = { ...(await asRest()), editedOn, message: "bye", metadata };
  await both(listeners, "chatMessageEdited", fits, edited);
  await thread.sendReadReceipt({ chatMessageId: sent.id });
  const receipts = thread.listReadReceipts();
  const { readOn } = (await receipts.next()).value;
  const receipt = { chatMessageId: sent.id, threadId, readOn, sender: kind(alice.id) };
  await both(listeners, "readReceiptReceived", undefined, receipt);
  await thread.deleteMessage(sent.id);
  const { deletedOn } = await thread.getMessage(sent.id);
  await both(listeners, "chatMessageDeleted", fits, { ...(await asRest()), deletedOn });
  await thread.sendTypingNotification({ senderDisplayName: "Alice" });
  const typing = { threadId, senderDisplayName: "Alice", sender: kind(alice.id) };
  await both(listeners, "typingIndicatorReceived", undefined, typing);
}

async function people(listeners, thread, threadId, other) {
  section = "People and topic";
  const inThread = (payload) => payload.threadId === threadId;
  await thread.addParticipants({ participants: [person(other, "Carol")] });
  for (const listener of listeners) {
    await holds(`${listener.name} sees participantsAdded`, async () => {
      const { participantsAdded, addedBy } = await event(listener, "participantsAdded", inThread);
      const [added] = participantsAdded;
      const is = added.id.communicationUserId === other && added.displayName === "Carol";
      return is && addedBy.id.communicationUserId === listeners[0].id;
    });
  }
  await thread.removeParticipant({ communicationUserId: other });
  for (const listener of listeners) {
    await holds(`${listener.name} sees participantsRemoved`, async () => {
      const { participantsRemoved } = await event(listener, "participantsRemoved", inThread);
      return participantsRemoved[0].id.communicationUserId === other;
    });
  }
  await thread.updateTopic(TOPIC);
  const { topic } = await thread.getProperties();
  for (const listener of listeners) {
    await holds(`${listener.name} sees chatThreadPropertiesUpdated`, async () => {
      const seen = await event(listener, "chatThreadPropertiesUpdated", inThread);
      return seen.properties.topic === topic && topic === TOPIC;
    });
  }
}

/** Every socket is cut while messages are sent: each message comes, in order. */
async function cut(listeners, thread) {
  section = "Cut connections";
  const sent = [];
  for (let i = 0; i < 30; i++) {
    if (i % 10 === 5) for (const socket of sockets.splice(0)) socket.close();
    sent.push((await thread.sendMessage({ content: `after the cut ${i}` })).id);
  }
  for (const listener of listeners) {
    await holds(`${listener.name} loses no message, and sees them in order`, async () => {
      const last = (payload) => payload.id === sent.at(-1);
      await event(listener, "chatMessageReceived", last);
      const ids = listener.seen
        .filter((seen) => seen.event === "chatMessageReceived" && sent.includes(seen.payload.id))
        .map((seen) => seen.payload.id);
      const first = ids.filter((id, at) => ids.indexOf(id) === at);
      return JSON.stringify(first) === JSON.stringify(sent);
    });
  }
}

async function converse(phase) {
  const identity = new CommunicationIdentityClient(
    process.env.COMMUNICATION_SERVICES_CONNECTION_STRING,
  );
  if (!state.users) {
    state.users = [];
    for (let i = 0; i < 2; i++) state.users.push(await identity.createUserAndToken(["chat"]));
    state.other = (await identity.createUser()).communicationUserId;
  }
  const names = ["Alice", "Bob"];
  run = phase;
  section = "Start";
  const listeners = [];
  for (const [i, user] of state.users.entries()) {
    await holds(`${names[i]} is connected`, async () => {
      listeners.push(await listen(names[i], user));
      return true;
    });
  }
  if (listeners.length < 2) return;
  const [alice, bob] = listeners;
  const created = await alice.client.createChatThread(
    { topic: `first ${TOPIC}` },
    { participants: [person(alice.id, "Alice"), person(bob.id, "Bob")] },
  );
  const { id, createdOn } = created.chatThread;
  const inThread = (payload) => payload.threadId === id;
  await both(listeners, "chatThreadCreated", inThread, { threadId: id, createdOn });
  for (const listener of listeners) {
    await holds(`${listener.name} is told topic and people`, async () => {
      const seen = await event(listener, "chatThreadCreated", inThread);
      const ids = seen.participants.map((participant) => participant.id.communicationUserId);
      return seen.properties.topic === `first ${TOPIC}` && ids.includes(alice.id) && ids.includes(bob.id);
    });
  }
  const thread = alice.client.getChatThreadClient(id);
  await messages(listeners, thread, id);
  await people(listeners, thread, id, state.other);
  await cut(listeners, thread);
  section = "End";
  await alice.client.deleteChatThread(id);
  for (const listener of listeners) {
    await holds(`${listener.name} sees chatThreadDeleted`, async () => {
      const seen = await event(listener, "chatThreadDeleted", inThread);
      return seen.deletedBy.id.communicationUserId === alice.id;
    });
  }
  for (const listener of listeners) await listener.client.stopRealtimeNotifications();
}

writeFileSync(values.results, "");
for (const phase of positionals) await converse(phase);
writeFileSync(values.state, JSON.stringify(state));
process.exit(0);
