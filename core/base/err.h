/* Errors. Every function that can fail returns an Err, whose values are the program's exit codes.
 * The message is a thread-local text; callers add context on the way up ("obs/cell_type: ...").
 * Bugs are assert()s; bad files, full disks, missing GPUs and cancellation are Errs.
 * Nothing in core, gpu or views prints a message or exits. */
#ifndef SCMM_BASE_ERR_H
#define SCMM_BASE_ERR_H
#include <stdarg.h>
#include <stddef.h>

typedef enum Err {
    OK = 0,
    ERR_GENERAL = 1,    /* anything without a better class: disk full, permission, ... */
    ERR_USAGE = 2,      /* the person asked for something that is not a request */
    ERR_INPUT = 3,      /* a data file is unreadable or damaged */
    ERR_MODEL = 4,      /* a model bundle or checkpoint is unreadable or incompatible */
    ERR_NOMEM = 5,      /* main or device memory */
    ERR_FEW_GENES = 6,  /* too few genes match the model, or no usable expression values */
    ERR_NOT_FOUND = 7,  /* nothing matches the question */
    ERR_CANCELLED = 130,
    ERR_TERMINATED = 143,
} Err;

#define CHECKED __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Sets the thread's message and returns code. One line, no newline, no "scmmgpt:" prefix. */
Err err_set(Err code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Prepends "context: " to the message; returns code unchanged (no-op for OK). */
Err err_context(Err code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The message of the last failure on this thread; "" if none. Valid until the next err_* call here. */
const char *err_message(void);
/* Carries a message from one thread to another (job results). */
void err_restore(const char *message);

#define FAIL(code, ...) return err_set((code), __VA_ARGS__)
/* Returns from the calling function on failure. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        Err try_err_ = (expr);                                                                     \
        if (try_err_ != OK)                                                                        \
            return try_err_;                                                                       \
    } while (0)
/* For functions with a `Err err = OK;` local and one cleanup label `done:`. */
#define TRY_GOTO(expr)                                                                             \
    do {                                                                                           \
        err = (expr);                                                                              \
        if (err != OK)                                                                             \
            goto done;                                                                             \
    } while (0)
#define FAIL_GOTO(code, ...)                                                                       \
    do {                                                                                           \
        err = err_set((code), __VA_ARGS__);                                                        \
        goto done;                                                                                 \
    } while (0)
#endif
