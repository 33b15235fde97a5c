// docs/ui-library.md, whose code is run as it stands. The port of its page alone is changed, to a free
// one, and what `npm install` would bring is there already: the versions are compared.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { documents } from "../checks.mjs";
import { environment } from "../chromium.mjs";

const PAGE = "http://localhost:8000/";
const ENVIRONMENT = fileURLToPath(new URL("..", import.meta.url));
const PROJECT = join(process.cwd(), "project");
/** The reader's shell. npm need not ask whether there is a newer one. */
const SHELL = {
  cwd: PROJECT,
  env: { ...process.env, ...environment, NPM_CONFIG_UPDATE_NOTIFIER: "false" },
};

const text = readFileSync(join(documents, "ui-library.md"), "utf8");

/** The code under that fence of the page. */
export function block(fence) {
  const found = text.split(`\`\`\`${fence}\n`);
  if (found.length !== 2) throw new Error(`the page has ${found.length - 1} blocks ${fence}`);
  return found[1].split("```", 1)[0];
}

/** Runs a block in the reader's shell and folder, and hands on what it prints. */
export function run(fence) {
  mkdirSync(PROJECT, { recursive: true });
  const options = { ...SHELL, encoding: "utf8" };
  const { status, stdout, stderr } = spawnSync("sh", ["-ec", block(fence)], options);
  if (status !== 0) throw new Error(`${fence}: ${status}: ${stderr}`);
  return stdout;
}

/** Whether the page installs what this environment has, each in the same version. */
export function installsWhatIsTested() {
  const { dependencies } = JSON.parse(readFileSync(join(ENVIRONMENT, "package.json"), "utf8"));
  delete dependencies["playwright-core"];
  const wanted = Object.entries(dependencies).map(([name, version]) => `${name}@${version}`);
  const named = block("sh install").replaceAll("\\\n", " ").trim().split(/\s+/).slice(2);
  return JSON.stringify(named.sort()) === JSON.stringify(wanted.sort());
}

/** Writes the files of the page, each under the name that its fence has. */
export function writeFiles() {
  for (const fence of ["js people.mjs", "jsx app.jsx", "html www/index.html"]) {
    const file = join(PROJECT, fence.split(" ")[1]);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, block(fence));
  }
  const packages = join(PROJECT, "node_modules");
  if (!existsSync(packages)) symlinkSync(join(ENVIRONMENT, "node_modules"), packages);
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Builds and serves the page until this process ends, and says where. */
export async function servePage() {
  const address = `http://localhost:${await freePort()}/`;
  const { host } = new URL(address);
  const command = block("sh page").replace(new URL(PAGE).host, host);
  // It ends when its standard input does.
  const log = openSync("page.log", "a");
  spawn("sh", ["-c", command], { ...SHELL, stdio: ["pipe", log, log] });
  return address;
}

/** The links that people.mjs has printed, to the page as it is served here. */
export function linksTo(address, printed) {
  const links = printed.trim().split("\n");
  if (!links.every((link) => link.startsWith(`${PAGE}#`))) throw new Error(printed);
  return links.map((link) => link.replace(PAGE, address));
}
