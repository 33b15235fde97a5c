// A wire between a client and the server, which can be cut. What goes through it is TLS, passed on as it
// is.

import { connect, createServer } from "node:net";

export class Wire {
  /** Whether new connections are taken. */
  open = true;
  #ends = new Set();
  #server;

  /** Lays one to that server. */
  async to({ hostname, port }) {
    this.#server = createServer((client) => {
      if (!this.open) return client.destroy();
      const server = connect(Number(port), hostname);
      const ends = { client, server, deaf: false };
      this.#ends.add(ends);
      const close = () => {
        client.destroy();
        server.destroy();
        this.#ends.delete(ends);
      };
      for (const end of [client, server]) end.on("error", close).on("close", close);
      client.on("data", (data) => ends.deaf || server.write(data));
      server.on("data", (data) => client.write(data));
    });
    await new Promise((done) => this.#server.listen(0, "127.0.0.1", done));
    this.endpoint = `https://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  /** Cuts every connection. */
  cut() {
    for (const { client, server } of this.#ends) {
      client.destroy();
      server.destroy();
    }
  }

  /** From now on nothing that clients say on their present connections arrives. */
  deafen() {
    for (const ends of this.#ends) ends.deaf = true;
  }
}
