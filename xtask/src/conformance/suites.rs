//! The suites: which script tells which SDK, on what, against which runs of the server.

/// What a script runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Python,
    Node,
    /// Node, which drives a headless Chromium.
    Chromium,
    Java,
}

/// How a suite and its servers go together.
#[derive(Debug, Clone, Copy)]
pub(super) enum Course {
    /// Two phases: against `dev` at one go, and against `serve --data` with the server killed and
    /// started again between them.
    Told([&'static str; 2]),
    /// Each phase against a `serve --data` of its own, which the script has ended and started
    /// again while it runs.
    Steered(&'static [Phase]),
}

/// A phase of a script that steers its server.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    /// The server's settings, as in a file for `--config`.
    pub(super) settings: &'static str,
}

/// A script and what it needs; all paths are below conformance/.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// What the matrix calls it.
    pub(super) title: &'static str,
    pub(super) platform: Platform,
    /// The folder with the list of packages.
    pub(super) packages: &'static str,
    pub(super) script: &'static str,
    pub(super) course: Course,
    /// The server's profile.
    pub(super) profile: &'static str,
}

/// The official test files of two packages, the first before the server is killed.
const fn official(
    name: &'static str,
    title: &'static str,
    packages: &'static str,
    releases: [&'static str; 2],
) -> Suite {
    Suite {
        name,
        title,
        platform: Platform::Python,
        packages,
        script: "official/official.py",
        course: Course::Told(releases),
        profile: "open",
    }
}

/// The conversation that every release of the JavaScript SDKs leads.
const fn conversation(name: &'static str, title: &'static str, packages: &'static str) -> Suite {
    Suite {
        name,
        title,
        platform: Platform::Node,
        packages,
        script: "releases/chat.mjs",
        course: Course::Told(["begin", "resume"]),
        profile: "open",
    }
}

/// The same conversation with a release of the Java SDKs.
const fn in_java(name: &'static str, title: &'static str, packages: &'static str) -> Suite {
    Suite {
        platform: Platform::Java,
        script: "java/chat.sh",
        ..conversation(name, title, packages)
    }
}

/// All of them, in the order of the matrix.
pub(super) const SUITES: [Suite; 35] = [
    Suite {
        name: "quickstart",
        title: "The Python chat quickstart of November 2020, azure-communication-chat 1.0.0b3",
        platform: Platform::Python,
        packages: "python-2020",
        script: "quickstart/quickstart.py",
        course: Course::Told(["send", "receive"]),
        profile: "open",
    },
    Suite {
        name: "guide-2020",
        title: "The code of our quickstart in the API of 2020, azure-communication-chat 1.0.0b3",
        platform: Platform::Python,
        packages: "python-2020",
        script: "guide/guide.py",
        course: Course::Told(["2020-english", "2020-chinese"]),
        profile: "open",
    },
    Suite {
        name: "guide-today",
        title: "The code of our quickstart in today's API, azure-communication-chat 1.3.0",
        platform: Platform::Python,
        packages: "python-today",
        script: "guide/guide.py",
        course: Course::Told(["today-english", "today-chinese"]),
        profile: "open",
    },
    Suite {
        name: "identity-python",
        title: "Identity in Python, azure-communication-identity 1.5.0",
        platform: Platform::Python,
        packages: "python-today",
        script: "identity/identity.py",
        course: Course::Told(["issue", "revoke"]),
        profile: "open",
    },
    Suite {
        name: "identity-js",
        title: "Identity in JavaScript, @azure/communication-identity 1.3.1",
        platform: Platform::Node,
        packages: "js-today",
        script: "identity/identity.mjs",
        course: Course::Told(["issue", "revoke"]),
        profile: "open",
    },
    Suite {
        name: "official-2020",
        title: "The official test files of the betas of 2020, unmodified, with `--profile azure`",
        platform: Platform::Python,
        packages: "python-2020-tests",
        script: "official/official.py",
        course: Course::Told([
            "azure-communication-administration==1.0.0b3",
            "azure-communication-chat==1.0.0b3",
        ]),
        // They delete a user first and then, with that user's token, the thread.
        profile: "azure",
    },
    Suite {
        profile: "azure",
        ..official(
            "official-1.0.0b4",
            "The official test files of the betas 1.0.0b4 that need a server, unmodified",
            "python-1.0.0b4-tests",
            [
                "azure-communication-identity==1.0.0b4",
                "azure-communication-chat==1.0.0b4",
            ],
        )
    },
    Suite {
        profile: "azure",
        ..official(
            "official-1.0.0b5",
            "The official test files of the betas 1.0.0b5 that need a server, unmodified",
            "python-1.0.0b5-tests",
            [
                "azure-communication-identity==1.0.0b5",
                "azure-communication-chat==1.0.0b5",
            ],
        )
    },
    official(
        "official-1.0.0",
        "The official test files of March 2021 that need a server, unmodified",
        "python-1.0.0-tests",
        [
            "azure-communication-identity==1.0.1",
            "azure-communication-chat==1.0.0",
        ],
    ),
    official(
        "official-1.1.0",
        "The official test files of September 2021 that need a server, unmodified",
        "python-1.1.0-tests",
        [
            "azure-communication-identity==1.2.0",
            "azure-communication-chat==1.1.0",
        ],
    ),
    official(
        "official-1.2.0",
        "The official test files of December 2023 that need a server, unmodified",
        "python-1.2.0-tests",
        [
            "azure-communication-identity==1.3.1",
            "azure-communication-chat==1.2.0",
        ],
    ),
    official(
        "official-today",
        "The official test files of today, unmodified",
        "python-today-tests",
        [
            "azure-communication-identity==1.5.0",
            "azure-communication-chat==1.3.0",
        ],
    ),
    conversation(
        "releases-1.0.0-beta.4",
        "A conversation over REST, @azure/communication-chat and -identity 1.0.0-beta.4",
        "js-1.0.0-beta.4",
    ),
    conversation(
        "releases-1.0.0-beta.5",
        "A conversation over REST, @azure/communication-chat and -identity 1.0.0-beta.5",
        "js-1.0.0-beta.5",
    ),
    conversation(
        "releases-1.0.0",
        "A conversation over REST, @azure/communication-chat 1.0.0, -identity 1.0.0",
        "js-1.0.0",
    ),
    conversation(
        "releases-1.2.1",
        "A conversation over REST, @azure/communication-chat 1.2.1, -identity 1.1.0",
        "js-1.2.1",
    ),
    conversation(
        "releases-1.3.2",
        "A conversation over REST, @azure/communication-chat 1.3.2, -identity 1.2.0",
        "js-1.3.2",
    ),
    conversation(
        "releases-1.4.0",
        "A conversation over REST, @azure/communication-chat 1.4.0, -identity 1.3.0",
        "js-1.4.0",
    ),
    conversation(
        "releases-1.5.4",
        "A conversation over REST, @azure/communication-chat 1.5.4, -identity 1.3.1",
        "js-1.5.4",
    ),
    conversation(
        "releases-1.6.0-beta.7",
        "A conversation over REST, @azure/communication-chat 1.6.0-beta.7, -identity 1.3.1",
        "js-1.6.0-beta.7",
    ),
    conversation(
        "releases-1.6.0",
        "A conversation over REST, @azure/communication-chat 1.6.0, -identity 1.3.1",
        "js-today",
    ),
    in_java(
        "java-1.0.1",
        "A conversation over REST in Java, azure-communication-chat 1.0.1, -identity 1.1.1",
        "java-1.0.1",
    ),
    in_java(
        "java-1.2.0",
        "A conversation over REST in Java, azure-communication-chat 1.2.0, -identity 1.2.0",
        "java-1.2.0",
    ),
    in_java(
        "java-1.3.12",
        "A conversation over REST in Java, azure-communication-chat 1.3.12, -identity 1.3.1",
        "java-1.3.12",
    ),
    in_java(
        "java-1.4.0",
        "A conversation over REST in Java, azure-communication-chat 1.4.0, -identity 1.4.10",
        "java-1.4.0",
    ),
    Suite {
        name: "walk-2020",
        title: "A long thread walked while it changes, azure-communication-chat 1.0.0b3",
        platform: Platform::Python,
        packages: "python-2020-tests",
        script: "walk/walk.py",
        course: Course::Told(["fill", "walk"]),
        profile: "open",
    },
    Suite {
        name: "walk-today",
        title: "A long thread walked while it changes, azure-communication-chat 1.3.0",
        platform: Platform::Python,
        packages: "python-today-tests",
        script: "walk/walk.py",
        course: Course::Told(["fill", "walk"]),
        profile: "open",
    },
    Suite {
        name: "events",
        title: "The examples of docs/events.md, in curl, Python and JavaScript",
        platform: Platform::Python,
        packages: "python-today",
        script: "events/events.py",
        course: Course::Told(["before", "after"]),
        profile: "open",
    },
    Suite {
        name: "repeats",
        title: "Sends whose answer is lost, @azure/communication-chat 1.6.0",
        platform: Platform::Node,
        packages: "js-today",
        script: "repeats/repeats.mjs",
        course: Course::Steered(&[
            Phase {
                name: "once",
                settings: "",
            },
            Phase {
                name: "twice",
                settings: "[limits]\nsend_repeat_window_ms = 0\n",
            },
        ]),
        profile: "open",
    },
    Suite {
        name: "realtime",
        title: "Real-time notifications, @azure/communication-chat 1.6.0 in Node",
        platform: Platform::Node,
        packages: "js-today",
        script: "realtime/realtime.mjs",
        course: Course::Told(["first", "again"]),
        profile: "open",
    },
    Suite {
        name: "realtime-1.5.4",
        title: "Real-time notifications, @azure/communication-chat 1.5.4 in Node",
        platform: Platform::Node,
        packages: "js-1.5.4",
        script: "realtime/realtime.mjs",
        course: Course::Told(["first", "again"]),
        profile: "open",
    },
    Suite {
        name: "order",
        title: "Events in one order, at @azure/communication-chat 1.6.0 and two Rust clients",
        platform: Platform::Node,
        packages: "js-today",
        script: "realtime/order.mjs",
        course: Course::Told(["first", "again"]),
        profile: "open",
    },
    Suite {
        name: "reconnects",
        title: "Real-time after interruptions, @azure/communication-chat 1.6.0 in Node",
        platform: Platform::Node,
        packages: "js-today",
        script: "realtime/reconnects.mjs",
        course: Course::Steered(&[Phase {
            name: "reconnects",
            settings: "[limits]\ntoken_minutes_min = 1\n",
        }]),
        profile: "open",
    },
    Suite {
        name: "realtime-browser",
        title: "Real-time notifications, @azure/communication-chat 1.6.0 in headless Chromium",
        platform: Platform::Chromium,
        packages: "browser",
        script: "realtime/browser.mjs",
        course: Course::Told(["first", "again"]),
        profile: "open",
    },
    Suite {
        name: "ui-library",
        title: "ChatComposite and docs/ui-library.md, @azure/communication-react 1.34.0, Chromium",
        platform: Platform::Chromium,
        packages: "browser",
        script: "ui-library/ui-library.mjs",
        course: Course::Told(["document", "conversation"]),
        profile: "open",
    },
];
