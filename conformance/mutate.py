"""Takes the checks out of the code one at a time and sees that a test fails each time.

Works on a copy of the tree below target/, which keeps its own build. Prints one line per mutation
and exits with 1 when one survives, that is when no test noticed.

    python3 conformance/mutate.py [WORD]      # only mutations with this word in file or text
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "mutations"
TESTS = [
    ["cargo", "test", "--quiet", "-p", "cavansite", "--test", "it"],
    ["cargo", "test", "--quiet", "-p", "cavansite-core"],
]
CORE = "crates/cavansite-core/src/"
API = "crates/cavansite/src/api/"
REALTIME = "crates/cavansite/src/realtime/"
EVENTS = CORE + "store/sqlite/events.rs"

# Tests that take longer than this have noticed: they wait for what never comes.
HANG_SECONDS = 600

# File, text, and what stands in its place. Each text occurs in its file; the first is changed.
MUTATIONS = [
    # Who may see and do what in a thread.
    (CORE + "chat/access.rs", "if self.removed_at.is_none() {", "if true {"),
    (CORE + "chat/access.rs", "created_at >= self.share_history_time &&", "true &&"),
    (CORE + "chat/access.rs", "is_none_or(|at| version <= at)", "is_none_or(|_| true)"),
    (CORE + "chat/access.rs", "is_none_or(|at| version <= at)", "is_none_or(|at| version < at)"),
    (CORE + "chat/access.rs", "is_some_and(|at| version > at)", "is_some_and(|_| false)"),
    (
        CORE + "chat/access.rs",
        "} else if created_at < self.share_history_time {",
        "} else if false {",
    ),
    (CORE + "chat/access.rs", "if sent.sender == *caller =>", "if true =>"),
    # What a token allows.
    (
        CORE + "caller.rs",
        "Capability::ManageThreads => has(Scope::Chat),",
        "Capability::ManageThreads => true,",
    ),
    (CORE + "caller.rs", "has(Scope::Chat) || has(Scope::ChatJoin),", "true,"),
    (CORE + "caller.rs", "if allowed {", "if true {"),
    (CORE + "chat/threads.rs", "caller.require(Capability::ManageThreads)?;", ""),
    (CORE + "chat/threads.rs", "caller.require(Capability::TakePart)?;", ""),
    (CORE + "chat/messages.rs", "caller.require(Capability::TakePart)?;", ""),
    (CORE + "chat/participants.rs", "caller.require(Capability::ManageParticipants)?;", ""),
    (CORE + "chat/participants.rs", "caller.require(Capability::TakePart)?;", ""),
    (CORE + "chat/receipts.rs", "caller.require(Capability::TakePart)?;", ""),
    # Tokens.
    (CORE + "identity/mod.rs", "self.issued_at <= identity.valid_from", "false"),
    (
        CORE + "identity/mod.rs",
        "self.issued_at <= identity.valid_from",
        "self.issued_at < identity.valid_from",
    ),
    (
        CORE + "identity/mod.rs",
        "Some(_) if grace_ms == 0 => Timestamp::from_millis(i64::MIN),",
        "Some(_) if grace_ms == 0 => self.expires_at,",
    ),
    (CORE + "identity/mod.rs", "deleted_at.plus_millis(grace_ms)", "deleted_at"),
    (CORE + "identity/mod.rs", ".max(identity.valid_from.plus_millis(1))", ""),
    (CORE + "identity/mod.rs", "time.min(so_far)", "time"),
    (CORE + "identity/mod.rs", "found.deleted_at.is_none()", "true"),
    (CORE + "identity/token.rs", "self.key_names.contains(&claims.key)", "true"),
    (CORE + "identity/token.rs", "|| !user.belongs_to(self.resource)", ""),
    (CORE + "identity/token.rs", "claims.expires_at > now", "true"),
    # Signatures.
    (API + "auth.rs", "scheme.eq_ignore_ascii_case(\"Bearer\")", "true"),
    (API + "auth.rs", "<= app.date_skew_ms.unsigned_abs()", "<= u64::MAX"),
    (API + "auth.rs", "if hmac::verify(&key, text.as_bytes(), &self.value).is_ok() {", "if true {"),
    (API + "auth.rs", "signature.verify_body(&body)?;", ""),
    (API + "auth.rs", "|| !signed(\"host\")", ""),
    # Values of a request.
    (CORE + "chat/input.rs", "if topic.is_empty() {", "if false {"),
    (CORE + "chat/input.rs", "if text.len() > bytes_max {", "if false {"),
    (CORE + "chat/input.rs", "if text.contains('\\0') {", "if false {"),
    (CORE + "chat/input.rs", "if bytes_of(metadata) > max {", "if false {"),
    (CORE + "chat/input.rs", "if content.len() + bytes_of(metadata) > max {", "if false {"),
    (CORE + "chat/participants.rs", "if requested.len() > max {", "if false {"),
    (
        CORE + "chat/participants.rs",
        ".filter(|user| user.belongs_to(self.installation.resource))",
        "",
    ),
    (
        CORE + "chat/participants.rs",
        "if participants > limit =>",
        "if false && participants > limit =>",
    ),
    (API + "body.rs", "if !bytes.is_empty() && !is_json(&parts.headers) {", "if false {"),
    (API + "paging.rs", "if ThreadId::parse(thread) != Some(of) {", "if false {"),
    (API + "chat/mod.rs", "if self.version.family() == family {", "if true {"),
    (CORE + "chat/messages.rs", "if is_html(&message.content) {", "if false {"),
    # What is told, and told again.
    (EVENTS, "std::cmp::Ordering::Less => false,", "std::cmp::Ordering::Less => true,"),
    (EVENTS, "std::cmp::Ordering::Greater => is_there,", "std::cmp::Ordering::Greater => true,"),
    (EVENTS, "if !sees || changed_at", "if changed_at"),
    (EVENTS, "< known.joined_at {", "< Timestamp::EPOCH {"),
    (EVENTS, "(&known.deleted, known.membership.removed_at)", "(&known.deleted, None::<Version>)"),
    (EVENTS, "last.saturating_add(1).min(read_at)", "last.saturating_add(2).min(read_at)"),
    (EVENTS, "first.version = Version(first.id.0);", ""),
    (EVENTS, "waiting.complete(connection)?;", "waiting.keys.clear();"),
    (REALTIME + "hub.rs", "created_at < history_from", "created_at < Timestamp::EPOCH"),
    (REALTIME + "hub.rs", "*self.installation() = installation.clone();", "return;"),
    (REALTIME + "hub.rs", "if known_since < self.started_at {", "if false {"),
    (REALTIME + "hub.rs", "(!is_new).then_some(known_since)", "Some(Timestamp::EPOCH)"),
    (
        REALTIME + "mailbox.rs",
        "self.backlog = Backlog::Since(since.map_or",
        "let _ = Backlog::Since(since.map_or",
    ),
    (REALTIME + "resume.rs", "owed_since.max(read_at.plus_millis(-reach.window_ms))", "owed_since"),
    (REALTIME + "resume.rs", "rest = Some(version.min(read_at));", ""),
    (
        REALTIME + "seal.rs",
        "text.strip_prefix(user.as_str())?",
        "text.get(user.as_str().len()..)?",
    ),
    (
        REALTIME + "stream.rs",
        "position.thread != after.thread || position.version > after.version",
        "true",
    ),
    (API + "events.rs", "caller.require(Capability::TakePart)?;", ""),
    (
        CORE + "identity/mod.rs",
        "if !self.installation.borrow().has_key(session.key) {",
        "if false {",
    ),
]


def copy_tree():
    """Brings the copy up to date with what git knows of the tree."""
    COPY.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)


def noticed():
    """Whether some test fails. A mutation that does not compile proves nothing."""
    for command in TESTS:
        built = subprocess.run([*command, "--no-run"], cwd=COPY, capture_output=True, text=True)
        if built.returncode != 0:
            raise SystemExit("the mutation does not compile:\n" + built.stderr[-3000:])
        try:
            tests = subprocess.run(command, cwd=COPY, capture_output=True, timeout=HANG_SECONDS)
        except subprocess.TimeoutExpired:
            return True
        if tests.returncode != 0:
            return True
    return False


def main():
    """Tries every mutation."""
    copy_tree()
    if noticed():
        raise SystemExit("the tests fail without any mutation")
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    killed, survivors = 0, []
    for file, text, replacement in MUTATIONS:
        if word not in file + text:
            continue
        path = COPY / file
        original = path.read_text(encoding="utf-8")
        if text not in original:
            raise SystemExit(f"{file} no longer has: {text}")
        path.write_text(original.replace(text, replacement, 1), encoding="utf-8")
        try:
            if noticed():
                killed += 1
                print(f"noticed   {file}: {text!r}", flush=True)
            else:
                survivors.append(f"{file}: {text!r} -> {replacement!r}")
                print(f"SURVIVED  {survivors[-1]}", flush=True)
        finally:
            path.write_text(original, encoding="utf-8")
    print(f"{killed} noticed, {len(survivors)} survived")
    raise SystemExit(1 if survivors else 0)


main()
