/* The log's single sink, serialised by a lock. */
#include "core/base/log.h"

#include <pthread.h>
#include <stdio.h>

static LogSink *the_sink;
static void *sink_user;
static LogLevel max_level = LOG_WARN;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_sink(LogSink *sink, void *user, LogLevel level)
{
    the_sink = sink;
    sink_user = user;
    max_level = level;
}

void log_write(LogLevel level, const char *fmt, ...)
{
    if (!the_sink || level > max_level)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&lock);
    the_sink(sink_user, level, line);
    pthread_mutex_unlock(&lock);
}
