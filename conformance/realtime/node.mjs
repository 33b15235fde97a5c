// Real-time of the unmodified SDK in Node, imported before the SDK. It has real-time for browsers only;
// in Node it is had with the resolution condition `browser` and four globals. So the script that
// imports this runs itself again under that condition, and finds them here.
//
// Releases before 1.6 tell bundlers alone which of their files are for browsers; what uses such a one is
// bundled first.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FLAGS = ["-C", "browser", "--experimental-websocket", "--no-warnings"];
if (!process.execArgv.includes("browser")) {
  const { status } = spawnSync(process.execPath, [...FLAGS, ...process.argv.slice(1)], {
    stdio: "inherit",
  });
  process.exit(status ?? 1);
}

const { hostname, port, protocol } = new URL(process.env.COMMUNICATION_SERVICES_ENDPOINT);
globalThis.self = globalThis;
globalThis.location = { hostname, port, protocol };
/** As much of it as the handshake needs. */
globalThis.XMLHttpRequest = class {
  readyState = 0;
  status = 0;
  responseText = "";
  // That it is there says that other origins can be asked.
  withCredentials = false;
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

const SDK = new URL("../node_modules/@azure/communication-chat/package.json", import.meta.url);
const { version, exports } = JSON.parse(readFileSync(SDK, "utf8"));
/** Whether the SDK knows metadata of threads and people, which 1.5.4 does not. */
export const today = !version.startsWith("1.5.");

/** Imports a module of this folder that uses the SDK. */
export async function load(name) {
  if (exports) return import(`./${name}`);
  const { build } = await import("esbuild");
  const outfile = fileURLToPath(new URL(`bundle-${name}`, import.meta.url));
  const entry = fileURLToPath(new URL(name, import.meta.url));
  await build({ entryPoints: [entry], bundle: true, format: "esm", platform: "browser", outfile });
  return import(`./bundle-${name}`);
}
