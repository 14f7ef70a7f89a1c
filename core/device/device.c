/* Finding and opening devices: the linked-in CPU backend, and the CUDA plugin through dlopen. A
 * plugin stays loaded for the life of the process (unloading the CUDA runtime upsets leak checkers
 * and gains nothing). */
#include "core/device/device.h"
#include "core/base/mem.h"
#include "core/base/plugin.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLUGIN_NAME "device_cuda.so"

static _Thread_local char note[256];

const char *device_note(void)
{
    return note;
}

Err device_check_ops(const DeviceOps *ops, const char *where)
{
    if (!ops)
        FAIL(ERR_GENERAL, "%s: offers no operations; build it again", where);
    if (ops->abi != DEVICE_ABI)
        FAIL(ERR_GENERAL,
             "%s: made for interface %u, this program has %u; build both from one source", where,
             (unsigned)ops->abi, (unsigned)DEVICE_ABI);
    if (ops->size != sizeof(DeviceOps))
        FAIL(ERR_GENERAL, "%s: its table has another size; build it again", where);
    void *const *entry =
        (void *const *)(const void *)((const char *)ops + offsetof(DeviceOps, kind));
    for (size_t i = 0; i < (sizeof(DeviceOps) - offsetof(DeviceOps, kind)) / sizeof *entry; i++)
        if (!entry[i])
            FAIL(ERR_GENERAL, "%s: operation %zu is missing; build it again", where, i);
    return OK;
}

/* ---- the plugin ---- */
/* The plugin brings in some 200 MB of libraries: not where the GPU's driver is missing. A folder named
 * on purpose is opened in any case. */
static bool worth_loading(void)
{
    const char *folder = getenv("SCMMGPT_PLUGIN_DIR");
    return (folder && *folder) || dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
}

static Err load_plugin(const DeviceOps **out)
{
    static const DeviceOps *loaded;
    char path[4096 + 64];
    const char *why;
    if (!loaded) {
        if (!worth_loading())
            FAIL(ERR_GENERAL, "cuda: no NVIDIA driver on this machine (libcuda.so.1); use --device cpu");
        void *entry = plugin_load(PLUGIN_NAME, DEVICE_PLUGIN_ENTRY, path, sizeof path, &why);
        if (!entry)
            FAIL(ERR_GENERAL, "cuda: " PLUGIN_NAME ": %s; run make where nvcc is found", why);
        DevicePluginEntry *get;
        *(void **)&get = entry;
        const DeviceOps *ops = get();
        TRY(device_check_ops(ops, path));
        loaded = ops;
    }
    *out = loaded;
    return OK;
}

/* ---- opening ---- */
static Err open_with(const DeviceOps *ops, int index, Device **out)
{
    Device *d = mem_must(sizeof *d);
    d->ops = ops;
    if (!ops->open(d, index)) {
        Err err =
            err_set(ERR_GENERAL, "%s: %s", ops->kind, d->message[0] ? d->message : "cannot start");
        free(d);
        return err;
    }
    *out = d;
    return OK;
}

static Err open_cuda(int index, Device **out)
{
    const DeviceOps *ops = NULL;
    TRY(load_plugin(&ops));
    return open_with(ops, index, out);
}

Err device_open(const char *name, Device **out)
{
    note[0] = '\0';
    if (strcmp(name, "cpu") == 0)
        return open_with(device_cpu_ops(), 0, out);
    if (strcmp(name, "cpu:16") == 0) {
        TRY(open_with(device_cpu_ops(), 0, out));
        (*out)->narrow = true;
        return OK;
    }
    if (strcmp(name, "cuda") == 0)
        return open_cuda(0, out);
    if (strncmp(name, "cuda:", 5) == 0 && name[5] >= '0' && name[5] <= '9') {
        char *end;
        long index = strtol(name + 5, &end, 10);
        if (*end == '\0' && index < 1024)
            return open_cuda((int)index, out);
    }
    if (strcmp(name, "auto") == 0) {
        if (open_cuda(0, out) == OK)
            return OK;
        snprintf(note, sizeof note, "%s", err_message());
        return open_with(device_cpu_ops(), 0, out);
    }
    FAIL(ERR_USAGE, "device %s: unknown; use auto, cpu, cpu:16, cuda or cuda:N", name);
}

Device *device_or_plain(Device *d, Device *plain)
{
    if (d)
        return d;
    *plain = (Device){.ops = device_cpu_ops()};
    return plain;
}

void device_close(Device *d)
{
    if (!d)
        return;
    d->ops->close(d);
    free(d);
}

Err device_check(Device *d)
{
    if (d->err == OK)
        return OK;
    FAIL(d->err, "%s: %s", d->ops->kind, d->message);
}

void device_clear(Device *d)
{
    d->err = OK;
    d->message[0] = '\0';
}

Err device_sync(Device *d)
{
    d->ops->sync(d);
    return device_check(d);
}

Err device_alloc(Device *d, size_t bytes, void **out)
{
    *out = d->ops->alloc(d, bytes);
    return *out ? OK : device_check(d);
}
