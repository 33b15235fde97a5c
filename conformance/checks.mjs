// What the JavaScript conformance scripts share: their command line, the state that their phases share,
// and named checks, written as JSON lines.

import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Checks } from "./named.mjs";

const { values, positionals } = parseArgs({
  options: {
    state: { type: "string" },
    results: { type: "string" },
    browser: { type: "string" },
    documents: { type: "string" },
  },
  allowPositionals: true,
});
writeFileSync(values.results, "");

/** The phases to run. */
export const phases = positionals;
/** The browser's program, for the scripts that need one. */
export const browser = values.browser;
/** The folder of the documents that some scripts run. */
export const documents = values.documents;
/** Kept from one run of the script to the next. */
export const state = existsSync(values.state)
  ? JSON.parse(readFileSync(values.state, "utf8"))
  : {};
export const checks = new Checks((outcome) =>
  appendFileSync(values.results, JSON.stringify(outcome) + "\n"),
);

/** Ends the script, whatever still listens. What came out stands in the results. */
export function finish() {
  writeFileSync(values.state, JSON.stringify(state));
  process.exit(0);
}
