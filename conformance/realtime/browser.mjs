// Real-time notifications by the unmodified JavaScript SDK in headless Chromium: the conversation of
// conversation.mjs, in a page of another origin than the server's.
//
//     node browser.mjs --state STATE --results RESULTS --browser CHROMIUM PHASE...

import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { environment, launch } from "../chromium.mjs";
import { checks, finish, phases } from "../checks.mjs";
import { people } from "./people.mjs";

const TRUST = "cavansite trust --nss ~/.pki/nssdb";
const PAGE = '<!doctype html><meta charset="utf-8"><title>realtime</title><script src="/page.js"></script>';

async function bundle() {
  const entry = fileURLToPath(new URL("page.mjs", import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false });
  return outputFiles[0].text;
}

/** Serves the page on a port of its own, and says where. */
async function serve(script) {
  const server = createServer((request, response) => {
    const [type, body] = request.url === "/page.js" ? ["text/javascript", script] : ["text/html", PAGE];
    response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return `http://localhost:${server.address().port}/`;
}

execFileSync("sh", ["-c", TRUST], { env: environment, stdio: "inherit" });
const address = await serve(await bundle());
for (const phase of phases) {
  const chromium = await launch();
  try {
    const page = await chromium.newPage();
    page.on("pageerror", (error) => console.error(String(error)));
    await page.exposeFunction("write", ({ section, check, outcome, detail }) => {
      checks.section = section;
      checks.record(check, outcome === "pass", detail);
    });
    await page.goto(address);
    const { endpoint, ...told } = await people();
    checks.section = `${phase}: Start`;
    const origin = await page.evaluate(() => location.origin);
    checks.record("the page is of another origin than the server", origin !== new URL(endpoint).origin);
    const given = { endpoint, ...told, phase, today: true };
    await page.evaluate((given) => window.begin(given), given);
  } finally {
    await chromium.close();
  }
}
finish();
