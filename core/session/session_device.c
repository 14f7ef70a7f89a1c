/* The device of the analysis. The model opens its own: a session may need only one of the two. */
#include "core/base/log.h"
#include "core/session/session_internal.h"
#include <string.h>

typedef struct DeviceState {
    Device *d;
} DeviceState;

static void release(void *state)
{
    device_close(((DeviceState *)state)->d);
}

Err session_device(Session *s, Device **out)
{
    DeviceState *state = session_state(s, TOPIC_DEVICE, sizeof *state, release);
    if (!state->d) {
        TRY(device_open(s->params.device, &state->d));
        log_info("analysis: %s%s%s", state->d->name, device_note()[0] ? "; no GPU: " : "", device_note());
    }
    *out = state->d;
    return OK;
}

Err session_device_name(Session *s, const char **out)
{
    Device *d;
    TRY(session_device(s, &d));
    *out = strcmp(d->ops->kind, "cpu") == 0 ? "cpu" : d->name;
    return OK;
}
