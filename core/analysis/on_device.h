/* The device's analysis operations under a JobCtl: progress and cancellation in, errors out. */
#ifndef SCMM_ANALYSIS_ON_DEVICE_H
#define SCMM_ANALYSIS_ON_DEVICE_H
#include "core/base/job.h"
#include "core/device/device.h"

typedef struct OnDevice {
    Device *d;
    Device plain; /* d where none was given */
    JobCtl *ctl;
    Err err; /* what the watch met */
} OnDevice;

/* d NULL: the CPU. o stays where it is while operations run. */
void on_device(OnDevice *o, Device *d, JobCtl *ctl);
DeviceWatch on_device_watch(OnDevice *o);
/* After an operation: the reason for stopping, else the device's failure, which is taken off it. */
CHECKED Err on_device_result(OnDevice *o);
#endif
