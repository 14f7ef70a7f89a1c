/* Tokenizer files and texts: the first byte chooses the kind, then come the length of the text (one
 * byte), the text, the file (vocab.json and merges.txt: with a NUL between). A tokenizer that opens
 * encodes the text and decodes what it got. */
#include "tests/fuzz/harness.h"

#include "core/model/tokenizer.h"

static Err open_pair(const char *vocab, const char *file, size_t n, Tokenizer **t)
{
    size_t first = strnlen(file, n);
    char *merges = str_format("%s/merges", fuzz_folder());
    fuzz_write(vocab, file, first);
    fuzz_write(merges, file + first, n - first);
    Err err = tokenizer_open_merges(vocab, merges, NULL, t);
    free(merges);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size - 2 < data[1])
        return 0;
    const char *text = (const char *)data + 2;
    size_t len = data[1], n;
    char *path = str_format("%s/tokenizer", fuzz_folder()), *back = NULL;
    Tokenizer *t = NULL;
    int32_t *ids = NULL;
    fuzz_write(path, text + len, size - 2 - len);
    Err err = data[0] == 0xFE    ? open_pair(path, text + len, size - 2 - len, &t)
              : data[0] % 3 == 0 ? tokenizer_open_spm(path, NULL, &t)
              : data[0] % 3 == 1 ? tokenizer_open_json(path, &t)
                                 : tokenizer_open_vocab(path, NULL, 0, &t);
    if (err == OK && tokenizer_encode(t, text, len, true, &ids, &n) == OK) {
        for (size_t i = 0; i < n; i++)
            if (ids[i] < 0 || (size_t)ids[i] >= tokenizer_size(t))
                abort();
        if (tokenizer_decode(t, ids, n, false, &back, NULL) == OK)
            free(back);
        free(ids);
    }
    if (err == OK)
        tokenizer_free(t);
    free(path);
    return 0;
}
