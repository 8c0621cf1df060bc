// The way out: shots are sealed one after the other into a shared buffer and leave with one write. What the
// socket does not take is kept by the connection, which is then blocked until all of it is gone.
#include <string.h>
#include <unistd.h>

#include "connection.h"
#include "memory.h"

bool shots_have_room(const Network *network, size_t plain) {
  size_t records = plain / RECORD_PLAIN_MAX + 1;
  return network->shot_count < SHOTS_MAX &&
         network->shots_end + plain + records * (RECORD_HEADER + RECORD_TRAILER) <= SHOTS_BYTES_MAX;
}

uint8_t *shot_open(Network *network, size_t plain) {
  if (network->tls == NULL) return network->shots + network->shots_end;
  return plain <= RECORD_PLAIN_MAX ? network->shots + network->shots_end + RECORD_HEADER
                                   : network->shot_plain;
}

void shot_close(Network *network, Connection *connection, size_t plain) {
  uint8_t *at = network->shots + network->shots_end;
  if (network->tls == NULL) {
    at += plain;
  } else if (plain <= RECORD_PLAIN_MAX) {
    at += record_seal(&connection->out, at, plain);
  } else {
    for (size_t done = 0; done < plain;) {
      size_t part = plain - done < RECORD_PLAIN_MAX ? plain - done : RECORD_PLAIN_MAX;
      memcpy(at + RECORD_HEADER, network->shot_plain + done, part);
      at += record_seal(&connection->out, at, part);
      done += part;
    }
  }
  network->shots_end = (size_t)(at - network->shots);
  network->shot_ends[network->shot_count++] = (uint32_t)network->shots_end;
}

// Keeps what the socket did not take, from `taken` on.
static void keep_pending(const Network *network, Pending *pending, size_t taken) {
  size_t left = network->shots_end - taken, first = 0;
  while (first < network->shot_count && network->shot_ends[first] <= taken)
    first++;
  size_t shots = network->shot_count - first;
  if (pending->room < left) {
    free(pending->bytes);
    pending->bytes = room(left);
    pending->room = left;
  }
  if (pending->shot_room < shots) {
    free(pending->shot_ends);
    pending->shot_ends = room(shots * sizeof(uint32_t));
    pending->shot_room = shots;
  }
  memcpy(pending->bytes, network->shots + taken, left);
  for (size_t i = 0; i < shots; i++)
    pending->shot_ends[i] = network->shot_ends[first + i] - (uint32_t)taken;
  pending->at = 0;
  pending->end = left;
  pending->shot_at = 0;
  pending->shot_count = shots;
}

void connection_watch(Network *network, Connection *connection, uint32_t interest) {
  if (connection->interest == interest) return;
  connection->interest = interest;
  struct epoll_event event = {.events = interest, .data.ptr = connection};
  epoll_ctl(network->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

void shots_send(Network *network, Connection *connection) {
  if (network->shots_end == 0) return;
  ssize_t taken = write(connection->fd, network->shots, network->shots_end);
  // Any other error than a full socket shows as an end when it is read.
  if (taken < 0) taken = 0;
  if ((size_t)taken < network->shots_end) {
    keep_pending(network, &connection->pending, (size_t)taken);
    connection_watch(network, connection, connection->interest | EPOLLOUT);
  }
  network->shots_end = 0;
  network->shot_count = 0;
}

void connection_flush(Network *network, Connection *connection) {
  Pending *pending = &connection->pending;
  if (pending->at < pending->end) {
    ssize_t taken = write(connection->fd, pending->bytes + pending->at, pending->end - pending->at);
    if (taken > 0) pending->at += (size_t)taken;
    while (pending->shot_at < pending->shot_count && pending->shot_ends[pending->shot_at] <= pending->at)
      pending->shot_at++;
  }
  if (pending->at == pending->end)
    connection_watch(network, connection, connection->interest & ~(uint32_t)EPOLLOUT);
}
