// One conversation over REST, by the official Java SDKs of any stable release. Which it is, the class path
// says; what differs between them is asked of `Release`.
//
//     java -cp JARS Chat.java --state STATE --results RESULTS begin|resume

import com.azure.communication.chat.ChatAsyncClient;
import com.azure.communication.chat.ChatClient;
import com.azure.communication.chat.ChatClientBuilder;
import com.azure.communication.chat.ChatThreadClient;
import com.azure.communication.chat.models.ChatError;
import com.azure.communication.chat.models.ChatMessage;
import com.azure.communication.chat.models.ChatMessageReadReceipt;
import com.azure.communication.chat.models.ChatMessageType;
import com.azure.communication.chat.models.ChatParticipant;
import com.azure.communication.chat.models.ChatThreadItem;
import com.azure.communication.chat.models.ChatThreadProperties;
import com.azure.communication.chat.models.CreateChatThreadOptions;
import com.azure.communication.chat.models.CreateChatThreadResult;
import com.azure.communication.chat.models.ListChatMessagesOptions;
import com.azure.communication.chat.models.ListChatThreadsOptions;
import com.azure.communication.chat.models.ListParticipantsOptions;
import com.azure.communication.chat.models.ListReadReceiptOptions;
import com.azure.communication.chat.models.SendChatMessageOptions;
import com.azure.communication.chat.models.UpdateChatMessageOptions;
import com.azure.communication.common.CommunicationIdentifier;
import com.azure.communication.common.CommunicationTokenCredential;
import com.azure.communication.common.CommunicationUserIdentifier;
import com.azure.communication.identity.CommunicationIdentityClient;
import com.azure.communication.identity.CommunicationIdentityClientBuilder;
import com.azure.communication.identity.models.CommunicationTokenScope;
import com.azure.communication.identity.models.CommunicationUserIdentifierAndToken;
import com.azure.core.credential.AccessToken;
import com.azure.core.exception.HttpResponseException;
import com.azure.core.http.policy.HttpPipelinePolicy;
import com.azure.core.http.rest.PagedIterable;
import com.azure.core.util.Context;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.Reader;
import java.io.Writer;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.function.Function;
import java.util.function.IntFunction;
import java.util.stream.Collectors;

public final class Chat {
    /** What a release sends and has. */
    record Release(String chat, String identities, boolean metadata) {
        /** The api-versions that releases send, by the release of the chat SDK. */
        static final Map<String, Release> ALL = Map.of(
            "1.0.1", new Release("2021-03-07", "2021-03-07", false),
            "1.2.0", new Release("2021-04-05-preview6", "2022-06-01", true),
            "1.3.12", new Release("2021-09-07", "2022-06-01", true),
            "1.4.0", new Release("2023-11-07", "2022-10-01", true));

        /** The one on the class path, by the name of its JAR. */
        static Release onClassPath() {
            String jar = ChatClient.class.getProtectionDomain().getCodeSource().getLocation().getPath();
            String name = Path.of(jar).getFileName().toString();
            return ALL.get(name.replaceAll("^azure-communication-chat-|\\.jar$", ""));
        }
    }

    private static final String ENDPOINT = System.getenv("COMMUNICATION_SERVICES_ENDPOINT");
    private static final Release RELEASE = Release.onClassPath();
    private static final List<CommunicationTokenScope> CHAT = List.of(CommunicationTokenScope.CHAT);

    /** Kept from one run to the next: ids and tokens by name. */
    private final Properties state = new Properties();
    private final Checks checks;
    /** What was really sent, by the first segment of the path. */
    private final Map<String, Set<String>> sent = new ConcurrentHashMap<>();
    private final CommunicationIdentityClient identity;

    private Chat(PrintWriter results) {
        checks = new Checks(results);
        identity = identityOf(System.getenv("COMMUNICATION_SERVICES_CONNECTION_STRING"));
    }

    public static void main(String[] arguments) throws IOException {
        Path state = Path.of(arguments[1]);
        try (PrintWriter results = new PrintWriter(Files.newBufferedWriter(Path.of(arguments[3])))) {
            Chat chat = new Chat(results);
            if (Files.exists(state)) {
                try (Reader reader = Files.newBufferedReader(state)) {
                    chat.state.load(reader);
                }
            }
            for (String phase : List.of(arguments).subList(4, arguments.length)) {
                switch (phase) {
                    case "begin" -> chat.begin();
                    case "resume" -> chat.resume();
                    default -> throw new IllegalArgumentException("there is no phase " + phase);
                }
            }
            try (Writer writer = Files.newBufferedWriter(state)) {
                chat.state.store(writer, null);
            }
        }
        // The SDKs' threads would keep the program for a while.
        System.exit(0);
    }

    private void begin() {
        users();
        threads();
        messages();
        participants();
        topic();
        notices();
        asynchronously();
        refusals();
        wire();
        state.setProperty("everything", everything());
    }

    private void users() {
        checks.section = "Users and tokens";
        for (String name : List.of("owner", "guest", "late", "stranger")) {
            CommunicationUserIdentifierAndToken made = identity.createUserAndToken(CHAT);
            state.setProperty(name, made.getUser().getId());
            state.setProperty(name + ".token", made.getUserToken().getToken());
        }
        CommunicationUserIdentifier user = checks.call("createUser answers", identity::createUser);
        checks.holds("a user has an id", () -> user.getId().startsWith("8:acs:"));
        List<CommunicationTokenScope> both = List.of(CommunicationTokenScope.CHAT, CommunicationTokenScope.VOIP);
        AccessToken token = checks.call("getToken answers", () -> identity.getToken(user, both));
        ChatClient chat = chatOf(token.getToken());
        checks.holds("its token is taken by chat", () -> all(chat.listChatThreads()).isEmpty());
        checks.holds("its token lasts a day", () -> recent(token.getExpiresAt().minusDays(1)));
        checks.call("revokeTokens answers", () -> identity.revokeTokens(user));
        checks.refuses("a revoked token is refused", 401, () -> all(chat.listChatThreads()));
        checks.call("deleteUser answers", () -> identity.deleteUser(user));
        checks.refuses("a deleted user gets no token", 401, () -> identity.getToken(user, CHAT));
    }

    private void threads() {
        checks.section = "Threads";
        ChatClient owner = chatOf("owner.token", state);
        CreateChatThreadOptions options = new CreateChatThreadOptions("first topic")
            .addParticipant(participant("owner", "Owner"))
            .addParticipant(participant("guest", "Guest"))
            .setIdempotencyToken("e3a8f5a0-57c9-4f0e-93a9-1f2b6f4c7d11");
        CreateChatThreadResult created =
            checks.call("createChatThread answers", () -> owner.createChatThread(options));
        checks.holds("nobody is left out", () -> isEmpty(created.getInvalidParticipants()));
        String id = created.getChatThread().getId();
        state.setProperty("thread", id);
        checks.holds("the same idempotencyToken finds the same thread", () ->
            owner.createChatThread(options).getChatThread().getId().equals(id));
        ChatThreadProperties found =
            checks.call("getProperties answers", () -> threadOf("guest").getProperties());
        checks.holds("the thread has topic, creator and time", () ->
            found.getId().equals(id) && found.getTopic().equals("first topic")
                && recent(found.getCreatedOn()) && isUser(found.getCreatedBy(), "owner"));
        checks.call("more threads are created", () -> {
            owner.createChatThread(new CreateChatThreadOptions("second topic"));
            return owner.createChatThread(new CreateChatThreadOptions("third topic"));
        });
        checks.holds("listChatThreads lists them, newest first", () -> {
            List<ChatThreadItem> listed = all(owner.listChatThreads());
            return topics(listed).equals(List.of("third topic", "second topic", "first topic"))
                && listed.stream().allMatch(thread -> recent(thread.getLastMessageReceivedOn()));
        });
        checks.holds("who takes part in one lists that one", () ->
            topics(all(chatOf("guest.token", state).listChatThreads())).equals(List.of("first topic")));
        pagesOf(2, "threads", owner.listChatThreads(), size ->
            owner.listChatThreads(new ListChatThreadsOptions().setMaxPageSize(size), Context.NONE),
            ChatThreadItem::getId);
    }

    private void messages() {
        checks.section = "Messages";
        ChatThreadClient owner = threadOf("owner");
        ChatThreadClient guest = threadOf("guest");
        Map<String, SendChatMessageOptions> sendings = Map.of(
            "plain", new SendChatMessageOptions().setContent("plain words"),
            "text", new SendChatMessageOptions().setContent("<b>as it is</b>")
                .setType(ChatMessageType.TEXT).setSenderDisplayName("Owner"),
            "html", tagged(new SendChatMessageOptions().setContent("<b>bold</b> words")
                .setType(ChatMessageType.HTML), "tags", "a,b"),
            "edited", tagged(new SendChatMessageOptions().setContent("to be edited"), "one", "1"),
            "deleted", new SendChatMessageOptions().setContent("to be deleted"));
        for (String name : List.of("plain", "text", "html", "edited", "deleted")) {
            String id = checks.call("sendMessage answers: " + name, () ->
                owner.sendMessage(sendings.get(name)).getId());
            state.setProperty(name, id);
        }
        for (String name : List.of("plain", "text", "html")) {
            SendChatMessageOptions sending = sendings.get(name);
            checks.holds("another reads it as it was sent: " + name, () -> {
                ChatMessage read = guest.getMessage(state.getProperty(name));
                ChatMessageType type = sending.getType() == null ? ChatMessageType.TEXT : sending.getType();
                String sender = sending.getSenderDisplayName() == null ? "" : sending.getSenderDisplayName();
                return read.getType().equals(type)
                    && read.getContent().getMessage().equals(sending.getContent())
                    && read.getSenderDisplayName().equals(sender) && recent(read.getCreatedOn())
                    && read.getEditedOn() == null && read.getDeletedOn() == null
                    && isUser(read.getSender(), "owner");
            });
        }
        String edited = state.getProperty("edited");
        String deleted = state.getProperty("deleted");
        checks.call("updateMessage answers", () -> owner.updateMessage(edited,
            tagged(new UpdateChatMessageOptions().setContent("is edited"), "two", "2")));
        checks.holds("an edited message has the new content and the time of the edit", () -> {
            ChatMessage read = guest.getMessage(edited);
            return read.getContent().getMessage().equals("is edited") && recent(read.getEditedOn())
                && read.getDeletedOn() == null;
        });
        if (RELEASE.metadata()) {
            checks.holds("a message has its metadata, and an edit adds to it", () ->
                metadata(guest.getMessage(state.getProperty("html"))).equals(Map.of("tags", "a,b"))
                    && metadata(guest.getMessage(edited)).equals(Map.of("one", "1", "two", "2")));
        }
        checks.call("deleteMessage answers", () -> owner.deleteMessage(deleted));
        checks.holds("a deleted message stays without its content", () -> {
            ChatMessage read = guest.getMessage(deleted);
            return recent(read.getDeletedOn()) && read.getContent().getMessage().isEmpty();
        });
        checks.holds("listMessages lists what was sent, what changed last first", () -> {
            List<ChatMessage> listed = all(guest.listMessages());
            List<String> expected = new ArrayList<>(List.of(deleted, edited));
            List.of("html", "text", "plain").forEach(name -> expected.add(state.getProperty(name)));
            List<ChatMessageType> types = listed.subList(5, 7).stream().map(ChatMessage::getType).toList();
            return listed.size() == 7
                && listed.subList(0, 5).stream().map(ChatMessage::getId).toList().equals(expected)
                && types.equals(List.of(ChatMessageType.TOPIC_UPDATED, ChatMessageType.PARTICIPANT_ADDED));
        });
        checks.holds("startTime leaves out what did not change since", () -> all(guest.listMessages(
            new ListChatMessagesOptions().setStartTime(OffsetDateTime.now().plusMinutes(1)),
            Context.NONE)).isEmpty());
        pagesOf(3, "messages", guest.listMessages(), size ->
            guest.listMessages(new ListChatMessagesOptions().setMaxPageSize(size), Context.NONE),
            ChatMessage::getId);
    }

    private void participants() {
        checks.section = "Participants";
        ChatThreadClient owner = threadOf("owner");
        ChatThreadClient guest = threadOf("guest");
        Callable<Set<String>> names = () -> all(guest.listParticipants()).stream()
            .map(ChatParticipant::getDisplayName).collect(Collectors.toCollection(TreeSet::new));
        checks.refuses("before being added a user has no access", 403, () -> threadOf("late").getProperties());
        List<ChatError> refused = checks.call("addParticipants answers", () -> owner.addParticipants(
            List.of(participant("late", "Late").setShareHistoryTime(OffsetDateTime.now())))
            .getInvalidParticipants());
        checks.holds("nobody is left out", () -> isEmpty(refused));
        checks.holds("listParticipants lists them", () ->
            names.call().equals(Set.of("Guest", "Late", "Owner")));
        checks.holds("a participant has id and history", () -> all(guest.listParticipants()).stream()
            .anyMatch(one -> isUser(one.getCommunicationIdentifier(), "late")
                && recent(one.getShareHistoryTime())));
        pagesOf(2, "participants", guest.listParticipants(), size ->
            guest.listParticipants(new ListParticipantsOptions().setMaxPageSize(size), Context.NONE),
            ChatParticipant::getDisplayName);
        checks.refuses("history that is not shared is not read", 404, () ->
            threadOf("late").getMessage(state.getProperty("plain")));
        checks.call("who was added sends", () ->
            threadOf("late").sendMessage(new SendChatMessageOptions().setContent("hello")));
        checks.holds("who does not exist is left out by name", () -> {
            String nobody = state.getProperty("owner").replaceAll(".{12}$", "000000000000");
            ChatError error = owner.addParticipants(List.of(new ChatParticipant()
                .setCommunicationIdentifier(new CommunicationUserIdentifier(nobody))))
                .getInvalidParticipants().get(0);
            return error.getTarget().equals(nobody) && error.getCode().equals("404");
        });
        checks.call("removeParticipant answers", () -> owner.removeParticipant(user("late")));
        checks.holds("who was removed is not listed", () -> names.call().equals(Set.of("Guest", "Owner")));
        checks.refuses("who was removed cannot send", 403, () ->
            threadOf("late").sendMessage(new SendChatMessageOptions().setContent("let me in")));
    }

    private void topic() {
        checks.section = "Topic";
        ChatThreadClient guest = threadOf("guest");
        checks.call("updateTopic answers", () -> threadOf("owner").updateTopic("new topic"));
        checks.holds("the thread has the new topic", () -> guest.getProperties().getTopic().equals("new topic"));
        checks.holds("the list tells topic, removal and addition, and who did it", () -> {
            List<ChatMessage> told = all(guest.listMessages()).stream()
                .filter(message -> message.getSender() == null).toList();
            ChatMessage renamed = told.get(0);
            return told.size() == 5 && renamed.getType().equals(ChatMessageType.TOPIC_UPDATED)
                && renamed.getContent().getTopic().equals("new topic")
                && told.get(1).getType().equals(ChatMessageType.PARTICIPANT_REMOVED)
                && told.get(2).getType().equals(ChatMessageType.PARTICIPANT_ADDED)
                && isUser(firstOf(told.get(1)), "late") && isUser(firstOf(told.get(2)), "late")
                && told.stream().allMatch(message -> isUser(message.getContent().getInitiator(), "owner"));
        });
    }

    private void notices() {
        checks.section = "Typing and read receipts";
        ChatThreadClient owner = threadOf("owner");
        ChatThreadClient guest = threadOf("guest");
        checks.call("sendTypingNotification answers", guest::sendTypingNotification);
        checks.call("sendReadReceipt answers", () -> {
            guest.sendReadReceipt(state.getProperty("plain"));
            guest.sendReadReceipt(state.getProperty("html"));
            owner.sendReadReceipt(state.getProperty("plain"));
        });
        checks.holds("listReadReceipts lists the latest of each", () -> {
            List<ChatMessageReadReceipt> found = all(owner.listReadReceipts());
            return found.size() == 2 && found.stream().allMatch(receipt -> recent(receipt.getReadOn())
                && receipt.getChatMessageId().equals(
                    state.getProperty(isUser(receipt.getSender(), "guest") ? "html" : "plain")));
        });
        pagesOf(1, "receipts", owner.listReadReceipts(), size ->
            owner.listReadReceipts(new ListReadReceiptOptions().setMaxPageSize(size), Context.NONE),
            ChatMessageReadReceipt::getChatMessageId);
        checks.refuses("a receipt for no message is refused", 404, () -> guest.sendReadReceipt("1"));
    }

    private void asynchronously() {
        checks.section = "Asynchronous clients";
        ChatAsyncClient owner = builder(state.getProperty("owner.token")).buildAsyncClient();
        checks.holds("listChatThreads lists what it lists the synchronous one", () ->
            topics(owner.listChatThreads().collectList().block())
                .equals(topics(all(chatOf("owner.token", state).listChatThreads()))));
        checks.holds("what is sent is read", () -> {
            var thread = owner.getChatThreadClient(state.getProperty("thread"));
            String content = thread.sendMessage(new SendChatMessageOptions().setContent("later"))
                .flatMap(result -> thread.getMessage(result.getId()))
                .map(message -> message.getContent().getMessage()).block();
            return content.equals("later");
        });
    }

    private void refusals() {
        checks.section = "Refusals";
        String[] parts = state.getProperty("owner.token").split("\\.");
        String reversed = new StringBuilder(parts[2]).reverse().toString();
        String forged = String.join(".", parts[0], parts[1], reversed);
        checks.refuses("a token that was tampered with", 401, () ->
            chatOf(forged).createChatThread(new CreateChatThreadOptions("mine")));
        checks.refuses("another access key", 401, () -> identityOf(
            "endpoint=" + ENDPOINT + "/;accesskey=d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk=").createUser());
        ChatThreadClient outside = threadOf("stranger");
        SendChatMessageOptions hello = new SendChatMessageOptions().setContent("hello");
        checks.refuses("reading a thread of others", 403, outside::getProperties);
        checks.refuses("listing its messages", 403, () -> all(outside.listMessages()));
        checks.refuses("sending to it", 403, () -> outside.sendMessage(hello));
        checks.refuses("deleting it", 403, () ->
            chatOf("stranger.token", state).deleteChatThread(state.getProperty("thread")));
        checks.refuses("a thread that does not exist", 404, () -> chatOf("owner.token", state)
            .getChatThreadClient("19:" + "a".repeat(32) + "@thread.v2").getProperties());
        checks.refuses("a message that does not exist", 404, () -> threadOf("owner").getMessage("1"));
        String plain = state.getProperty("plain");
        checks.refuses("editing a message of somebody else", 403, () -> threadOf("guest")
            .updateMessage(plain, new UpdateChatMessageOptions().setContent("not mine")));
        checks.refuses("deleting a message of somebody else", 403, () ->
            threadOf("guest").deleteMessage(plain));
        checks.refuses("a message of an unknown type", 400, () -> threadOf("owner").sendMessage(
            new SendChatMessageOptions().setContent("hello").setType(ChatMessageType.TOPIC_UPDATED)));
    }

    /** The release sends the versions that it is here for, and no other. */
    private void wire() {
        checks.section = "Versions";
        checks.holds("/chat was asked in " + RELEASE.chat(), () ->
            sent.get("chat").equals(Set.of(RELEASE.chat())));
        checks.holds("/identities was asked in " + RELEASE.identities(), () ->
            sent.get("identities").equals(Set.of(RELEASE.identities())));
    }

    private void resume() {
        checks.section = "Later";
        ChatClient owner = chatOf("owner.token", state);
        ChatThreadClient guest = threadOf("guest");
        checks.holds("thread, messages, participants and receipts are as they were", () ->
            everything().equals(state.getProperty("everything")));
        String id = checks.call("sendMessage answers", () ->
            guest.sendMessage(new SendChatMessageOptions().setContent("more")).getId());
        checks.holds("it is the newest message", () ->
            all(threadOf("owner").listMessages()).get(0).getId().equals(id));
        checks.call("deleteChatThread answers", () -> owner.deleteChatThread(state.getProperty("thread")));
        checks.refuses("the thread is gone", 404, guest::getProperties);
        checks.holds("it is not listed any more", () ->
            topics(all(owner.listChatThreads())).equals(List.of("third topic", "second topic")));
        checks.call("deleteUser answers", () -> identity.deleteUser(user("owner")));
        checks.refuses("a token of a deleted user is refused", 401, () -> all(owner.listChatThreads()));
    }

    /** What must be the same before and after. */
    private String everything() {
        ChatThreadClient guest = threadOf("guest");
        ChatThreadProperties thread = guest.getProperties();
        List<String> seen = new ArrayList<>(List.of(thread.getTopic(), thread.getCreatedOn().toString()));
        for (ChatMessage message : guest.listMessages()) {
            seen.add(String.join(" ", message.getId(), message.getVersion(), message.getType().toString(),
                String.valueOf(message.getContent().getMessage()), message.getCreatedOn().toString(),
                String.valueOf(message.getEditedOn()), String.valueOf(message.getDeletedOn())));
        }
        guest.listParticipants().forEach(one -> seen.add(one.getDisplayName() + one.getShareHistoryTime()));
        guest.listReadReceipts().forEach(one -> seen.add(one.getChatMessageId() + one.getReadOn()));
        return String.join("\n", seen);
    }

    /** Pages of this size hold what the list holds, in its order. */
    private <T> void pagesOf(int size, String what, PagedIterable<T> list, IntFunction<PagedIterable<T>> paged,
        Function<T, String> id) {
        checks.holds("pages of " + size + " hold the same " + what + ", in the same order", () -> {
            List<String> whole = all(list).stream().map(id).toList();
            List<String> found = new ArrayList<>();
            int pages = 0;
            for (var page : paged.apply(size).iterableByPage()) {
                pages += 1;
                if (page.getValue().size() > size) {
                    return false;
                }
                page.getValue().forEach(item -> found.add(id.apply(item)));
            }
            return pages > 1 && found.equals(whole);
        });
    }

    private CommunicationIdentityClient identityOf(String connectionString) {
        return new CommunicationIdentityClientBuilder().connectionString(connectionString)
            .addPolicy(recorder()).buildClient();
    }

    private ChatClientBuilder builder(String token) {
        return new ChatClientBuilder().endpoint(ENDPOINT)
            .credential(new CommunicationTokenCredential(token)).addPolicy(recorder());
    }

    private ChatClient chatOf(String token) {
        return builder(token).buildClient();
    }

    private ChatClient chatOf(String name, Properties state) {
        return chatOf(state.getProperty(name));
    }

    /** The thread of this conversation, as that person sees it. */
    private ChatThreadClient threadOf(String name) {
        return chatOf(name + ".token", state).getChatThreadClient(state.getProperty("thread"));
    }

    private HttpPipelinePolicy recorder() {
        return (context, next) -> {
            var url = context.getHttpRequest().getUrl();
            String version = url.getQuery().replaceAll("(^|.*&)api-version=([^&]*).*", "$2");
            sent.computeIfAbsent(url.getPath().split("/")[1], path -> new ConcurrentSkipListSet<>()).add(version);
            return next.process();
        };
    }

    private CommunicationUserIdentifier user(String name) {
        return new CommunicationUserIdentifier(state.getProperty(name));
    }

    private ChatParticipant participant(String name, String displayName) {
        return new ChatParticipant().setCommunicationIdentifier(user(name)).setDisplayName(displayName);
    }

    private boolean isUser(CommunicationIdentifier identifier, String name) {
        return ((CommunicationUserIdentifier) identifier).getId().equals(state.getProperty(name));
    }

    private static CommunicationIdentifier firstOf(ChatMessage told) {
        return told.getContent().getParticipants().iterator().next().getCommunicationIdentifier();
    }

    private static List<String> topics(List<ChatThreadItem> threads) {
        return threads.stream().map(ChatThreadItem::getTopic).toList();
    }

    private static <T> List<T> all(PagedIterable<T> list) {
        return list.stream().toList();
    }

    private static boolean isEmpty(List<?> list) {
        return list == null || list.isEmpty();
    }

    private static boolean recent(OffsetDateTime time) {
        return Duration.between(time, OffsetDateTime.now()).abs().compareTo(Duration.ofMinutes(1)) < 0;
    }

    /** Options with metadata, where the release has it: 1.0.1 does not know the method. */
    private static <T> T tagged(T options, String key, String value) {
        if (RELEASE.metadata()) {
            invoke(options, "setMetadata", Map.of(key, value));
        }
        return options;
    }

    private static Object metadata(ChatMessage message) {
        return invoke(message, "getMetadata");
    }

    private static Object invoke(Object object, String name, Object... arguments) {
        for (Method method : object.getClass().getMethods()) {
            if (method.getName().equals(name) && method.getParameterCount() == arguments.length) {
                try {
                    return method.invoke(object, arguments);
                } catch (ReflectiveOperationException error) {
                    throw new IllegalStateException(error);
                }
            }
        }
        throw new IllegalStateException("no method " + name);
    }

    /** Named checks, written as JSON lines. */
    private static final class Checks {
        interface Action {
            void run() throws Exception;
        }

        private final PrintWriter results;
        String section;

        Checks(PrintWriter results) {
            this.results = results;
        }

        /** The call succeeds; the conversation cannot go on without it. */
        <T> T call(String check, Callable<T> call) {
            try {
                T result = call.call();
                write(check, null);
                return result;
            } catch (Exception error) {
                write(check, error.toString());
                results.flush();
                throw new IllegalStateException(check, error);
            }
        }

        void call(String check, Action action) {
            call(check, () -> {
                action.run();
                return null;
            });
        }

        void holds(String check, Callable<Boolean> condition) {
            try {
                write(check, condition.call() ? null : "it does not");
            } catch (Exception error) {
                write(check, error.toString());
            }
        }

        void refuses(String check, int status, Action action) {
            try {
                action.run();
                write(check, "it was not refused");
            } catch (HttpResponseException error) {
                int found = error.getResponse().getStatusCode();
                write(check, found == status ? null : "the status was " + found);
            } catch (Exception error) {
                write(check, error.toString());
            }
        }

        /** One outcome; a failure has a detail. */
        private void write(String check, String detail) {
            String outcome = detail == null ? "\"pass\"" : "\"fail\",\"detail\":" + quoted(detail);
            results.println("{\"section\":" + quoted(section) + ",\"check\":" + quoted(check)
                + ",\"outcome\":" + outcome + "}");
        }

        private static String quoted(String text) {
            String plain = text.replaceAll("[\\p{Cntrl}]", " ");
            return '"' + plain.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
        }
    }
}
