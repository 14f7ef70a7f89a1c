/* Reading at a place of an open file. */
#ifndef SCMM_BASE_FD_H
#define SCMM_BASE_FD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n bytes from place `at` into out, going on after interruptions; several threads may use one fd. false: the file ends
 * before that, or cannot be read (errno). */
bool fd_read_at(int fd, void *out, size_t n, uint64_t at);
#endif
