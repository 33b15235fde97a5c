// Headless Chromium, whose home is the folder that the script runs in and the server too: it trusts what
// was put into the NSS database there, and nothing else of this machine's.

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

/** Starts one with an empty profile. */
export function launch() {
  return chromium.launch({ executablePath: browser, args: FLAGS, env: environment });
}
