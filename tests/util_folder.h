/* A folder of a test program's own under /tmp, and files in it. */
#ifndef SCMM_TESTS_UTIL_FOLDER_H
#define SCMM_TESTS_UTIL_FOLDER_H

/* Set-up and tear-down of a group: makes the folder, removes it with all that is in it. */
int folder_make(void **state);
int folder_remove(void **state);
const char *folder_path(void);
/* FOLDER/name; to be freed. */
char *in_folder(const char *name);
void write_text(const char *name, const char *text);
/* SHA-256 of the file, in hex. */
void hash_of(const char *name, char hex[65]);
#endif
