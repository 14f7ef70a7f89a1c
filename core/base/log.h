/* A log that the outside (tui) directs to stderr or a file; core and views only write to it. */
#ifndef SCMM_BASE_LOG_H
#define SCMM_BASE_LOG_H
#include "core/base/err.h"

typedef enum LogLevel { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG } LogLevel;
typedef void LogSink(void *user, LogLevel level, const char *line);

/* Messages above `level` are dropped. NULL sink: dropped all. Set once at start, before threads. */
void log_set_sink(LogSink *sink, void *user, LogLevel level);
void log_write(LogLevel level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#endif
