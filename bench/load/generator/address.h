// Server addresses on the command line: an IPv4 address, a colon and a port.
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>

// Parses the value of option `flag`, or ends the program with an error that names the option.
struct sockaddr_in address_parse(const char *flag, const char *text);

#endif
