/* Texts around the data. The first byte chooses: JSON of settings; lines of a packed or plain text; a packed matrix.mtx. */
#include "core/data/textfile.h"
#include "core/model/json_read.h"
#include "core/model/lm.h"
#include "tests/fuzz/harness.h"

static void read_settings(const char *text, size_t size)
{
    cJSON *o = NULL;
    LmConfig c;
    if (json_parse(text, size, &o) == OK && cJSON_IsObject(o) && lm_config_read(o, &c) == OK &&
        (c.heads < 1 || c.kv_heads < 1 || c.head_dim < 2 || !(c.theta > 0)))
        abort();
    cJSON_Delete(o);
}

static void read_lines(const char *path)
{
    TextFile *t;
    char *line;
    if (textfile_open(path, &t))
        return;
    while (textfile_line(t, &line) == OK && line && textfile_number(t) < 100000)
        ;
    textfile_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    int kind = data[0] % 3;
    data++;
    size--;
    if (kind == 0) {
        read_settings((const char *)data, size);
        return 0;
    }
    char *folder = str_format("%s/text", fuzz_folder()), *path;
    mkdir(folder, 0700);
    path = str_format("%s/%s", folder, kind == 1 ? "lines.txt" : "matrix.mtx.gz");
    fuzz_write(path, data, size);
    if (kind == 1) {
        read_lines(path);
    } else {
        char *features = str_format("%s/features.tsv", folder), *cells = str_format("%s/barcodes.tsv", folder);
        fuzz_write(features, "A\nB\nC\n", 6);
        fuzz_write(cells, "a\nb\n", 4);
        fuzz_open(folder, NULL);
        free(features);
        free(cells);
    }
    free(path);
    free(folder);
    return 0;
}
