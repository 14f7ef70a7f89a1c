/* See util_folder.h. */
#include "tests/util_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/str.h"
#include "tests/util.h"

static char folder[] = "/tmp/scmmgpt-test-XXXXXX";

int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

int folder_remove(void **state)
{
    (void)state;
    char *command = str_format("rm -rf '%s'", folder);
    int status = system(command);
    free(command);
    return status;
}

const char *folder_path(void)
{
    return folder;
}

char *in_folder(const char *name)
{
    return str_format("%s/%s", folder, name);
}

void write_text(const char *name, const char *text)
{
    char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(path);
}

void hash_of(const char *name, char hex[65])
{
    char *path = in_folder(name);
    assert_ok(hash_sha256_file(path, hex));
    free(path);
}
