/* Thread-local error text. */
#include "core/base/err.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 1024 };
static _Thread_local char message[MESSAGE_SIZE];

Err err_set(Err code, const char *fmt, ...)
{
    /* Formatted aside first: arguments may point into the current message. */
    char text[MESSAGE_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(message, text, sizeof message);
    return code;
}

Err err_context(Err code, const char *fmt, ...)
{
    if (code == OK)
        return code;
    char text[MESSAGE_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t used = strlen(text);
    if (used + 3 < sizeof text) { /* long messages lose their end, never their element */
        memcpy(text + used, ": ", 2);
        used += 2;
        size_t keep = strnlen(message, sizeof text - used - 1);
        memcpy(text + used, message, keep);
        text[used + keep] = 0;
    }
    memcpy(message, text, sizeof message);
    return code;
}

const char *err_message(void)
{
    return message;
}

void err_restore(const char *text)
{
    snprintf(message, sizeof message, "%s", text);
}
