// See address.h.
#include "address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

struct sockaddr_in address_parse(const char *flag, const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  const char *colon = strrchr(text, ':');
  char host[64] = "";
  if (colon != NULL && (size_t)(colon - text) < sizeof host) memcpy(host, text, (size_t)(colon - text));
  if (colon == NULL || inet_pton(AF_INET, host, &address.sin_addr) != 1)
    fail("%s %s: expected an IPv4 address, a colon and a port", flag, text);
  address.sin_port = htons((uint16_t)atoi(colon + 1));
  return address;
}
