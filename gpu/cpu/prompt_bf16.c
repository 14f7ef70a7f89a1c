#include "gpu/cpu/prompt.h"
bool prompt_bf16(Device *d, int64_t m, const float *x, const StoredWeight *w, float *y)
{
    (void)d, (void)m, (void)x, (void)w, (void)y;
    return false;
}
