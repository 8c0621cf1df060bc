// Memory that is there, or the end of the program.
#ifndef MEMORY_H
#define MEMORY_H

#include <stdlib.h>

#include "fail.h"

static inline void *room(size_t bytes) {
  void *got = malloc(bytes);
  if (got == NULL) fail("no memory for %zu bytes", bytes);
  return got;
}

static inline void *zeroed(size_t count, size_t bytes) {
  void *got = calloc(count + 1, bytes);
  if (got == NULL) fail("no memory for %zu times %zu bytes", count, bytes);
  return got;
}

#endif
