// Memory allocation that ends the program when there is no memory.
#ifndef MEMORY_H
#define MEMORY_H

#include <stdlib.h>

#include "fail.h"

static inline void *allocate(size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) fail("cannot allocate %zu bytes", bytes);
  return memory;
}

// One element more than `count`, so that a count of 0 is no special case.
static inline void *allocate_zeroed(size_t count, size_t bytes) {
  void *memory = calloc(count + 1, bytes);
  if (memory == NULL) fail("cannot allocate %zu times %zu bytes", count, bytes);
  return memory;
}

#endif
