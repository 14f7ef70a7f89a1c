/* Checkpoint files: safetensors, torch zip and legacy pickles, told apart by their content. Every
 * tensor that is found is read. */
#include "tests/fuzz/harness.h"

#include "core/model/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *path = str_format("%s/x.bin", fuzz_folder());
    fuzz_write(path, data, size);
    Ckpt *c = ckpt_new();
    if (ckpt_add_file(c, path) == OK)
        for (size_t i = 0; i < ckpt_count(c); i++) {
            const CkTensor *t = ckpt_at(c, i);
            float *v = t->elements < 1 << 20 ? malloc((t->elements + 1) * sizeof *v) : NULL;
            if (v)
                ckpt_read_f32(t, v);
            free(v);
        }
    ckpt_free(c);
    free(path);
    return 0;
}
