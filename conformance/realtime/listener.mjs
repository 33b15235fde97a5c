// Users who listen with the SDK, in Node or in a page.

import { ChatClient } from "@azure/communication-chat";
import { AzureCommunicationTokenCredential } from "@azure/communication-common";

// Generous: machines that run this are busy.
const WAIT_MS = 60_000;

export const EVENTS = [
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

const sockets = [];
const BareWebSocket = globalThis.WebSocket;
globalThis.WebSocket = class extends BareWebSocket {
  constructor(...given) {
    super(...given);
    sockets.push(this);
  }
};

/** Closes every websocket that the SDK has opened. */
export function closeSockets() {
  for (const socket of sockets.splice(0)) socket.close();
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until it is so, and hands on what it is. */
export async function until(what, is, waitMs = WAIT_MS) {
  const begin = Date.now();
  for (;;) {
    const found = is();
    if (found) return found;
    if (Date.now() - begin > waitMs) throw new Error(`waited for ${what}`);
    await pause(10);
  }
}

/** A user who listens: what is heard, in order, and how often the connection came and went. */
export class Listener {
  heard = [];
  connected = 0;
  disconnected = 0;

  /** `token` is one, or the options of a credential that fetches them. */
  constructor(name, id, endpoint, token) {
    this.name = name;
    this.id = id;
    this.client = new ChatClient(endpoint, new AzureCommunicationTokenCredential(token));
  }

  async start() {
    this.client.on("realTimeNotificationConnected", () => (this.connected += 1));
    this.client.on("realTimeNotificationDisconnected", () => (this.disconnected += 1));
    await this.client.startRealtimeNotifications();
    for (const event of EVENTS) {
      this.client.on(event, (payload) => this.heard.push({ event, payload }));
    }
    await until(`${this.name} to be connected`, () => this.connected);
    return this;
  }

  /** All payloads of events of that name that fit. */
  all(event, fits = () => true) {
    return this.heard.filter((one) => one.event === event && fits(one.payload)).map((one) => one.payload);
  }

  /** The first of them, once it is there. */
  first(event, fits) {
    return until(`${this.name} to hear ${event}`, () => this.all(event, fits)[0]);
  }

  stop() {
    return this.client.stopRealtimeNotifications();
  }
}
