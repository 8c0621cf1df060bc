// The generator's only way to give up: one line on standard error, exit code 1.
#ifndef FAILURE_H
#define FAILURE_H

__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

#endif
