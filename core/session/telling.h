/* Decoding under watch: the text is shown as it comes, as long as it says what is known of the type
 * it is about. For session_*.c only. */
#ifndef SCMM_SESSION_TELLING_H
#define SCMM_SESSION_TELLING_H
#include "core/model/model.h"

/* Like model_describe(). facts: what the text must begin with (NULL: anything), s->begin being a
 * part of it. Where the decoder leaves the facts it starts again behind them; nothing that was shown
 * through job_text is taken back. *corrected tells that this happened. */
CHECKED Err telling_write(Model *m, const DescribeSpec *s, const char *facts, JobCtl *ctl,
                          DescribeResult *out, bool *corrected);
#endif
