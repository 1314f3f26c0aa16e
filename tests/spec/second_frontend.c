/*
 * second-frontend DEVID FILE [draft]: a frontend written from docs/virtfs.md alone.
 *
 * It shares no code with frontend/, and takes every freedom that the document gives and frontend/ does not use: no
 * persistent grants, messages cut inside a field, size 0, equal ids, pages at odd offsets; with `draft` no `version`
 * node either. It connects to device DEVID of its domain, prints FILE of the share to stdout, makes each mistake that
 * has a status and prints what came of it to stderr, and closes. Exit status 0 if the backend kept to the document.
 *
 * One request at a time; C99 and POSIX. Numbers in comments are sections of the document.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include "include/xen/io/virtfs.h"

enum { kPage = XEN_VIRTFS_PAGE_SIZE, kPatience = 20, kMsize = 8192 };
enum { kInitWait = 2, kInitialised = 3, kConnected = 4, kClosing = 5, kClosed = 6 };
enum { kRlerror = 7, kTlopen = 12, kTversion = 100, kTattach = 104, kTwalk = 110, kTread = 116, kTclunk = 120 };

static struct xs_handle *store;
static char front[64], *back; /* F/ and B/ */
static xenevtchn_handle *events;
static evtchn_port_t port;

static uint8_t *ring;     /* one page */
static uint8_t *requests; /* two pages, granted read-only */
static uint8_t *replies;  /* three pages, granted for writing */
static uint32_t ring_ref, request_refs[2], reply_refs[3];
static uint32_t req_prod, rsp_cons; /* 4.2: our positions */

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

/* ---- xenstore: 11, 12 ---- */

static char *get(const char *dir, const char *node) {
  char path[256];
  unsigned length;
  snprintf(path, sizeof(path), "%s/%s", dir, node);
  return xs_read(store, XBT_NULL, path, &length);
}

static long get_number(const char *dir, const char *node, long missing) {
  char *text = get(dir, node);
  long number = text ? strtol(text, NULL, 10) : missing;
  free(text);
  return number;
}

static void put(xs_transaction_t transaction, const char *node, const char *format, ...) {
  char path[256], value[64];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(value, sizeof(value), format, arguments);
  va_end(arguments);
  snprintf(path, sizeof(path), "%s/%s", front, node);
  if (!xs_write(store, transaction, path, value, strlen(value))) die("cannot write %s: %s", path, strerror(errno));
}

/* 12.4: F/state is written in a transaction that has seen F/backend. */
static void set_state(int state) {
  for (;;) {
    xs_transaction_t transaction = xs_transaction_start(store);
    char path[256];
    unsigned length;
    snprintf(path, sizeof(path), "%s/" XEN_VIRTFS_NODE_BACKEND, front);
    char *there = xs_read(store, transaction, path, &length);
    if (there) put(transaction, XEN_VIRTFS_NODE_STATE, "%d", state);
    free(there);
    if (xs_transaction_end(store, transaction, !there) || errno != EAGAIN) return;
  }
}

/* Waits until B/state is `wanted`, or, if that is Closed, gone. */
static void await_backend(int wanted) {
  const time_t end = time(NULL) + kPatience;
  for (;;) {
    long state = get_number(back, XEN_VIRTFS_NODE_STATE, 0);
    if (state == wanted || (wanted == kClosed && state == 0)) return;
    if (state == kClosed && wanted != kInitWait) die("the backend has closed");
    struct pollfd ready = {xs_fileno(store), POLLIN, 0};
    if (poll(&ready, 1, 1000) < 0 || time(NULL) > end) die("the backend is in state %ld, not %d", state, wanted);
    for (char **event; (event = xs_check_watch(store)) != NULL;) free(event);
  }
}

/* ---- the ring: 4 ---- */

static uint32_t *word(size_t offset) { return (uint32_t *)(void *)(ring + offset); }
static uint32_t load(size_t offset) { return __atomic_load_n(word(offset), __ATOMIC_ACQUIRE); }
static void save(size_t offset, uint32_t value) { __atomic_store_n(word(offset), value, __ATOMIC_RELEASE); }
static void barrier(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static uint8_t *slot(uint32_t index) { return ring + 64 + 12 * (index % 256); }

/* Sends one chain of `count` slots and returns its status. */
static int send_chain(const struct xen_virtfsif_request *slots, uint32_t count) {
  const uint32_t old = req_prod;
  for (uint32_t i = 0; i < count; ++i) memcpy(slot(req_prod++), &slots[i], sizeof(slots[i]));
  barrier();
  save(0, req_prod);
  barrier();
  if (req_prod - load(4) < req_prod - old) xenevtchn_notify(events, port);

  const time_t end = time(NULL) + kPatience;
  uint32_t rsp_prod;
  while ((rsp_prod = load(8)) == rsp_cons) {
    save(12, rsp_cons + 1);
    barrier();
    if (load(8) != rsp_cons) continue;
    struct pollfd ready = {xenevtchn_fd(events), POLLIN, 0};
    if (poll(&ready, 1, 1000) == 1) {
      xenevtchn_port_or_error_t pending = xenevtchn_pending(events);
      if (pending >= 0) xenevtchn_unmask(events, (evtchn_port_t)pending);
    }
    if (time(NULL) > end) die("no response");
  }
  /* 7.2: all of a chain's responses at once, ids in order, one status. */
  if (rsp_prod - rsp_cons != count) die("%u responses to a chain of %u slots", rsp_prod - rsp_cons, count);
  int status = 0;
  for (uint32_t i = 0; i < count; ++i) {
    struct xen_virtfsif_response response;
    memcpy(&response, slot(rsp_cons++), sizeof(response));
    if (response.id != slots[i].id) die("slot %u: id %u came back as %u", i, slots[i].id, response.id);
    if (i > 0 && response.status != status) die("two statuses in one chain");
    status = response.status;
  }
  return status;
}

/* ---- 9P: 10 ---- */

static uint8_t message[kMsize];
static size_t length;

static void add(uint64_t value, int bytes) {
  for (; bytes > 0; --bytes, value >>= 8) message[length++] = (uint8_t)value;
}

static void add_string(const char *text, size_t size) {
  add(size, 2);
  memcpy(message + length, text, size);
  length += size;
}

static void begin(int type, int tag) {
  length = 4;
  add((uint64_t)type, 1);
  add((uint64_t)tag, 2);
}

static uint64_t field(size_t at, int bytes) {
  uint64_t value = 0;
  while (bytes-- > 0) value = value << 8 | message[at + (size_t)bytes];
  return value;
}

/*
 * The request: its first 5 bytes end page 0, the rest begins page 1.
 * The reply: 96 bytes at the end of page 0, two pages behind.  Every buffer reaches to the end of its page, so that
 * sizes do not matter.
 */
static const uint16_t kCut = 5, kReplyAt = 4000;

static void make_chain(struct xen_virtfsif_request slots[5]) {
  const struct xen_virtfsif_request chain[5] = {
      {request_refs[0], (uint16_t)(kPage - kCut), XEN_VIRTFSF_MORE, 7, 0},
      {request_refs[1], 0, XEN_VIRTFSF_MORE, 7, 0},
      {reply_refs[0], kReplyAt, XEN_VIRTFSF_MORE | XEN_VIRTFSF_WRITE, 7, 0},
      {reply_refs[1], 0, XEN_VIRTFSF_MORE | XEN_VIRTFSF_WRITE, 7, 0},
      {reply_refs[2], 0, XEN_VIRTFSF_WRITE, 7, 0},
  };
  memcpy(slots, chain, sizeof(chain));
}

static void place_request(void) {
  const size_t size = length;
  length = 0;
  add(size, 4);
  length = size;
  memcpy(requests + kPage - kCut, message, kCut);
  memcpy(requests + kPage, message + kCut, size - kCut);
}

/* Exchanges the message for its reply; dies of an Rlerror. */
static void exchange(void) {
  const int type = message[4], tag = (int)field(5, 2);
  struct xen_virtfsif_request slots[5];
  make_chain(slots);
  place_request();
  const int status = send_chain(slots, 5);
  if (status != XEN_VIRTFS_STATUS_OKAY) die("message %d: status %d", type, status);
  /* 15.2: copied once, then checked. */
  const size_t first = kPage - kReplyAt;
  memcpy(message, replies + kReplyAt, first);
  memcpy(message + first, replies + kPage, kMsize - first);
  length = (size_t)field(0, 4);
  if (length < 7 || length > kMsize) die("message %d: a reply of %zu bytes", type, length);
  if ((int)field(5, 2) != tag) die("message %d: tag %d came back as %d", type, tag, (int)field(5, 2));
  if (message[4] == kRlerror) die("message %d: %s", type, strerror((int)field(7, 4)));
  if (message[4] != type + 1) die("message %d: reply %d", type, message[4]);
}

static void print_file(const char *path) {
  begin(kTversion, 0xffff);
  add(kMsize, 4);
  add_string("9P2000.L", 8);
  exchange();
  if (field(7, 4) > kMsize || field(11, 2) != 8 || memcmp(message + 13, "9P2000.L", 8) != 0) die("no common version");

  begin(kTattach, 1);
  add(0, 4);
  add(0xffffffff, 4);
  add_string("", 0);
  add_string("", 0);
  add(0, 4);
  exchange();

  begin(kTwalk, 2);
  add(0, 4);
  add(1, 4);
  const size_t count_at = length;
  uint64_t names = 0;
  add(0, 2);
  for (const char *name = path; *name; ++names) {
    const size_t size = strcspn(name, "/");
    add_string(name, size);
    name += size + (name[size] == '/');
  }
  message[count_at] = (uint8_t)names;
  exchange();
  if (field(7, 2) != names) die("%s: not found", path);

  begin(kTlopen, 3);
  add(1, 4);
  add(0, 4);
  exchange();

  for (uint64_t offset = 0;;) {
    begin(kTread, 4);
    add(1, 4);
    add(offset, 8);
    add(kMsize - 11, 4);
    exchange();
    const uint64_t count = field(7, 4);
    if (count + 11 != length) die("an Rread of %zu bytes with count %u", length, (unsigned)count);
    if (count == 0) break;
    fwrite(message + 11, 1, (size_t)count, stdout);
    offset += count;
  }
  begin(kTclunk, 5);
  add(1, 4);
  exchange();
}

/* 7.3: each mistake and its status; a good chain must be served after each. */
static void make_mistakes(void) {
  static const char *const kNames[] = {"BAD_GREF", "BAD_ORDER", "BAD_EXTENT", "BAD_FLAGS", "SHORT_REQUEST", "NO_ROOM"};
  for (int wrong = 0; wrong < 6; ++wrong) {
    struct xen_virtfsif_request slots[5];
    uint32_t count = 5;
    make_chain(slots);
    begin(kTclunk, 6);
    add(0, 4);
    place_request();
    switch (wrong) {
      case 0:
        slots[0].gref = 0x7ffffff0;
        break;
      case 1:
        slots[0].flags |= XEN_VIRTFSF_WRITE;
        break;
      case 2:
        slots[4].offset = kPage;
        break;
      case 3:
        slots[2].flags |= 1U << 9;
        break;
      case 4: /* 5 bytes are no header */
        memmove(slots + 1, slots + 2, 3 * sizeof(slots[0]));
        count = 4;
        break;
      case 5:
        slots[1].flags = 0;
        count = 2;
        break;
    }
    const int status = send_chain(slots, count);
    fprintf(stderr, "%s %d\n", kNames[wrong], status);

    begin(kTwalk, 7); /* a clone of the root onto itself */
    add(0, 4);
    add(0, 4);
    add(0, 2);
    exchange();
  }
}

int main(int argc, char **argv) {
  if (argc < 3) die("usage: second-frontend DEVID FILE [draft]");
  const int draft = argc > 3;
  store = xs_open(0);
  if (!store) die("no xenstore: %s", strerror(errno));
  snprintf(front, sizeof(front), "device/virtfs/%s", argv[1]);
  back = get(front, XEN_VIRTFS_NODE_BACKEND);
  if (!back) die("no device %s", argv[1]);
  const uint32_t backend_id = (uint32_t)get_number(front, XEN_VIRTFS_NODE_BACKEND_ID, 0);
  char watched[256];
  snprintf(watched, sizeof(watched), "%s/" XEN_VIRTFS_NODE_STATE, back);
  xs_watch(store, watched, "state");

  set_state(1); /* 12.4: whatever it was in a former life */
  await_backend(kInitWait);
  char *versions = get(back, XEN_VIRTFS_NODE_VERSIONS);
  if (!versions || strcmp(versions, "1") != 0) die("versions is not 1");
  free(versions);
  if (get_number(back, XEN_VIRTFS_NODE_MAX_CHAIN_SLOTS, 0) < XEN_VIRTFS_MIN_CHAIN_SLOTS) die("max-chain-slots");

  xengntshr_handle *grants = xengntshr_open(NULL, 0);
  events = xenevtchn_open(NULL, 0);
  if (!grants || !events) die("no grants or events: %s", strerror(errno));
  ring = xengntshr_share_pages(grants, backend_id, 1, &ring_ref, 1);
  requests = xengntshr_share_pages(grants, backend_id, 2, request_refs, 0);
  replies = xengntshr_share_pages(grants, backend_id, 3, reply_refs, 1);
  if (!ring || !requests || !replies) die("cannot grant pages: %s", strerror(errno));
  memset(ring, 0, kPage);
  save(4, 1);
  save(12, 1);
  const xenevtchn_port_or_error_t unbound = xenevtchn_bind_unbound_port(events, backend_id);
  if (unbound < 0) die("no event channel: %s", strerror(errno));
  port = (evtchn_port_t)unbound;

  if (!draft) put(XBT_NULL, XEN_VIRTFS_NODE_VERSION, "1");
  put(XBT_NULL, XEN_VIRTFS_NODE_RING_REF, "%u", ring_ref);
  put(XBT_NULL, XEN_VIRTFS_NODE_EVENT_CHANNEL, "%u", (unsigned)port);
  set_state(kInitialised);
  await_backend(kConnected);
  set_state(kConnected);

  print_file(argv[2]);
  fflush(stdout);
  make_mistakes();

  set_state(kClosing);
  await_backend(kClosed);
  xenevtchn_close(events);
  xengntshr_unshare(grants, ring, 1);
  xengntshr_unshare(grants, requests, 2);
  xengntshr_unshare(grants, replies, 3);
  xengntshr_close(grants);
  set_state(kClosed);
  xs_close(store);
  free(back);
  return 0;
}
