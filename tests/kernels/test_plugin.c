/* test_plugin.c: a plug-in as it was built (its path is the argument). Without a device it must say
 * why in a sentence and refuse to open; every device that is usable must pass the self-test.
 * $OWM_REQUIRE naming the backend asks for at least one. */
#include "check.h"
#include "kernels/selftest.h"

static void expect_refusal(const struct owm_backend *b, int index, const char *reason)
{
    struct owm_device *device = NULL;
    struct owm_error error = {""};
    printf("%s device %d: refused: %s\n", b->name, index, reason);
    CHECK(strlen(reason) > 10);
    CHECK(b->open(&device, &(struct owm_device_config){.index = index}, &error) != OWM_OK);
    CHECK(!device && strstr(error.text, reason));
}

static bool try_device(const struct owm_backend *b, int index)
{
    struct owm_device_info info;
    struct owm_device *device = NULL;
    struct owm_error error = {""};
    CHECK(b->device_info(index, &info) == OWM_OK && info.usable == !*info.refusal);
    printf("%s device %d: %s, %s, %s, %llu of %llu MiB free\n", b->name, index, info.name,
           info.arch, info.driver, (unsigned long long)(info.memory_free_bytes >> 20),
           (unsigned long long)(info.memory_bytes >> 20));
    if (!info.usable) {
        expect_refusal(b, index, info.refusal);
        return false;
    }
    owm_status status = b->open(&device, &(struct owm_device_config){.index = index}, &error);
    if (status == OWM_OK) status = owm_selftest(device, &error);
    if (status != OWM_OK) printf("%s\n", error.text);
    CHECK(status == OWM_OK);
    device->backend->close(device);
    return true;
}

int main(int argc, char **argv)
{
    const struct owm_backend *b = NULL;
    struct owm_error error = {""};
    struct owm_device_info info;
    int usable = 0;
    CHECK(argc == 2);
    owm_status status = owm_backend_load(argv[1], &b, &error);
    if (status != OWM_OK) printf("%s\n", error.text);
    CHECK(status == OWM_OK && b->abi == OWM_BACKEND_ABI);
    int count = b->device_count();
    CHECK(count >= 0 && b->device_info(count, &info) == OWM_E_ARG && !info.usable);
    if (count == 0) expect_refusal(b, 0, info.refusal);
    for (int i = 0; i < count; i++) usable += try_device(b, i);
    const char *required = getenv("OWM_REQUIRE");
    CHECK(!required || strcmp(required, b->name) != 0 || usable > 0);
    printf("%s: %d devices, %d usable\n", b->name, count, usable);
    return 0;
}
