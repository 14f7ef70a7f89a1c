/* Opening a device: what is no device, no GPU, a plugin of another version, and failures that last. */
#include "tests/util.h"

#include <string.h>

#include "core/device/device.h"
#include "gpu/cpu/cpu.h"

static void unknown_devices_are_a_usage_error(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cpu0"};
    Device *d;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_err(device_open(bad[i], &d), ERR_USAGE);
}
static void a_missing_gpu_is_one_readable_line(void **state)
{
    (void)state;
    Device *d = NULL;
    Err err = device_open("cuda:99", &d);
    assert_err(err, ERR_GENERAL);
    assert_true(strncmp(err_message(), "cuda: ", 6) == 0 && strlen(err_message()) > 20);
    assert_null(strchr(err_message(), '\n'));
    assert_ok(device_open("auto", &d));
    if (strcmp(d->ops->kind, "cpu") == 0)
        assert_true(strlen(device_note()) > 20);
    device_close(d);
}
static void a_foreign_table_is_refused(void **state)
{
    (void)state;
    DeviceOps o = *device_cpu_ops();
    assert_ok(device_check_ops(&o, "here"));
    o.abi++;
    assert_err(device_check_ops(&o, "here"), ERR_GENERAL);
    o = *device_cpu_ops();
    o.rope = NULL;
    assert_err(device_check_ops(&o, "here"), ERR_GENERAL);
    o = *device_cpu_ops();
    o.size -= 8;
    assert_err(device_check_ops(&o, "here"), ERR_GENERAL);
    assert_err(device_check_ops(NULL, "here"), ERR_GENERAL);
}
static void a_failure_latches_until_it_is_cleared(void **state)
{
    (void)state;
    Device *d;
    void *p;
    assert_ok(device_open("cpu", &d));
    assert_err(device_alloc(d, SIZE_MAX - 1000, &p), ERR_NOMEM);
    assert_null(p);
    assert_err(device_check(d), ERR_NOMEM);
    assert_err(device_sync(d), ERR_NOMEM);
    device_clear(d);
    assert_ok(device_check(d));
    device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unknown_devices_are_a_usage_error),
        TEST(a_missing_gpu_is_one_readable_line),
        TEST(a_foreign_table_is_refused),
        TEST(a_failure_latches_until_it_is_cleared),
    };
    return RUN(tests);
}
