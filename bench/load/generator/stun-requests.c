// STUN binding requests on a schedule (RFC 8489), as Tailscale's clients send them: with SOFTWARE "tailnode"
// and a fingerprint, without which derper does not answer. Delays are counted from the intended time of each.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "histogram.h"
#include "scenarios.h"
#include "start-signal.h"

#define REQUEST_BYTES 40
// Longer is lost: clients ask again after less.
#define ANSWER_LIMIT_NS (1 * NS_PER_S)

static Histogram delays;
static uint64_t sent, came, late;

// CRC-32 of ISO 3309, as the fingerprint is defined (RFC 8489 section 14.7).
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

// The transaction's id is the intended time and four bytes that tell this run's requests from others.
static void make_request(uint8_t *request, uint64_t intended_ns, uint32_t run) {
  static const uint8_t HEAD[8] = {0, 1, 0, REQUEST_BYTES - 20, 0x21, 0x12, 0xa4, 0x42};
  memcpy(request, HEAD, 8);
  memcpy(request + 8, &intended_ns, 8);
  memcpy(request + 16, &run, 4);
  put32(request + 20, 0x80220008);
  memcpy(request + 24, "tailnode", 8);
  put32(request + 32, 0x80280004);
  put32(request + 36, crc32_of(request, 32) ^ 0x5354554eu);
}

static void take_answers(int fd, uint32_t run, uint64_t from, uint64_t until) {
  uint8_t answer[512];
  for (ssize_t got = recv(fd, answer, sizeof answer, 0); got > 0; got = recv(fd, answer, sizeof answer, 0)) {
    uint64_t intended = 0;
    if (got < 20 || answer[0] != 1 || answer[1] != 1 || memcmp(answer + 16, &run, 4) != 0) continue;
    memcpy(&intended, answer + 8, 8);
    if (intended < from || intended >= until) continue;
    uint64_t delay = now_ns() - intended;
    if (delay > ANSWER_LIMIT_NS) late++;
    came++;
    histogram_add(&delays, delay);
  }
}

static int open_socket(const char *address) {
  char host[64] = "";
  const char *colon = strrchr(address, ':');
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (colon != NULL && (size_t)(colon - address) < sizeof host)
    memcpy(host, address, (size_t)(colon - address));
  if (colon == NULL || inet_pton(AF_INET, host, &to.sin_addr) != 1)
    fail("--addr %s: expected an IPv4 address, a colon and a port", address);
  to.sin_port = htons((uint16_t)atoi(colon + 1));
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
    fail("--addr %s: no UDP socket", address);
  return fd;
}

void run_stun(const Options *options) {
  if (options->rate <= 0) fail("--stun: expected --rate, requests per second");
  int fd = open_socket(options->address), epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  double gap = 1e9 / options->rate;
  uint64_t start = start_signal(options), requests = 0, next = start;
  uint64_t from = start + (uint64_t)(options->warm_seconds * 1e9),
           until = from + (uint64_t)(options->seconds * 1e9);
  for (uint64_t now = now_ns(); now < until + ANSWER_LIMIT_NS; now = now_ns()) {
    while (next <= now && next < until) {
      uint8_t request[REQUEST_BYTES];
      make_request(request, next, (uint32_t)start);
      sent += next >= from;
      (void)!send(fd, request, REQUEST_BYTES, 0);
      next = start + (uint64_t)((double)++requests * gap);
    }
    struct timespec timeout = {.tv_nsec =
                                   next > now && next - now < 100 * NS_PER_MS ? (long)(next - now) : 0};
    if (next >= until) timeout.tv_nsec = 10 * NS_PER_MS;
    epoll_pwait2(epoll, &event, 1, &timeout, NULL);
    take_answers(fd, (uint32_t)start, from, until);
    if (next >= until && came == sent) break;
  }
  printf("{\"event\":\"stun\",\"sent\":%llu,\"came\":%llu,\"late\":%llu,\"delays\":",
         (unsigned long long)sent, (unsigned long long)came, (unsigned long long)late);
  histogram_print(&delays, stdout);
  printf("}\n");
  fprintf(stderr, "%llu requests, %llu answers, p50 %.3f ms, p99 %.3f ms\n", (unsigned long long)sent,
          (unsigned long long)came, histogram_at(&delays, 0.5) / 1e6, histogram_at(&delays, 0.99) / 1e6);
}
