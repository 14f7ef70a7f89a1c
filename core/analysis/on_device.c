/* Between JobCtl and the watch of long operations. */
#include "core/analysis/on_device.h"

void on_device(OnDevice *o, Device *d, JobCtl *ctl)
{
    *o = (OnDevice){.ctl = ctl};
    o->d = device_or_plain(d, &o->plain);
}

static bool go_on(void *user, uint64_t done)
{
    OnDevice *o = user;
    if (!o->err)
        o->err = job_progress(o->ctl, (size_t)done);
    return o->err == OK;
}

static bool stopped(void *user)
{
    return job_cancelled(((OnDevice *)user)->ctl);
}

DeviceWatch on_device_watch(OnDevice *o)
{
    return (DeviceWatch){.go_on = go_on, .stopped = stopped, .user = o};
}

Err on_device_result(OnDevice *o)
{
    if (o->err)
        return o->err;
    Err err = device_check(o->d);
    device_clear(o->d);
    return err;
}
