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

  /** Records whether a call comes back, and hands on what it returns. */
  async call(check, operation) {
    try {
      const result = await operation();
      this.record(check, true);
      return result;
    } catch (error) {
      this.record(check, false, String(error));
      return undefined;
    }
  }

  /** Records whether a call is refused with this HTTP status. */
  async refuses(check, status, operation) {
    try {
      await operation();
      this.record(check, false, "the call was not refused");
    } catch (error) {
      this.record(check, error.statusCode === status, String(error));
    }
  }
}
