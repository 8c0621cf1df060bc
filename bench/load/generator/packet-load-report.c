// See packet-load-report.h.
#include "packet-load-report.h"

#include <stdio.h>

#include "histogram.h"

typedef unsigned long long Printed;

void print_interval(Traffic *traffic, uint64_t now) {
  printf("{\"event\":\"interval\",\"atSeconds\":%.1f,\"delays\":", (double)(now - traffic->window_start) / 1e9);
  histogram_print(&traffic->interval, stdout);
  printf("}\n");
  fflush(stdout);
  histogram_clear(&traffic->interval);
}

// Frames of the window that the kernel never accepted. They are in the last batches of each sender.
static uint64_t unsent_frames(const Traffic *traffic) {
  uint64_t unsent = 0;
  for (int i = 0; i < traffic->sender_count; i++)
    unsent += connection_unsent_batches(traffic->senders[i].connection);
  unsent *= (uint64_t)traffic->options.frames_per_batch;
  return unsent < traffic->counts.created ? unsent : traffic->counts.created;
}

// Frames that were due in the window, whether or not they could be sent.
static uint64_t due_frames(const Traffic *traffic, double gap_ns) {
  if (gap_ns == 0) return traffic->counts.created;
  double first = (double)(traffic->window_start - traffic->start_ns) / gap_ns,
         last = (double)(traffic->window_end - traffic->start_ns) / gap_ns;
  return (uint64_t)((last - first) + 0.5) * (uint64_t)traffic->options.frames_per_batch;
}

void print_result(const Traffic *traffic, const PacketLoadUsage *usage, double gap_ns) {
  const PacketCounts *counts = &traffic->counts;
  uint64_t duplicated = 0, reordered = 0, due = due_frames(traffic, gap_ns);
  uint64_t sent = counts->created - unsent_frames(traffic);
  for (int i = 0; i < traffic->flow_count; i++) {
    duplicated += traffic->flows[i].received.duplicated;
    reordered += traffic->flows[i].received.reordered;
  }
  double seconds = traffic->options.seconds, cpu = usage->after.cpu_s - usage->before.cpu_s;
  double busy = 1 - (double)usage->idle_ns / (seconds * 1e9);
  double closed_s = traffic->closed_count > 0 ? (double)(traffic->first_closed_ns - traffic->start_ns) / 1e9 : -1;
  printf("{\"event\":\"load\",\"connections\":%d,\"failedLogins\":%d,\"loginSeconds\":%.3f,\"seconds\":%.3f,",
         traffic->clients.count, traffic->clients.failed, usage->login_seconds, seconds);
  printf("\"due\":%llu,\"sent\":%llu,\"received\":%llu,\"arrived\":%llu,\"arrivedBytes\":%llu,", (Printed)due,
         (Printed)sent, (Printed)counts->received, (Printed)counts->arrived, (Printed)counts->arrived_bytes);
  printf("\"corrupted\":%llu,\"misdelivered\":%llu,\"duplicated\":%llu,\"reordered\":%llu,", (Printed)counts->corrupted,
         (Printed)counts->misdelivered, (Printed)duplicated, (Printed)reordered);
  printf("\"waited\":%llu,\"late\":%llu,\"stale\":%llu,\"peerGone\":%llu,\"otherFrames\":%llu,",
         (Printed)counts->waited, (Printed)counts->late, (Printed)counts->stale, (Printed)counts->peer_gone,
         (Printed)counts->other_frames);
  printf("\"closed\":%d,\"firstClosedSeconds\":%.3f,\"serverCpuSeconds\":%.3f,\"serverRssKb\":%llu,\"busy\":%.4f,"
         "\"delays\":",
         traffic->closed_count, closed_s, cpu, (Printed)usage->after.rss_kb, busy);
  histogram_print(&counts->delays, stdout);
  printf("}\n");
  fprintf(stderr,
          "offered %.0f/s sent %.0f/s arrived %.0f/s (%.3f Gbit/s), lost %.3f %% of due (unsent %.3f %%), "
          "delay ms p50 %.3f p99 %.3f p99.9 %.3f, "
          "server CPU %.2f us/frame, generator busy %.0f %%, wrong: %llu corrupted %llu misdelivered %llu "
          "duplicated %llu reordered, %d connections closed\n",
          (double)due / seconds, (double)sent / seconds, (double)counts->arrived / seconds,
          (double)counts->arrived_bytes * 8 / seconds / 1e9,
          due == 0 ? 0 : 100 * (1 - (double)counts->received / (double)due),
          due == 0 ? 0 : 100 * (1 - (double)sent / (double)due), histogram_at(&counts->delays, 0.5) / 1e6,
          histogram_at(&counts->delays, 0.99) / 1e6, histogram_at(&counts->delays, 0.999) / 1e6,
          counts->arrived == 0 ? 0 : cpu * 1e6 / (double)counts->arrived, busy * 100, (Printed)counts->corrupted,
          (Printed)counts->misdelivered, (Printed)duplicated, (Printed)reordered, traffic->closed_count);
}
