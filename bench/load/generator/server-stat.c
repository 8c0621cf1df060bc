// See server-stat.h. Reads /proc/PID/stat and /proc/PID/status.
#include "server-stat.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t kb_after(const char *text, const char *name) {
  unsigned long long kb = 0;
  const char *at = strstr(text, name);
  if (at != NULL) sscanf(at + strlen(name), " %llu", &kb);
  return kb;
}

static size_t read_file(int pid, const char *name, char *text, size_t most) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  FILE *file = fopen(path, "r");
  text[0] = 0;
  if (file == NULL) return 0;
  size_t length = fread(text, 1, most - 1, file);
  text[length] = 0;
  fclose(file);
  return length;
}

ServerStat server_stat(int pid) {
  ServerStat stat = {0};
  char text[4096];
  if (pid <= 0) return stat;
  if (read_file(pid, "stat", text, sizeof text) > 0) {
    // The program's name, in parentheses, may contain any character: the fields begin behind the last parenthesis.
    const char *rest = strrchr(text, ')');
    unsigned long user = 0, system = 0;
    if (rest != NULL) sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    stat.cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
  }
  if (read_file(pid, "status", text, sizeof text) > 0) {
    stat.rss_kb = kb_after(text, "VmRSS:");
    stat.anonymous_kb = kb_after(text, "RssAnon:");
  }
  return stat;
}
