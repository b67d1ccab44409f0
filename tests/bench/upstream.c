/* Who answers in a provider's place, and is never the bottleneck?
 *
 *   upstream PORT
 *
 * Whatever the path, a request gets an OpenAI chat completion: one JSON document, or, where its body asks for a
 * stream, EVENTS text deltas as Server-Sent Events. They leave in one write, or, where the name of the model ends
 * in "-paced", one every GAP microseconds. One thread, epoll, keep-alive; every answer is spelled once, at start-up.
 * It serves clients that send a Content-Length and await an answer before they ask again, as all of the bench do.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 16384, IN_SIZE = 1048576, EVENTS = 50, GAP = 10000 };

struct span {
  char *at;
  size_t size;
};

struct connection {
  char *in; /* what has come of a request, a NUL behind it */
  size_t held;
  struct span unsent; /* what the socket would not take yet */
  bool paced;         /* a paced stream is under way: it stands in `streams` */
  int left;           /* its deltas still to come */
  long due;           /* when the next is, in microseconds */
};

static struct connection connections[MAX_FD]; /* by descriptor */
static int streams[MAX_FD], stream_count;
static struct span whole, burst, opening, delta, closing;
static int poller;

static void must(bool good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

static long now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

/* --- the answers ------------------------------------------------------------------------------------------------ */

#define IDENTITY "\"id\":\"chatcmpl-Bx7Qk2mVd0sT9yRfLw4HnZc1aJe8U\",\"created\":1767225600," \
  "\"model\":\"gpt-4o-mini-2024-07-18\""
#define USAGE "{\"prompt_tokens\":31,\"completion_tokens\":50,\"total_tokens\":81," \
  "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0}," \
  "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0," \
  "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"
#define TEXT \
  "A sidecar is a small process that runs next to an application, on the same host and with the same life, " \
  "and takes over a chore that the application would otherwise do itself. The application talks to it over the " \
  "loopback interface; the sidecar adds credentials, retries what failed, and counts what was spent, so that the " \
  "application need know nothing of it."

__attribute__((format(printf, 1, 2))) static struct span text(const char *format, ...) {
  struct span made;
  va_list arguments;
  va_start(arguments, format);
  int size = vasprintf(&made.at, format, arguments);
  va_end(arguments);
  must(size >= 0, "upstream: vasprintf");
  made.size = size;
  return made;
}

static struct span head(const char *type, const char *framing) {
  return text("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: %s\r\n%s\r\n"
              "openai-processing-ms: 387\r\nx-request-id: req_5f1c0f6c2a7b4c5e9d3e8a1b\r\n"
              "x-ratelimit-remaining-requests: 29999\r\n\r\n", type, framing);
}

/* One event, as one HTTP chunk. */
static struct span event(const char *choices, const char *usage) {
  struct span data = text("data: {\"object\":\"chat.completion.chunk\"," IDENTITY ",\"service_tier\":\"default\","
                          "\"system_fingerprint\":\"fp_34a54ae93c\",\"choices\":[%s],\"usage\":%s}\n\n",
                          choices, usage);
  return text("%zx\r\n%s\r\n", data.size, data.at);
}

static void spell_answers(void) {
  struct span json = text("{" IDENTITY ",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{"
                          "\"role\":\"assistant\",\"content\":\"" TEXT "\",\"refusal\":null,\"annotations\":[]},"
                          "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":" USAGE ","
                          "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_34a54ae93c\"}\n");
  whole = text("%s%s", head("application/json", text("Content-Length: %zu", json.size).at).at, json.at);

  opening = text("%s%s", head("text/event-stream; charset=utf-8", "Transfer-Encoding: chunked").at,
                 event("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                       "\"logprobs\":null,\"finish_reason\":null}", "null").at);
  delta = event("{\"index\":0,\"delta\":{\"content\":\" sidecar\"},\"logprobs\":null,\"finish_reason\":null}", "null");
  closing = text("%s%se\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
                 event("{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}", "null").at,
                 event("", USAGE).at);
  burst = opening;
  for (int i = 0; i < EVENTS; i++) burst = text("%s%s", burst.at, delta.at);
  burst = text("%s%s", burst.at, closing.at);
}

/* --- connections ------------------------------------------------------------------------------------------------ */

static void watch(int fd, int operation, uint32_t events) {
  struct epoll_event wanted = {.events = events, .data.fd = fd};
  must(!epoll_ctl(poller, operation, fd, &wanted), "upstream: epoll_ctl");
}

static void flush(int fd) {
  struct span *unsent = &connections[fd].unsent;
  while (unsent->size) {
    ssize_t sent = send(fd, unsent->at, unsent->size, MSG_NOSIGNAL);
    if (sent < 0) return; /* full, and EPOLLOUT resumes; or broken, and the next read tells */
    unsent->at += sent;
    unsent->size -= sent;
  }
}

static void say(int fd, struct span what) {
  connections[fd].unsent = what;
  flush(fd);
  if (connections[fd].unsent.size) watch(fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void resume(int fd) {
  flush(fd);
  if (!connections[fd].unsent.size) watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

static void start_stream(int fd) {
  struct connection *c = &connections[fd];
  c->paced = true;
  c->left = EVENTS;
  c->due = now_us() + GAP;
  streams[stream_count++] = fd;
  say(fd, opening);
}

static void end_stream(int fd) {
  int place = 0;
  while (streams[place] != fd) place++;
  streams[place] = streams[--stream_count];
  connections[fd].paced = false;
}

static void hang_up(int fd) {
  if (connections[fd].paced) end_stream(fd);
  close(fd);
  free(connections[fd].in);
  connections[fd] = (struct connection){0};
}

/* Answer the request in the buffer, if all of it is there. */
static void serve(int fd) {
  struct connection *c = &connections[fd];
  char *body = memmem(c->in, c->held, "\r\n\r\n", 4);
  if (!body) return;
  body += 4;
  char *length = strcasestr(c->in, "\r\ncontent-length:");
  size_t size = length && length < body ? strtoul(length + strlen("\r\ncontent-length:"), NULL, 10) : 0;
  if (c->held < (body - c->in) + size) return;
  bool stream = strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true");
  bool paced = strstr(body, "-paced\"");
  c->held = 0;
  if (stream && paced) start_stream(fd);
  else say(fd, stream ? burst : whole);
}

static void hear(int fd) {
  struct connection *c = &connections[fd];
  ssize_t got = read(fd, c->in + c->held, IN_SIZE - c->held);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) { /* gone, or a request that outgrew the buffer */
    hang_up(fd);
    return;
  }
  c->held += got;
  c->in[c->held] = 0;
  serve(fd);
}

static void welcome(int listener) {
  int on = 1, fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= MAX_FD) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections[fd].in = malloc(IN_SIZE + 1);
    must(connections[fd].in, "upstream: malloc");
    watch(fd, EPOLL_CTL_ADD, EPOLLIN);
  }
}

/* --- the clock -------------------------------------------------------------------------------------------------- */

static void step(int fd) {
  struct connection *c = &connections[fd];
  c->due += GAP;
  if (c->left-- > 0) {
    say(fd, delta);
    return;
  }
  end_stream(fd);
  say(fd, closing);
}

/* Send what is due. The milliseconds until the next is, or -1. A few hundred streams are soon looked through. */
static int keep_pace(void) {
  long now = now_us(), next = -1;
  for (int i = stream_count - 1; i >= 0; i--) { /* backwards, since a stream that ends is replaced by the last */
    int fd = streams[i];
    struct connection *c = &connections[fd];
    if (c->unsent.size) continue;
    if (c->due <= now) step(fd);
    if (c->paced && (next < 0 || c->due < next)) next = c->due;
  }
  if (next < 0) return -1;
  return next <= now ? 0 : (int)((next - now + 999) / 1000);
}

static int listen_on(int port) {
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  must(listener >= 0, "upstream: socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  must(!bind(listener, (struct sockaddr *)&address, sizeof address), "upstream: bind");
  must(!listen(listener, 1024), "upstream: listen");
  return listener;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: upstream PORT\n");
    return 2;
  }
  spell_answers();
  poller = epoll_create1(0);
  must(poller >= 0, "upstream: epoll_create1");
  int listener = listen_on(atoi(argv[1]));
  watch(listener, EPOLL_CTL_ADD, EPOLLIN);
  for (;;) {
    struct epoll_event ready[256];
    int count = epoll_wait(poller, ready, 256, keep_pace());
    for (int i = 0; i < count; i++) {
      int fd = ready[i].data.fd;
      if (fd == listener) {
        welcome(listener);
        continue;
      }
      if (ready[i].events & EPOLLOUT) resume(fd);
      if (ready[i].events & ~EPOLLOUT) hear(fd);
    }
  }
}
