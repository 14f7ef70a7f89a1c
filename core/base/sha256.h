/* SHA-256 (FIPS 180-4), with the processor's instructions for it where it has them. */
#ifndef SCMM_BASE_SHA256_H
#define SCMM_BASE_SHA256_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Sha256 {
    uint32_t h[8];
    uint64_t n; /* bytes so far */
    uint8_t rest[64];
} Sha256;

void sha256_begin(Sha256 *s);
void sha256_add(Sha256 *s, const void *data, size_t n);
/* hex: 64 digits and the 0. */
void sha256_end(Sha256 *s, char hex[65]);
/* false: as if the processor had none (for tests); true: if it has them. */
void sha256_use_instructions(bool yes);
#endif
