// See send-buffer.h.
#include "send-buffer.h"

#include <string.h>
#include <unistd.h>

#include "memory.h"

bool send_buffer_has_room(const Network *network, size_t plain) {
  size_t records = plain / RECORD_PLAIN_MAX + 1;
  return network->send.batch_count < SEND_BATCHES_MAX &&
         network->send.end + plain + records * (RECORD_HEADER + RECORD_TRAILER) <= SEND_BYTES_MAX;
}

uint8_t *batch_begin(Network *network, size_t plain) {
  SendBuffer *send = &network->send;
  if (network->tls == NULL) return send->bytes + send->end;
  return plain <= RECORD_PLAIN_MAX ? send->bytes + send->end + RECORD_HEADER : send->long_batch;
}

void batch_seal(Network *network, Connection *connection, size_t plain) {
  SendBuffer *send = &network->send;
  uint8_t *at = send->bytes + send->end;
  if (network->tls == NULL) {
    at += plain;
  } else if (plain <= RECORD_PLAIN_MAX) {
    at += record_seal(&connection->out, at, plain);
  } else {
    for (size_t done = 0; done < plain;) {
      size_t part = plain - done < RECORD_PLAIN_MAX ? plain - done : RECORD_PLAIN_MAX;
      memcpy(at + RECORD_HEADER, send->long_batch + done, part);
      at += record_seal(&connection->out, at, part);
      done += part;
    }
  }
  send->end = (size_t)(at - send->bytes);
  send->batch_ends[send->batch_count++] = (uint32_t)send->end;
}

// Keeps the bytes behind the first `written`.
static void keep_pending(const SendBuffer *send, Pending *pending, size_t written) {
  size_t left = send->end - written, first = 0;
  while (first < send->batch_count && send->batch_ends[first] <= written)
    first++;
  size_t batches = send->batch_count - first;
  if (pending->capacity < left) {
    free(pending->bytes);
    pending->bytes = allocate(left);
    pending->capacity = left;
  }
  if (pending->batch_capacity < batches) {
    free(pending->batch_ends);
    pending->batch_ends = allocate(batches * sizeof(uint32_t));
    pending->batch_capacity = batches;
  }
  memcpy(pending->bytes, send->bytes + written, left);
  for (size_t i = 0; i < batches; i++)
    pending->batch_ends[i] = send->batch_ends[first + i] - (uint32_t)written;
  pending->at = 0;
  pending->end = left;
  pending->batch_at = 0;
  pending->batch_count = batches;
}

void send_buffer_write(Network *network, Connection *connection) {
  SendBuffer *send = &network->send;
  if (send->end == 0) return;
  ssize_t written = write(connection->fd, send->bytes, send->end);
  // Errors other than a full socket are reported by the next read.
  if (written < 0) written = 0;
  if ((size_t)written < send->end) {
    keep_pending(send, &connection->pending, (size_t)written);
    network_watch(network, connection, connection->interest | EPOLLOUT);
  }
  send->end = 0;
  send->batch_count = 0;
}

void pending_write(Network *network, Connection *connection) {
  Pending *pending = &connection->pending;
  if (pending->at < pending->end) {
    ssize_t written = write(connection->fd, pending->bytes + pending->at, pending->end - pending->at);
    if (written > 0) pending->at += (size_t)written;
    while (pending->batch_at < pending->batch_count && pending->batch_ends[pending->batch_at] <= pending->at)
      pending->batch_at++;
  }
  if (pending->at == pending->end) network_watch(network, connection, connection->interest & ~(uint32_t)EPOLLOUT);
}
