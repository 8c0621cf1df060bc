// See sequence.h.
#include "sequence.h"

#include <stdbool.h>

#define SEEN_WORDS (SEEN_NUMBERS / 64)

// Clears the words that the window moves over. Numbers that were skipped stay unseen.
static void move_window(Sequence *sequence, uint64_t number) {
  uint64_t first = (sequence->next + 63) / 64, last = number / 64;
  if (last >= first + SEEN_WORDS) first = last - SEEN_WORDS + 1;
  for (uint64_t at = first; at <= last; at++)
    sequence->seen[at % SEEN_WORDS] = 0;
  sequence->next = number + 1;
}

SequenceResult sequence_add(Sequence *sequence, uint64_t number) {
  uint64_t *word = &sequence->seen[number / 64 % SEEN_WORDS];
  uint64_t bit = 1ull << (number % 64);
  if (number >= sequence->next) {
    move_window(sequence, number);
    *word |= bit;
    return SEQUENCE_NEW;
  }
  // A number before the window may be a duplicate or not; it is counted as late, which it certainly is.
  bool is_known = sequence->next - number <= SEEN_NUMBERS - 64;
  if (is_known && (*word & bit) != 0) {
    sequence->duplicated++;
    return SEQUENCE_DUPLICATE;
  }
  if (is_known) *word |= bit;
  sequence->reordered++;
  return SEQUENCE_REORDERED;
}
