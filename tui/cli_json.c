/* Writing one JSON document: to stdout, or to the file of -o, which appears whole or not at all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/outfile.h"
#include "tui/cli_model.h"

static Err write_file(const char *path, bool force, const char *text)
{
    OutFile o;
    TRY(outfile_begin(path, force, &o));
    FILE *f = fopen(o.temp, "w");
    bool ok = f && fputs(text, f) >= 0 && fputc('\n', f) >= 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok) {
        int why = errno;
        outfile_abort(&o);
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(why));
    }
    return outfile_commit(&o);
}

Err cli_print_json(CliArgs *a, const cJSON *json)
{
    char *text = cJSON_Print(json);
    Err err = OK;
    if (!text)
        FAIL(ERR_NOMEM, "no memory for the JSON text");
    if (a->g->output && strcmp(a->g->output, "-") != 0)
        err = write_file(a->g->output, a->g->force, text);
    else if (fprintf(a->out, "%s\n", text) < 0)
        err = err_set(ERR_GENERAL, "stdout: cannot be written: %s", strerror(errno));
    free(text);
    return err;
}
