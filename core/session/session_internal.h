/* What a Session holds; for session_*.c only. */
#ifndef SCMM_SESSION_INTERNAL_H
#define SCMM_SESSION_INTERNAL_H
#include "core/device/device.h"
#include "core/session/session.h"

/* Each topic keeps a state of its own type, made on first use: PCA and graph; bundle and cell embeddings; ... */
typedef enum SessionTopic { TOPIC_ANALYSIS, TOPIC_MODEL, TOPIC_QUERY, TOPIC_GENES, TOPIC_REFERENCE, TOPIC_DEVICE, N_TOPICS } SessionTopic;
typedef void SessionStateFree(void *state);

struct Session {
    SessionParams params; /* strings are owned copies */
    Dataset *dataset;     /* NULL: a session without data */
    void *state[N_TOPICS];
    SessionStateFree *state_free[N_TOPICS];
};

/* The topic's state, or `size` zeroed bytes when it is not there yet; session_close calls `release`, then free(). */
void *session_state(Session *s, SessionTopic topic, size_t size, SessionStateFree *release);
/* Where components, neighbours and maps are computed: opened on first use as the session's parameters
 * say, the session's own. ERR_USAGE for an unknown name; ERR_GENERAL when a GPU was asked for and there
 * is none that works ("auto" takes the CPU then and says so in the log). */
CHECKED Err session_device(Session *s, Device **out);
/* The matrix that analysis and model read, or the failure that says why there is none and what would help
 * (ERR_FEW_GENES: no usable values). */
CHECKED Err session_working_matrix(Session *s, int *matrix);
#endif
