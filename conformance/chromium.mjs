// Headless Chromium, whose home is the folder that the script runs in and the server too: it trusts what
// was put into the NSS database there, and nothing else of this machine's.

import { join } from "node:path";
import { chromium } from "playwright-core";
import { browser } from "./checks.mjs";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** What a command of this user needs to know. */
export const environment = { PATH: process.env.PATH, HOME: process.cwd() };

/** Starts one with an empty profile of that name. */
export function launch(profile) {
  return chromium.launchPersistentContext(join(environment.HOME, profile), {
    executablePath: browser,
    headless: true,
    args: FLAGS,
    env: environment,
    viewport: { width: 900, height: 800 },
  });
}
