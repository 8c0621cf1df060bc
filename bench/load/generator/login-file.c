// See login-file.h.
#include "login-file.h"

#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "memory.h"

LoginFile login_file_read(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("--logins %s: cannot open the file", path);
  char magic[8];
  LoginFile read = {0};
  if (fread(magic, 1, 8, file) != 8 || memcmp(magic, "DERPLOG1", 8) != 0) fail("--logins %s: not a login file", path);
  if (fread(read.server_key, 1, 32, file) != 32) fail("--logins %s: the file is truncated", path);
  fseek(file, 0, SEEK_END);
  size_t count = (size_t)(ftell(file) - 40) / LOGIN_RECORD;
  fseek(file, 40, SEEK_SET);
  read.count = (int)count;
  read.logins = allocate_zeroed(count, LOGIN_RECORD);
  if (fread(read.logins, LOGIN_RECORD, count, file) != count) fail("--logins %s: cannot read the file", path);
  fclose(file);
  for (size_t i = 0; i < count; i++)
    if (login_length(&read.logins[i]) > sizeof read.logins[i].frame)
      fail("--logins %s: the frame of login %zu is too long", path, i);
  return read;
}
