// See stun-requests.h. Requests are like those of Tailscale's clients (RFC 8489): with SOFTWARE "tailnode" and a
// fingerprint, without which derper does not respond. Delays count from the time at which a request was due.
#include "stun-requests.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "address.h"
#include "clock.h"
#include "fail.h"
#include "histogram.h"
#include "start-signal.h"

#define REQUEST_BYTES 40
// A later response counts as late: clients have repeated the request by then.
#define RESPONSE_LIMIT_NS (1 * NS_PER_S)

static Histogram delays;
static uint64_t sent, received, late;

// CRC-32 of ISO 3309, which RFC 8489 section 14.7 requires for the fingerprint.
static uint32_t crc32_of(const uint8_t *bytes, size_t length) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return ~crc;
}

static void put32(uint8_t *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
}

// The transaction ID is the due time and four bytes that identify the run.
static void make_request(uint8_t *request, uint64_t due_ns, uint32_t run) {
  static const uint8_t HEAD[8] = {0, 1, 0, REQUEST_BYTES - 20, 0x21, 0x12, 0xa4, 0x42};
  memcpy(request, HEAD, 8);
  memcpy(request + 8, &due_ns, 8);
  memcpy(request + 16, &run, 4);
  put32(request + 20, 0x80220008);
  memcpy(request + 24, "tailnode", 8);
  put32(request + 32, 0x80280004);
  put32(request + 36, crc32_of(request, 32) ^ 0x5354554eu);
}

// Counts the responses that have arrived to requests that were due in [from, until).
static void read_responses(int fd, uint32_t run, uint64_t from, uint64_t until) {
  uint8_t response[512];
  for (;;) {
    ssize_t got = recv(fd, response, sizeof response, 0);
    if (got <= 0) return;
    uint64_t due = 0;
    if (got < 20 || response[0] != 1 || response[1] != 1 || memcmp(response + 16, &run, 4) != 0) continue;
    memcpy(&due, response + 8, 8);
    if (due < from || due >= until) continue;
    uint64_t delay = now_ns() - due;
    if (delay > RESPONSE_LIMIT_NS) late++;
    received++;
    histogram_add(&delays, delay);
  }
}

static int open_socket(const char *text) {
  struct sockaddr_in address = address_parse("--addr", text);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
    fail("--addr %s: cannot open a UDP socket", text);
  return fd;
}

void run_stun_requests(const Options *options) {
  if (options->rate <= 0) fail("--stun requires --rate, in requests per second");
  int fd = open_socket(options->address), epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  double gap = 1e9 / options->rate;
  uint64_t start = start_signal(options), requests = 0, next = start;
  uint64_t from = start + (uint64_t)(options->warm_seconds * 1e9), until = from + (uint64_t)(options->seconds * 1e9);
  for (uint64_t now = now_ns(); now < until + RESPONSE_LIMIT_NS; now = now_ns()) {
    while (next <= now && next < until) {
      uint8_t request[REQUEST_BYTES];
      make_request(request, next, (uint32_t)start);
      sent += next >= from;
      (void)!send(fd, request, REQUEST_BYTES, 0);
      next = start + (uint64_t)((double)++requests * gap);
    }
    struct timespec timeout = {.tv_nsec = next > now && next - now < 100 * NS_PER_MS ? (long)(next - now) : 0};
    if (next >= until) timeout.tv_nsec = 10 * NS_PER_MS;
    epoll_pwait2(epoll, &event, 1, &timeout, NULL);
    read_responses(fd, (uint32_t)start, from, until);
    if (next >= until && received == sent) break;
  }
  printf("{\"event\":\"stun\",\"sent\":%llu,\"received\":%llu,\"late\":%llu,\"delays\":", (unsigned long long)sent,
         (unsigned long long)received, (unsigned long long)late);
  histogram_print(&delays, stdout);
  printf("}\n");
  fprintf(stderr, "%llu requests, %llu responses, p50 %.3f ms, p99 %.3f ms\n", (unsigned long long)sent,
          (unsigned long long)received, histogram_at(&delays, 0.5) / 1e6, histogram_at(&delays, 0.99) / 1e6);
}
