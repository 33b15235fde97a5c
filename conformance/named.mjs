// Named checks, in Node or in a page.

/** Runs checks by name and hands each outcome on. */
export class Checks {
  section = "";
  #write;

  constructor(write) {
    this.#write = write;
  }

  /** Records what became of a check. */
  record(check, passed, detail = "it is not so") {
    const outcome = { section: this.section, check, outcome: passed ? "pass" : "fail" };
    if (!passed) outcome.detail = detail;
    this.#write(outcome);
  }

  /** Records whether a statement is true; an error makes it false. */
  async holds(check, statement) {
    try {
      this.record(check, Boolean(await statement()));
    } catch (error) {
      this.record(check, false, String(error));
    }
  }
}
